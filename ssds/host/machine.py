"""What this machine is and can run: platforms, emulation, tools."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterable

from ssds.core.errors import SsdsError
from ssds.core.levels import features, weight
from ssds.core.platform import Platform
from ssds.core.records import dataclass
from ssds.host.files import explained

BINFMT = "/proc/sys/fs/binfmt_misc"
CPUINFO = "/proc/cpuinfo"
_QEMU = {"amd64": "qemu-x86_64", "arm64": "qemu-aarch64"}
_MACHINE_CODE = {"amd64": 62, "arm64": 183}


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulation:
    """Whether programs of a platform run here.

    Attributes:
        kind: ``native``, ``emulated`` or ``unavailable``.
        reason: why not, or by what; hint: what to do about it.
    """

    kind: str
    reason: str = ""
    hint: str = ""

    @property
    def available(self) -> bool:
        """Whether programs run, natively or not."""
        return self.kind != "unavailable"


def best_platform(offered: Iterable[Platform], *, cpuinfo: str = CPUINFO) -> Platform | None:
    """Returns the platform of ``offered`` that fits this machine's processor best, or None.

    Of several that it has, one that runs wherever the others run is left for those.
    """
    native = native_platform()
    near = [p for p in offered if p.baseline == native]
    fitting = [p for p in near if can_run(p, cpuinfo=cpuinfo).kind == "native"]
    return fitting[0] if len(fitting) == 1 else max(fitting, key=_strength, default=None)


def _strength(platform: Platform) -> tuple[int, int]:
    return weight(platform.architecture, platform.variant), len(platform.fallbacks)


def native_platform() -> Platform:
    """Returns the platform of this machine's kernel, without a level."""
    return Platform.of_machine(os.uname().machine)


def can_run(platform: Platform, *, binfmt: str = BINFMT, cpuinfo: str = CPUINFO) -> Emulation:
    """Returns how programs of ``platform`` run on this machine.

    Emulation means an enabled binfmt_misc entry with the flag F (the interpreter is opened when
    it is registered, so it works in every mount namespace; kernel documentation, "binfmt-misc").
    """
    if platform.architecture == native_platform().architecture:
        return _level(platform, cpuinfo)
    if platform.variant:
        return Emulation(
            kind="unavailable",
            reason=f"levels such as {platform.variant} are not emulated",
            hint=f"Programs of {platform} run on machines of that kind.",
        )
    package = "Install qemu-user-static and binfmt-support"
    command = f"update-binfmts --enable {_QEMU[platform.architecture]}"
    if not os.path.exists(os.path.join(binfmt, "status")):
        return Emulation(
            kind="unavailable",
            reason="binfmt_misc is not mounted",
            hint=f"{package}, then as root: mount -t binfmt_misc binfmt_misc {BINFMT}; {command}",
        )
    if not _read(os.path.join(binfmt, "status")).startswith("enabled"):
        return Emulation(
            kind="unavailable",
            reason="binfmt_misc is disabled",
            hint=f"As root: echo 1 > {BINFMT}/status",
        )
    without_flag = ""
    for name in sorted(os.listdir(binfmt)):
        entry = _read(os.path.join(binfmt, name))
        if name in {"register", "status"} or not _handles(entry, platform):
            continue
        flags = re.search(r"^flags: *(\S*)", entry, re.MULTILINE)
        interpreter = re.search(r"^interpreter (.*)", entry, re.MULTILINE)
        if not entry.startswith("enabled") or interpreter is None:
            continue
        if flags is not None and "F" in flags[1]:
            return Emulation(kind="emulated", reason=f"by {os.path.basename(interpreter[1])}")
        without_flag = name
    if without_flag:
        return Emulation(
            kind="unavailable",
            reason=f"the binfmt_misc entry {without_flag} has no F flag, so it fails in a sandbox",
            hint=f"{package}; its entries have the flag.",
        )
    return Emulation(
        kind="unavailable",
        reason=f"no binfmt_misc entry runs {platform} programs",
        hint=f"{package}, then as root: {command}",
    )


def _handles(entry: str, platform: Platform) -> bool:
    """Tells whether a binfmt_misc entry matches an ELF program of ``platform``."""
    magic, mask = (re.search(rf"^{w} ([0-9a-f]+)$", entry, re.MULTILINE) for w in ("magic", "mask"))
    if magic is None or not re.search(r"^offset 0$", entry, re.MULTILINE):
        return False
    wanted = bytes.fromhex(magic[1])
    bits = bytes.fromhex(mask[1]) if mask is not None else b"\xff" * len(wanted)
    header = b"\x7fELF\x02\x01\x01" + b"\0" * 9
    header += b"\x02\x00" + _MACHINE_CODE[platform.architecture].to_bytes(2, "little") + b"\1\0\0\0"
    if not 18 < len(wanted) <= len(header) or len(bits) != len(wanted):
        return False
    return all(h & b == w & b for h, b, w in zip(header, bits, wanted, strict=False))


def emulated_by(platform: Platform) -> str:
    """Returns by what this machine emulates ``platform`` (``by qemu-aarch64``), else nothing."""
    found = can_run(platform)
    return found.reason if found.kind == "emulated" else ""


def _level(platform: Platform, cpuinfo: str) -> Emulation:
    if not platform.variant:
        return Emulation(kind="native")
    needed = features(platform.architecture, platform.variant)
    if needed is None:
        return Emulation(
            kind="unavailable",
            reason=f"{platform.variant} is no level of {platform.architecture} that ssds knows",
            hint="Use v2, v3 or v4 of amd64, or a name of archspec: zen3, neoverse_v1.",
        )
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", _read(cpuinfo), re.MULTILINE)
    missing = needed - set(found[1].split() if found else ())
    if not missing:
        return Emulation(kind="native")
    return Emulation(
        kind="unavailable",
        reason=f"this processor lacks {' '.join(sorted(missing))}",
        hint=f"Test and run {platform} on a machine that has it; any machine can build it.",
    )


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 20)
    except OSError:
        return ""


def user_name() -> str:
    """Returns the name of the user that runs this, or its number where it has no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def machine_name() -> str:
    """Returns the host name."""
    return os.uname().nodename


def free_bytes(path: str) -> int:
    """Returns how many bytes an ordinary user may still write below ``path`` (nearest folder)."""
    folder = os.path.abspath(path)
    while not os.path.isdir(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    with explained(folder):
        state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize


def tool_version(name: str) -> str:
    """Returns the version text of an installed program, or the empty string where it is missing.

    It is the first word with a digit and a dot that ``name --version`` (or ``-v``) prints.
    """
    import shutil

    from ssds.host.process import run

    if shutil.which(name) is None:
        return ""
    for option in ("--version", "-v"):
        try:
            done = run([name, option], timeout_s=10, env={**os.environ, "LC_ALL": "C.UTF-8"})
        except SsdsError:
            return ""
        found = re.search(r"\d+(?:\.\d+)+[\w.+~:-]*", done.text)
        if done.returncode == 0 and found:
            return found[0].rstrip(".,:")
    return "unknown"


def docker_engine(timeout_s: float = 3.0) -> str:
    """Returns the version of the Docker Engine that answers here, or the empty string.

    The client program says nothing of it: an engine is a service, asked through its own interface
    (DOCKER_HOST, or the local socket).
    """
    import docker

    try:
        client = docker.from_env(timeout=int(timeout_s))
        try:
            return str(client.version().get("Version", ""))
        finally:
            client.close()
    except (docker.errors.DockerException, OSError, ValueError):
        return ""
