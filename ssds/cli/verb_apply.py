"""``ssds apply``: run the plan, update the locks, then the channels."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from ssds.cli import channels, planning, resolving
from ssds.cli.app import Context
from ssds.cli.output import report_error, say
from ssds.cli.progress import make_reporter
from ssds.cli.roots import register_roots
from ssds.cli.selecting import planning_options
from ssds.core.canonical import pretty_bytes
from ssds.core.errors import Refused, SsdsError
from ssds.delivery import Delivery
from ssds.engine.apply import Result, apply
from ssds.engine.runner import Crew
from ssds.engine.states import State
from ssds.graph.plan import Verb
from ssds.host.files import atomic_write
from ssds.workspace import Workspace


@click.command("apply")
@planning_options
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--jobs", "-j", type=click.IntRange(1, 256), help="How many nodes run at once.")
@click.option("--lock", "resolve", is_flag=True, help="Pin what is not locked first.")
@click.option("--locked", is_flag=True, help="Refuse when something is not locked (CI).")
@click.option("--accept", is_flag=True, help="Let a rebuild differ from its lock: a new revision.")
@click.option("--allow-remove", type=click.IntRange(0), default=0, metavar="N")
@click.option("--keep-failed", is_flag=True, help="Keep the tree of a failed step.")
@click.option("--no-push", is_flag=True, help="Leave the channels as they are.")
@click.pass_obj
def command(
    context: Context,
    /,
    yes: bool,
    jobs: int | None,
    resolve: bool,
    locked: bool,
    accept: bool,
    allow_remove: int,
    keep_failed: bool,
    no_push: bool,
    **asked: Any,
) -> int:
    """Run the plan: build, test, scan, publish; then update the locks and the channels.

    Goes on past failures. Exit code 1 when a step failed, 3 when something is held.
    """
    workspace = Workspace.open(context.folder)
    options = planning.Asked(**asked)
    if resolve:
        resolving.lock_all(workspace, options.selectors, options.platforms, frozenset())
    planned = planning.make(workspace, options)
    delivery = planned.delivery
    _check(delivery, locked=locked, resolve=resolve, allow_remove=allow_remove)
    if delivery.exit_code in (0, 3):
        print(planning.render(delivery))
        return delivery.exit_code
    print(planning.render(delivery))
    if not yes and not _confirmed():
        return 1
    crew = workspace.crew(
        jobs=jobs or workspace.settings.jobs, keep_failed=keep_failed, accept=accept
    )
    with workspace.store.shared():
        result = _run(planned, crew)
        resolving.update_locks(workspace, planned.graph, result)
        register_roots(workspace)
        _remember(workspace, result)
        code = _outcome(result)
        whole = channels.whole_releases(planned.plan, planned.graph)
        if not no_push and not result.stopped:
            code = channels.push(workspace, whole, refresh=options.refresh) or code
    return code


def _run(planned: planning.Planned, crew: Crew) -> Result:
    reporter = make_reporter()
    result = apply(planned.plan, planned.facts, crew, reporter)
    for record in result.failures:
        say("")
        say(f"FAILED {record.node.label}")
        error = record.error
        report_error(error if isinstance(error, SsdsError) else SsdsError(str(error)))
    return result


def _check(delivery: Delivery, *, locked: bool, resolve: bool, allow_remove: int) -> None:
    unlocked = [r for r in delivery.rows if r.reason == "unlocked"]
    if unlocked and not resolve:
        names = ", ".join(dict.fromkeys(r.node for r in unlocked[:5]))
        raise Refused(
            f"{len(unlocked)} steps are not locked: {names}" + (" …" if len(unlocked) > 5 else ""),
            hint="--locked refuses to resolve anything."
            if locked
            else "Run `ssds lock`, or `ssds apply --lock`.",
            code="E082",
        )
    removals = delivery.count(Verb.REMOVE)
    if removals > allow_remove:
        raise Refused(
            f"the plan removes {removals} thing{'s' if removals != 1 else ''}",
            hint=f"Check the rows with '-' and pass --allow-remove {removals}.",
            code="E083",
        )


def _confirmed() -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Refused(
            "apply asks before it runs, and there is no terminal to ask on",
            hint="Pass --yes.",
            code="E084",
        )
    return click.confirm("Apply this plan?", err=True)


def _remember(workspace: Workspace, result: Result) -> None:
    """Keeps what the last apply did in ``.ssds/last-apply.json``."""
    nodes = [
        {
            "node": str(name),
            "kind": name.kind,
            "platform": name.platform,
            "state": record.state.value,
            "duration_ms": record.duration_ms,
            "code": record.error.code if isinstance(record.error, SsdsError) else "",
        }
        for name, record in result.records.items()
    ]
    path = os.path.join(workspace.state_folder, "last-apply.json")
    atomic_write(path, pretty_bytes({"nodes": nodes}), point="last-apply")


def _outcome(result: Result) -> int:
    """Prints how it went and returns the exit code."""
    words = [
        f"{result.count(state)} {state.value}"
        for state in (
            State.DONE,
            State.REUSED,
            State.FAILED,
            State.SKIPPED,
            State.HELD,
            State.WAITING,
            State.STOPPED,
        )
        if result.count(state)
    ]
    print("Applied: " + ", ".join(words) + ".")
    if result.stopped:
        return 130
    if result.failures or result.count(State.SKIPPED):
        return 1
    failed_tests = [r for r in result.records.values() if r.claim and r.claim.verdict == "fail"]
    for record in failed_tests:
        say(f"{record.node.label} gave the verdict fail; `ssds log {record.node}` shows why.")
    return 3 if result.count(State.HELD) or failed_tests else 0
