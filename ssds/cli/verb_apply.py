"""``ssds apply``: run the plan, update the locks, then the channels."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from ssds.cli import applied, caching, channels, datasets, planning, resolving
from ssds.cli.app import Context
from ssds.cli.output import counted, print_json, report_error, say, show
from ssds.cli.progress import make_reporter
from ssds.cli.roots import register_roots
from ssds.cli.selecting import planning_options
from ssds.core.errors import Refused, UnavailableError, UsageError
from ssds.core.model import ReleaseName
from ssds.delivery import Delivery, gone
from ssds.engine.apply import Result, apply
from ssds.engine.runner import Crew
from ssds.graph.plan import Verb
from ssds.saved.read import names_plan
from ssds.workspace import Workspace

if TYPE_CHECKING:
    from ssds.cli.saved_apply import Prepared


@click.command("apply")
@planning_options
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option(
    "--jobs", "-j", type=click.IntRange(0, 256), help="How many nodes run at once; 0: one per core."
)
@click.option("--lock", "resolve", is_flag=True, help="Pin what is not locked first.")
@click.option("--locked", is_flag=True, help="Refuse when something is not locked (CI).")
@click.option("--accept", is_flag=True, help="Let a rebuild differ from its lock: a new revision.")
@click.option(
    "--allow-remove",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Let the plan remove as many things.",
)
@click.option("--keep-failed", is_flag=True, help="Keep the tree of a failed step.")
@click.option("--no-push", is_flag=True, help="Leave the channels as they are.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object of what was done.")
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
    as_json: bool,
    no_cache: bool,
    **asked: Any,
) -> int:
    """Run the plan: build, test, scan, publish; then update the locks and the channels.

    Goes on past failures. Exit code 1 when a step failed, 3 when something is held.

    With a file of `ssds plan --out` in place of selectors: run that plan and nothing else, without
    a question. What a step rests on may have changed since: then that step, and what needs it, is
    refused as stale, the others run, and the exit code is 1.
    """
    if resolve and locked:
        raise UsageError("--lock and --locked exclude each other", hint="Leave one out.")
    options = planning.Asked(**asked)
    run = _Run(locked=locked, allow_remove=allow_remove, push=not no_push, no_cache=no_cache)
    crew_of = _crew_of(jobs, keep_failed=keep_failed, accept=accept)
    if any(names_plan(text) for text in options.selectors):
        return _apply_file(context, options, run, crew_of, lock=resolve, as_json=as_json)
    workspace = Workspace.open(context.folder).built_by(options.builder, no_cache=no_cache)
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        if resolve:
            resolving.lock_all(workspace, options.selectors, options.platforms)
        planned = planning.make(workspace, options)
        delivery = planned.delivery
        _check(delivery, locked=locked, resolve=resolve, allow_remove=allow_remove)
        show(planning.render(delivery))
        result, locks, code = None, list[str](), delivery.exit_code
        if code not in (0, 3):
            if not yes and not _confirmed():
                return 1
            workspace.check_writable()
            planned = _brought(workspace, planned, options, yes=yes)
            whole = channels.whole_releases(planned.plan, planned.graph)
            pushing = _Pushing(names=whole if run.push else frozenset(), refresh=options.refresh)
            result, locks, code = _carry_out(workspace, planned, crew_of(workspace), pushing)
    if as_json:
        print_json(applied.to_dict(result, locks, code))
    return code


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """The options that hold for plans of both sorts."""

    locked: bool
    allow_remove: int
    push: bool
    no_cache: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pushing:
    """What is pushed afterwards; ``expected`` as in ``pushing.push``."""

    names: frozenset[ReleaseName]
    refresh: bool
    expected: channels.States | None = None


def _brought(
    workspace: Workspace, planned: planning.Planned, options: planning.Asked, *, yes: bool
) -> planning.Planned:
    """Brings what the plan takes from caches; where they lack it, plans and asks anew."""
    while not caching.bring(workspace, planned):
        planned = planning.make(workspace, options)
        show(planning.render(planned.delivery))
        if not yes and not _confirmed():
            raise click.Abort
    return planned


def _crew_of(jobs: int | None, *, keep_failed: bool, accept: bool) -> Callable[[Workspace], Crew]:
    def crew(workspace: Workspace) -> Crew:
        wanted = workspace.settings.jobs if jobs is None else jobs
        return workspace.crew(
            jobs=wanted or len(os.sched_getaffinity(0)), keep_failed=keep_failed, accept=accept
        )

    return crew


def _apply_file(
    context: Context,
    options: planning.Asked,
    run: _Run,
    crew_of: Callable[[Workspace], Crew],
    *,
    lock: bool,
    as_json: bool,
) -> int:
    """Applies a saved plan; what it rests on is judged first."""
    from ssds.cli import saved_apply

    (file, *rest) = sorted(options.selectors, key=lambda text: not names_plan(text))
    given = {
        " ".join(rest): rest,
        "--platform": options.platforms,
        "--as-of": options.as_of,
        "--fetch": options.fetch,
        "--rerun": options.rerun,
        "--retry": options.retry,
        "--lock": lock,
    }
    saved_apply.refuse_options(given)
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        opened = Workspace.open(context.folder).built_by(options.builder, no_cache=run.no_cache)
        prepared = saved_apply.prepare(opened, file, refresh=options.refresh)
        delivery = prepared.planned.delivery
        saved_apply.check_platforms(prepared)
        _check(delivery, locked=run.locked, resolve=False, allow_remove=run.allow_remove)
        say(saved_apply.headline(prepared))
        show(planning.render(delivery))
        if prepared.refused:
            say(saved_apply.refusals(prepared))
        result, locks, code = None, list[str](), delivery.exit_code
        if not prepared.idle:
            result, locks, code = _carry_out_saved(prepared, file, run, crew_of)
        if not locks and saved_apply.was_done(prepared, result):
            print("Nothing was left to run: this plan is done already.")
        code = 1 if prepared.refused and code in (0, 3) else code
    if as_json:
        told = applied.to_dict(result, locks, code)
        print_json({**told, "plan_id": str(prepared.plan_id), "refused": list(prepared.refused)})
    return code


def _carry_out_saved(
    prepared: Prepared, file: str, run: _Run, crew_of: Callable[[Workspace], Crew]
) -> tuple[Result, list[str], int]:
    from ssds.cli import saved_apply, saving

    workspace = prepared.workspace
    workspace.check_writable()
    if not caching.bring(workspace, prepared.planned):
        raise UnavailableError(
            "a remote cache has not what this plan takes from it",
            hint="Make a plan anew: what cannot be had is built then.",
            code="E223",
        )
    names = frozenset(name for _, name in prepared.pushes) if run.push else frozenset()
    pushing = _Pushing(names=names, refresh=False, expected=prepared.pushes)
    crew = crew_of(workspace)
    result, locks, code = _carry_out(workspace, prepared.planned, crew, pushing)
    again = saved_apply.ran_again(prepared, result)
    if again:
        saving.note_finished(workspace, prepared.plan_id, file, again)
    return result, locks, code


def _carry_out(
    workspace: Workspace, planned: planning.Planned, crew: Crew, pushing: _Pushing
) -> tuple[Result, list[str], int]:
    """Runs the plan, then updates the locks, then the channels (C14)."""
    workspace.tidy()
    with workspace.store.shared():
        channels.bring_bytes(workspace, planned.pushes, planned.plan)
        try:
            result = _run(planned, crew)
        finally:
            if crew.builder is not None:
                crew.builder.close()
        locks = resolving.update_locks(workspace, planned.graph, result)
        if not result.stopped:
            locks += _remove(workspace, planned.delivery)
        register_roots(workspace)
        applied.remember(workspace, result)
        caching.send(workspace, result)
        code = applied.exit_code(result)
        if pushing.names and not result.stopped:
            from ssds.cli.pushing import push

            pushed = push(
                workspace, pushing.names, refresh=pushing.refresh, expected=pushing.expected
            )
            code = pushed if pushed == 1 else code or pushed
    return result, locks, code


def _remove(workspace: Workspace, delivery: Delivery) -> list[str]:
    """Takes out of the locks what the plan removes, and nothing else."""
    told = {row.node for row in delivery.rows if row.verb is Verb.REMOVE}
    names = [n for n in gone(workspace.catalog, workspace.locks) if f"{n}:lock" in told]
    for name in names:
        say(f"  - {name}: its lock is removed")
    lost = set(workspace.data_locks) - set(workspace.catalog.data)
    sets = sorted(name for name in lost if f"{name}:lock" in told)
    removed = datasets.remove_data_locks(workspace, sets) if sets else []
    return resolving.remove_locks(workspace, names) + removed


def _run(planned: planning.Planned, crew: Crew) -> Result:
    from ssds.engine.supply import supply

    reporter = make_reporter()
    gone = supply(planned.plan, crew, reporter)
    if gone is not None:
        report_error(gone)
    result = apply(planned.plan, planned.facts, crew, reporter)
    applied.report_failures(result)
    return result


def _check(delivery: Delivery, *, locked: bool, resolve: bool, allow_remove: int) -> None:
    unlocked = [r for r in delivery.rows if r.reason == "unlocked"]
    if unlocked and not resolve:
        names = ", ".join(dict.fromkeys(r.node for r in unlocked[:5]))
        are = "is" if len(unlocked) == 1 else "are"
        raise Refused(
            f"{counted(len(unlocked), 'step')} {are} not locked: {names}"
            + (" …" if len(unlocked) > 5 else ""),
            hint="Run `ssds lock` and commit lockfiles/; --locked resolves nothing itself."
            if locked
            else "Run `ssds lock`, or `ssds apply --lock`.",
            code="E082",
        )
    removals = delivery.count(Verb.REMOVE)
    if removals > allow_remove:
        raise Refused(
            f"the plan removes {counted(removals, 'thing')}",
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
