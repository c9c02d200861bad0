"""What a kind's ``run`` gets and gives. A kind is plain functions, no class to inherit from."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict, cast

from ssds.builders.plug import Builder, Embedded
from ssds.core.canonical import Json
from ssds.core.digest import Digest
from ssds.core.errors import StepFailed, UnavailableError
from ssds.core.model import Action
from ssds.host import local
from ssds.host.archives import unpack_archive
from ssds.host.sandbox import Bind, JobResult

SOURCES = "/run/ssds/sources"
PROCESSES = 8192
"""How many processes and threads a step or a test may have at once."""

if TYPE_CHECKING:
    from ssds.host.mirrors import Mirrors
    from ssds.host.sandbox import Sandbox
    from ssds.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run gave; the engine makes the claim from it.

    Attributes:
        outputs: output name → digest of a blob that the store has.
        verdict: ``pass``, ``fail`` or the empty string.
        logs: by-products that no lock holds.
        builder: who made it, as ``builders.table.NAMES`` has it.
        tools: host tool → version.
    """

    outputs: Mapping[str, Digest]
    verdict: str = ""
    logs: Mapping[str, Digest] = field(default_factory=dict)
    builder: str = "embedded"
    mode: str = ""
    emulated: bool = False
    impure: bool = False
    tools: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The work bench of one run: everything that it may touch.

    Attributes:
        action: what to do; every input is a digest.
        store: blobs and claims.
        sandbox: where steps run, or None where building is unavailable (C17).
        builder: who runs build steps; None means the sandbox.
        mirrors: where archives are, and how to reach them (proxy, CA bundle).
        folder: an empty folder of this run on the store's file system; removed afterwards.
        workspace: the workspace's folder (local files are read from it and checked).
        say: gives one line of progress to people (``step 2/4: apt``).
        log: gives bytes of output to the node's log.
        sizes: sizes in bytes that locks know of blobs that may not be here.
        keep_failed: keep a failed step's tree for ``ssds shell``.
        fresh: the user asked to run it again: what is known of its parts does not stand in.
        keep: remembers a kept tree: where it is and what it stands on (``engine.kept``).
        stopping: True once the user asked to stop.
    """

    action: Action
    store: Store
    sandbox: Sandbox | None
    mirrors: Mirrors
    folder: str
    workspace: str
    say: Callable[[str], None]
    log: Callable[[bytes], None]
    sizes: Mapping[Digest, int] = field(default_factory=dict)
    builder: Builder | None = None
    keep_failed: bool = False
    fresh: bool = False
    keep: Callable[[Mapping[str, Json]], None] = lambda _: None
    stopping: Callable[[], bool] = lambda: False


def require_sandbox(bench: Bench) -> Sandbox:
    """Returns the bench's sandbox; raises UnavailableError where building is not possible."""
    if bench.sandbox is None:
        raise UnavailableError(
            "steps cannot be run on this machine", hint="`ssds doctor` says what is missing."
        )
    return bench.sandbox


class Limits(TypedDict):
    """What a job may use, in the words of ``Job``."""

    disk_limit_bytes: int
    memory_limit_bytes: int
    process_limit: int


def limits(bench: Bench) -> Limits:
    """Returns what a step or a test may use: what the recipe's ``resources`` say.

    Without them only the reserve of the disk and a number of processes that no build needs.
    """
    said = cast(Mapping[str, int], bench.action.node.hints.get("resources", {}))
    return Limits(
        disk_limit_bytes=said.get("disk_mib", 0) << 20,
        memory_limit_bytes=said.get("memory_mib", 0) << 20,
        process_limit=PROCESSES,
    )


def check_limits(bench: Bench, result: JobResult, what: str) -> None:
    """Raises StepFailed when a limit ended a job; tells the log which limits do not hold here."""
    held = limits(bench)
    if held["memory_limit_bytes"] and "memory" in result.unenforced:
        bench.log(b"    memory_mib is not held for the step as a whole: no control group here\n")
    if "disk" in result.unenforced:
        bench.log(b"    disk_mib is not held by this builder\n")
    if result.full == "disk":
        size = held["disk_limit_bytes"] >> 20
        raise StepFailed(
            f"{what} was stopped: it wrote more than its limit of {size} MiB to disk",
            hint="Raise resources.disk_mib of the recipe, or let it write less.",
            code="E075",
        )
    if result.full:
        raise StepFailed(
            f"{what} was stopped: the disk is nearly full",
            hint="Free some space (`ssds gc` helps) or set store.path in ssds.yaml.",
            code="E074",
        )


def check_end(result: JobResult, what: str, time_limit_s: int) -> None:
    """Raises StepFailed for a job that ended with anything but exit code 0."""
    if result.stopped:
        raise StepFailed("stopped by the user")
    if result.timed_out:
        raise StepFailed(
            f"{what} was stopped after its time limit of {time_limit_s} s",
            hint="Raise time_limit_s of the step, or make it faster.",
            code="E072",
        )
    if result.exit_code != 0:
        raise StepFailed(
            f"{what} ended with exit code {result.exit_code}",
            hint="Read its log with `ssds log NODE`; `ssds apply --keep-failed` keeps its tree.",
            code="E071",
        )


def require_builder(bench: Bench) -> Builder:
    """Returns who runs build steps; raises UnavailableError where building is not possible."""
    return bench.builder or Embedded(require_sandbox(bench))


def bind_sources(bench: Bench, sources: Mapping[str, bool | str], folder: str) -> list[Bind]:
    """Returns read-only binds for sources below ``/run/ssds/sources``.

    Args:
        bench: the bench.
        sources: name → True where it is unpacked, else the name of the file that is seen.
        folder: where they are laid out.
    """
    binds = []
    for name, seen in sources.items():
        digest = bench.action.inputs[f"source/{name}"]
        origin = next(i.node for i in bench.action.node.inputs if i.role == f"source/{name}")
        assert origin is not None
        target = os.path.join(folder, name)
        path = bench.store.blobs.path(digest)
        if seen is True:
            unpack_archive(path, target, name=origin.owner)
        else:
            local.make_folder(target)
            local.link_or_copy(path, os.path.join(target, str(seen)))
        binds.append(Bind(source=target, target=f"{SOURCES}/{name}"))
    return binds
