"""Which sandbox mode works on this machine, found out by really trying it (contract C17)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ssds.core.errors import InvalidValue, SsdsError
from ssds.host.files import explained
from ssds.host.sandbox import MODES, Sandbox

ENFORCED = MappingProxyType(
    {
        "no_network": "offline steps see no interface but a loopback of their own",
        "own_processes": "steps see and signal only their own processes",
        "no_host_files": "steps see the image and what was bound, nothing of the host",
        "read_only_inputs": "inputs that are bound cannot be changed",
        "no_devices": "device nodes cannot be made",
        "no_kernel_settings": "kernel settings below /proc cannot be changed",
        "no_mounts": "nothing can be mounted",
        "call_filter": "keyrings, io_uring, bpf and sockets of other families are refused",
        "no_nested_namespaces": "no further user namespace can be made",
        "no_host_capabilities": "root in a step has no rights outside its namespace",
        "not_host_root": "files made by root in a step do not belong to the host's root",
        "time_limit": "at the time limit every process of the step is killed",
        "process_limit": "the number of processes is limited",
        "memory_limit": "the memory of all processes of a step together is limited",
        "memory_limit_per_process": "the memory of each process is limited",
        "disk_limit": "a step that writes more than its limit to disk is stopped",
        "disk_reserve": "a step is stopped before the disk is full",
        "scratch_limit": "what a step writes to /tmp and the like is limited",
    }
)
"""What a mode may enforce, with words for people; ``Probe.enforced`` has the same names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What the try gave.

    Attributes:
        mode: the mode that works, or the empty string: building is unavailable here.
        reason, hint: why, and what to do.
        enforced: name of ENFORCED → whether the mode enforces it here. Empty without a mode.
    """

    mode: str
    reason: str = ""
    hint: str = ""
    enforced: Mapping[str, bool] = field(default_factory=dict)

    @property
    def available(self) -> bool:
        """Whether steps can be run."""
        return bool(self.mode)


def probe(work_folder: str, wanted: str = "auto") -> Probe:
    """Returns the sandbox mode for this user, after running it once in ``work_folder``.

    ``auto`` takes ``identity`` for root and ``subuid`` for anybody else; it never takes
    ``trusted``, which must be asked for by name. Takes about 0.1 s.
    """
    if wanted not in {"auto", *MODES}:
        raise InvalidValue(f"{wanted!r} is no sandbox mode", hint=f"Use auto, {', '.join(MODES)}.")
    mode = wanted
    if wanted == "auto":
        mode = "identity" if os.geteuid() == 0 else "subuid"
    folder = os.path.join(work_folder, "probe")
    try:
        with explained(folder):
            os.makedirs(folder, exist_ok=True)
        measured = Sandbox(mode, folder).measure()
    except SsdsError as error:
        return Probe(mode="", reason=error.message, hint=error.hint)
    enforced = {
        **measured,
        "time_limit": True,
        "disk_limit": True,
        "disk_reserve": True,
    }
    return Probe(
        mode=mode,
        reason=_REASONS[mode],
        enforced={name: enforced[name] for name in ENFORCED},
    )


_REASONS = {
    "identity": "root in a user namespace of its own",
    "subuid": "an ordinary user with subordinate ids",
    "trusted": "plain root, as sandbox: trusted asks",
}
