"""Runs one action: a bench is laid out, the kind's runner called, its outcome made a claim."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ssds.builders.plug import Builder
from ssds.core.canonical import canonical_bytes
from ssds.core.digest import Digest
from ssds.core.errors import EnvironmentProblem, Refused, SsdsError
from ssds.core.model import Action, Claim, NodeId
from ssds.engine import kept
from ssds.engine.report import Reporter
from ssds.graph.plan import Facts, PlanStep, choose
from ssds.host.files import atomic_write
from ssds.host.local import remove_folder
from ssds.host.mirrors import Mirrors
from ssds.host.sandbox import Sandbox
from ssds.kinds.api import Bench, Outcome
from ssds.kinds.table import runner
from ssds.store.store import Store

_LOG_LIMIT_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """Everything that apply works with.

    Attributes:
        builder: who runs build steps; None means the sandbox.
        jobs: how many nodes run at once.
        accept: a rebuild may differ from its lock; it becomes the next revision (C2).
        state_folder: the workspace's ``.ssds``.
        sizes: sizes in bytes that the locks know.
        bring: brings blobs into the store from caches; False where some cannot be had.
    """

    store: Store
    sandbox: Sandbox | None
    mirrors: Mirrors
    workspace: str
    state_folder: str
    builder: Builder | None = None
    jobs: int = 1
    keep_failed: bool = False
    accept: bool = False
    sizes: Mapping[Digest, int] = field(default_factory=dict)
    bring: Callable[[Sequence[Digest]], bool] = lambda _: False

    def explain_os_error(self, error: OSError) -> SsdsError:
        """Turns the operating system's refusal into words."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return EnvironmentProblem(
                f"the disk is full ({error.filename or self.store.path})",
                hint="Free some space (`ssds gc` helps) or set store.path in ssds.yaml.",
                code="E061",
            )
        return EnvironmentProblem(
            f"{error.strerror or error} ({error.filename or 'no file named'})",
            hint="Check the file's owner, permissions and disk.",
        )


class _Log:
    """The node's log: streamed to a file, kept as a blob."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = open(path, "wb")  # noqa: SIM115 - closed by keep()
        self._lock = threading.Lock()
        self._size = 0

    def write(self, data: bytes) -> None:
        with self._lock:
            if self._file.closed:
                return
            self._size += len(data)
            if self._size <= _LOG_LIMIT_BYTES:
                with contextlib.suppress(OSError):  # a full disk: the step itself will say so
                    self._file.write(data)
                    self._file.flush()

    def keep(self, store: Store) -> Digest:
        with self._lock:
            self._file.close()
        with open(self.path, "rb") as file:
            return store.blobs.put(file.read())

    def discard(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._file.close()
            os.unlink(self.path)


def log_record_path(state_folder: str, node: NodeId) -> str:
    """Returns where the workspace remembers the newest log of a node."""
    name = f"{node}-{node.platform}".replace("/", "_")
    return os.path.join(state_folder, "logs", f"{name}.json")


def still_good(crew: Crew, step: PlanStep, action: Action) -> Claim | None:
    """Returns a claim that appeared since the plan was made, when it makes the run needless."""
    if step.reason in ("rerun", "retry"):
        return None
    claim = choose(crew.store.claims.find(action.key), step.node.kind, native=step.node.native)
    if step.reason == "bytes" and step.claim is not None and step.claim.key == action.key:
        claim = step.claim
    if claim is None or not all(crew.store.blobs.has(d) for d in claim.outputs.values()):
        return None
    return claim


def execute(
    crew: Crew,
    facts: Facts,
    step: PlanStep,
    action: Action,
    reporter: Reporter,
    stopping: threading.Event,
) -> Claim:
    """Runs the action and returns its claim, which is in the store.

    Raises:
        Refused: the outputs differ from what the lock or the plan's claim says (C2).
        SsdsError: whatever the runner raises; the log is kept.
    """
    node = action.node
    folder = crew.store.new_folder()
    log = _Log(os.path.join(crew.store.scratch, f"{os.path.basename(folder)}.log"))
    began = time.monotonic()
    bench = Bench(
        action=action,
        store=crew.store,
        sandbox=crew.sandbox.stoppable(stopping.is_set) if crew.sandbox else None,
        builder=crew.builder,
        mirrors=crew.mirrors,
        folder=folder,
        workspace=crew.workspace,
        say=lambda line: reporter.said(node.id, line),
        log=log.write,
        keep_failed=crew.keep_failed,
        fresh=step.reason == "rerun",
        keep=lambda entry: kept.remember(crew.state_folder, node.id, entry, crew.sandbox),
        stopping=stopping.is_set,
        sizes=crew.sizes,
    )
    try:
        outcome = runner(node.kind)(bench)
    except Exception as error:
        log.write(f"error: {error}\n".encode())
        with contextlib.suppress(OSError, SsdsError):  # a full disk must not hide the error
            _keep_log(crew, node.id, log, "failed")
        raise
    else:
        digest = _keep_log(crew, node.id, log, outcome.verdict or "done")
    finally:
        log.discard()
        remove_folder(folder)
    kept.forget(crew.state_folder, node.id, crew.sandbox)
    claim = _claim(action, outcome, digest, int((time.monotonic() - began) * 1000))
    try:
        _compare(crew, facts, step, claim)
    except Refused:
        crew.store.claims.add(claim.refused(), action.preimage_bytes, str(node.id))
        raise
    crew.store.claims.add(claim, action.preimage_bytes, str(node.id))
    return claim


def _claim(action: Action, outcome: Outcome, log: Digest, duration_ms: int) -> Claim:
    return Claim(
        key=action.key,
        kind=action.node.kind,
        outputs=outcome.outputs,
        verdict=outcome.verdict,
        logs={"log": log, **outcome.logs},
        builder=outcome.builder,
        mode=outcome.mode,
        emulated=outcome.emulated,
        impure=outcome.impure,
        tools=outcome.tools,
        made_at=int(time.time()),
        duration_ms=duration_ms,
    )


def _compare(crew: Crew, facts: Facts, step: PlanStep, claim: Claim) -> None:
    """Refuses outputs that differ from the locked ones, or from those that were to come again."""
    node = step.node
    known_claims = facts.claims(claim.key) if step.reason != "retry" else ()
    expected = choose(known_claims, node.kind)
    known = dict(expected.outputs) if expected else dict(node.fixed)
    differing = {
        name: (digest, claim.outputs.get(name))
        for name, digest in known.items()
        if claim.outputs.get(name) != digest
    }
    if not differing or crew.accept:
        return
    name, (before, after) = next(iter(differing.items()))
    where = f"the {expected.origin}" if expected else "its pin"
    maker = next((c.builder for c in known_claims if c.builder and c.outputs == known), "")
    raise Refused(
        f"{node.id.label} was rebuilt, and its {name} is not what {where} says\n"
        f"      {where:<10} {before}{_by(maker)}\n      rebuilt    {after}{_by(claim.builder)}",
        hint="`ssds apply --accept` makes it a new revision; `ssds log` shows how it was made.",
        code="E081",
    )


def _by(builder: str) -> str:
    return f" by {builder}" if builder else ""


def _keep_log(crew: Crew, node: NodeId, log: _Log, state: str) -> Digest:
    """Keeps a log as a blob and remembers it as the newest of its node."""
    digest = log.keep(crew.store)
    entry = {
        "node": str(node),
        "platform": node.platform,
        "log": str(digest),
        "state": state,
        "at": int(time.time()),
    }
    path = log_record_path(crew.state_folder, node)
    atomic_write(path, canonical_bytes(entry), point="log-record")
    return digest
