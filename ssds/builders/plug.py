"""The plug between a build and its builder: one step on layers in, its changes out.

Whatever a builder makes of the changes is put into ``Job.upper`` in overlay form; one exporter
(``oci.layers``) makes the layer from it, so that all builders give the same digest.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ssds.core.digest import Digest
from ssds.core.errors import InvalidValue
from ssds.core.platform import Platform
from ssds.host.sandbox import Job, JobResult, Sandbox

VOLATILE = ("/run", "/tmp", "/var/tmp")  # noqa: S108 - places of the image
"""What a step finds empty and leaves no trace in; binds lie below it."""

KEPT_CAPABILITIES = (
    *("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP"),
    *("NET_BIND_SERVICE", "SYS_CHROOT", "AUDIT_WRITE", "SETFCAP"),
)
"""The names of ``host.kernel.KEPT_CAPABILITIES``, in its order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer below a step.

    Attributes:
        digest: its diffID.
        tar: path of the uncompressed tar.
    """

    digest: Digest
    tar: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One step to do.

    Attributes:
        job: what to run. ``lowers`` are the same layers, unpacked; ``upper``, an empty folder, gets
            the changes, also when the program fails. Binds lie below /run, /tmp or /var/tmp.
        layers: base first; temporary tools last.
        platform: what the layers are for.
        folder: an empty folder on disk for what the builder needs meanwhile.
    """

    job: Job
    layers: tuple[Layer, ...]
    platform: Platform
    folder: str


class Builder(Protocol):
    """Runs steps. It may be used from several threads at once."""

    @property
    def name(self) -> str:
        """What claims say of it."""

    @property
    def mode(self) -> str:
        """What a claim keeps as its mode."""

    def run(self, work: Work) -> JobResult:
        """Runs the job to its end; when it returns, none of its processes is alive.

        Raises:
            UnavailableError, EnvironmentProblem: the builder is not there, or refuses.
            StepFailed: the image has no such user or working folder.
        """

    def sweep(self) -> int:
        """Removes what killed processes left with the builder; returns how many things."""

    def close(self) -> None:
        """Removes what this process left with the builder, but for what is kept."""

    def forget(self) -> int:
        """Removes the images that are kept to be quicker next time; returns how many."""


class Embedded:
    """The builder that is always there: the sandbox of ssds."""

    name = "embedded"

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.mode = sandbox.mode

    def run(self, work: Work) -> JobResult:
        """Runs the job in the sandbox; overlayfs writes the changes where they belong."""
        return self._sandbox.run(work.job)

    def sweep(self) -> int:
        """Does nothing: ``Trees.sweep`` does it."""
        return 0

    def close(self) -> None:
        """Does nothing: a job leaves nothing."""

    def forget(self) -> int:
        """Does nothing: ``Trees.forget`` does it."""
        return 0


def chain_name(layers: Sequence[Layer]) -> str:
    """Returns 32 hex digits that stand for a stack of layers."""
    text = "\n".join(str(layer.digest) for layer in layers)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def check_binds(job: Job) -> None:
    """Raises InvalidValue for a bind whose target would leave a trace in the layer."""
    for bind in job.binds:
        target = bind.target
        if ".." in target.split("/") or not target.startswith(tuple(f"{v}/" for v in VOLATILE)):
            raise InvalidValue(
                f"the bind target {target!r} is not below {', '.join(VOLATILE)}",
                hint="Only there it leaves nothing in the image.",
            )
        if "," in bind.source + target or ":" in bind.source + target:
            raise InvalidValue(f"the bind {bind.source!r} holds a comma or a colon")


def program(job: Job, unwanted: Sequence[str] = ()) -> list[str]:
    """Returns the job's argv, started in its folder and without what a builder adds.

    Args:
        unwanted: environment variables that the builder sets and the job did not ask for.
    """
    names = " ".join(n for n in (*unwanted, "OLDPWD") if n not in job.environment)
    script = f'cd -- "$1" || exit 126; unset {names}; shift; exec "$@"'
    return ["/bin/sh", "-c", script, "sh", job.working_folder or "/", *job.argv]


def is_root(job: Job) -> bool:
    """Whether the job runs as the image's root."""
    return job.user in {"", "root", "0", "0:0"}


def empty_places(job: Job) -> list[tuple[str, str]]:
    """Returns the folders that are fresh and empty in a step, with their modes."""
    modes = ("755", "1777", "1777")
    places = list(zip(VOLATILE, modes, strict=True))
    has_var = any(os.path.isdir(os.path.join(lower, "var")) for lower in job.lowers)
    return places if has_var else places[:-1]  # an image without /var keeps none


def unenforced(job: Job, names: Sequence[str]) -> tuple[str, ...]:
    """Returns which of the limits ``names`` the job asks for; a builder does not hold them."""
    asked = {
        "memory": job.memory_limit_bytes,
        "processes": job.process_limit,
        "disk": job.disk_limit_bytes,
    }
    return tuple(name for name in names if asked[name])
