"""What an apply did, told: a line for people, one JSON object, and ``.ssds/last-apply.json``."""

from __future__ import annotations

import os
from typing import Any

from ssds.cli.guard import EXIT_STOPPED
from ssds.cli.output import report_error, say
from ssds.core.canonical import pretty_bytes
from ssds.core.errors import SsdsError
from ssds.engine.apply import Result
from ssds.engine.states import Record, State
from ssds.host.files import atomic_write
from ssds.workspace import Workspace

FORMAT_VERSION = "1.0"
_TOLD = (
    State.DONE,
    State.REUSED,
    State.FAILED,
    State.SKIPPED,
    State.STALE,
    State.HELD,
    State.WAITING,
    State.STOPPED,
)


def report_failures(result: Result) -> None:
    """Prints every failure with what to do."""
    for record in result.failures:
        say("")
        say(f"FAILED {record.node.label}")
        error = record.error
        report_error(error if isinstance(error, SsdsError) else SsdsError(str(error)))


def remember(workspace: Workspace, result: Result) -> None:
    """Keeps what the last apply did in ``.ssds/last-apply.json``."""
    nodes = [_node(record) for record in result.records.values()]
    path = os.path.join(workspace.state_folder, "last-apply.json")
    atomic_write(path, pretty_bytes({"nodes": nodes}), point="last-apply")


def exit_code(result: Result) -> int:
    """Prints how it went and returns the exit code."""
    words = [f"{result.count(state)} {state.value}" for state in _TOLD if result.count(state)]
    print("Applied: " + ", ".join(words) + ".")
    if result.stopped:
        return EXIT_STOPPED
    if result.failures or result.count(State.SKIPPED) or result.count(State.STALE):
        return 1
    failed_tests = [r for r in result.records.values() if r.claim and r.claim.verdict == "fail"]
    for record in failed_tests:
        say(f"{record.node.label} gave the verdict fail; `ssds log {record.node}` shows why.")
    return 3 if result.count(State.HELD) or failed_tests else 0


def to_dict(result: Result | None, locks: list[str], code: int) -> dict[str, Any]:
    """Returns the one JSON object of ``apply --json``; None stands for "there was nothing to run".

    ``summary`` counts nodes by their end state; ``nodes`` has those that were not just reused.
    """
    records = list(result.records.values()) if result else []
    return {
        "format_version": FORMAT_VERSION,
        "exit_code": code,
        "stopped": result is not None and result.stopped,
        "summary": {state.value: sum(1 for r in records if r.state is state) for state in _TOLD},
        "nodes": [_node(r) for r in records if r.state is not State.REUSED],
        "locks": locks,
    }


def _node(record: Record) -> dict[str, Any]:
    error = record.error
    return {
        "node": str(record.node),
        "kind": record.node.kind,
        "platform": record.node.platform,
        "state": record.state.value,
        "verdict": record.claim.verdict if record.claim else "",
        "duration_ms": record.duration_ms,
        "code": error.code if isinstance(error, SsdsError) else "E001" if error else "",
        "why": record.why,
    }
