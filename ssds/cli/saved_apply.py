"""``ssds apply FILE``: what of a saved plan may still run, judged against everything as it is now.

The plan is made anew with the saved date and wishes, then cut down to the saved steps (``judge``).
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ssds.cli import planning
from ssds.cli.channels import States
from ssds.cli.reasons import Places
from ssds.cli.releases import select
from ssds.cli.saving import read_note
from ssds.core.digest import Digest
from ssds.core.errors import Refused, UsageError
from ssds.core.model import NodeId, ReleaseName
from ssds.delivery import Delivery, Row, bring_rows, graph_rows, required_waits
from ssds.engine.apply import Result
from ssds.engine.states import State
from ssds.graph.explain import Difference
from ssds.graph.plan import PlanStep, Verb
from ssds.saved.judge import FOLLOWS, Judged, judge
from ssds.saved.make import lock_state
from ssds.saved.model import SavedPlan, SavedRow
from ssds.saved.read import read_saved
from ssds.workspace import Workspace

_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A saved plan that was judged.

    Attributes:
        planned: the plan that may run; its graph knows only the releases whose lock may be written.
        pushes: (channel, release) → what the channel held; only such pairs are pushed.
        refused: one line for each thing that is stale.
        forced: labels of the nodes that run again on request.
    """

    saved: SavedPlan
    plan_id: Digest
    planned: planning.Planned
    workspace: Workspace
    pushes: States
    refused: tuple[str, ...]
    forced: frozenset[str]

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do, channels aside."""
        return self.planned.delivery.exit_code in (0, 3)


def refuse_options(given: Mapping[str, object]) -> None:
    """Raises UsageError (E125) when options contradict a saved plan, which has its own."""
    named = [name for name, value in given.items() if value]
    if named:
        raise UsageError(
            f"a saved plan fixes what is done: {', '.join(named)} cannot be given with it",
            hint="Leave it out, or make another plan with it: `ssds plan … --out FILE`.",
            code="E125",
        )


def prepare(workspace: Workspace, file: str, *, refresh: bool) -> Prepared:
    """Reads the saved plan in ``file`` and returns what of it may still be done.

    Raises:
        UsageError, IntegrityError: the file cannot be used; E124: it is of another workspace.
    """
    saved, plan_id = read_saved(file)
    # The saved platforms hold, not those of this machine's settings.
    workspace = replace(workspace, settings=replace(workspace.settings, platforms=()))
    asked = planning.Asked(
        selectors=_still_known(workspace, saved, saved.options.selectors),
        platforms=saved.options.platforms,
        as_of=saved.as_of,
        fetch=saved.options.fetch,
        rerun=_still_known(workspace, saved, saved.options.rerun),
        retry=saved.options.retry,
        refresh=refresh,
    )
    planned = planning.make(workspace, asked)
    if saved.steps and not any(step.node in planned.graph.nodes for step in saved.steps):
        raise _foreign(saved)
    note = read_note(workspace, plan_id)
    places = Places(workspace, blames=0, limit_s=0.0)
    judged = judge(
        saved,
        planned.graph,
        planned.plan,
        planned.facts,
        expired=_expired(workspace, saved),
        finished=note.finished if note else frozenset(),
        place=lambda step, path: _place(places, step, path),
    )
    return _prepared(workspace, saved, plan_id, planned, judged)


def _still_known(workspace: Workspace, saved: SavedPlan, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the selectors that still name a release: what the others named is told as gone.

    Raises:
        UsageError: E124, none of them does.
    """
    kept = []
    for text in texts:
        with contextlib.suppress(UsageError):
            owner = text.partition(":")[0]
            if owner:
                select(workspace.catalog.releases, (owner,))
            kept.append(text)
    if texts and not kept:
        raise _foreign(saved)
    return tuple(kept)


def _foreign(saved: SavedPlan) -> UsageError:
    return UsageError(
        f"nothing of this plan is of this workspace; it was made in one called "
        f"{saved.made.workspace!r}",
        hint="Go to that workspace (`ssds -C DIR apply FILE`), or make a plan here.",
        code="E124",
    )


def _expired(workspace: Workspace, saved: SavedPlan) -> frozenset[NodeId]:
    """Returns what is judged otherwise today than when the plan was made (C15).

    Those are gates and tests of which a waiver or a debt ended meanwhile. The plan's own date is
    not looked at: who asks for another day gets it.
    """
    made = dt.datetime.fromtimestamp(saved.made.at, dt.UTC).date()
    today = dt.datetime.now(dt.UTC).date()
    if made == today:
        return frozenset()
    before, after = workspace.graph(made).nodes, workspace.graph(today).nodes
    return frozenset(
        name
        for name, node in before.items()
        if node.kind in ("gate", "test") and node.slice != after[name].slice
    )


def _place(places: Places, step: PlanStep, path: str) -> str:
    prefix = max((p for p in step.node.origin if path.startswith(p)), key=len, default="")
    address = step.node.origin[prefix] if prefix else ""
    difference = Difference(path=path, before="", after="", address=address)
    return str(places.spot(step, difference))


def _prepared(
    workspace: Workspace,
    saved: SavedPlan,
    plan_id: Digest,
    planned: planning.Planned,
    judged: Judged,
) -> Prepared:
    refused = [f"{node.label}: {why}" for node, why in judged.stale.items()]
    refused += [f"{label}: the catalog does not have it any more" for label in judged.gone]
    running = {str(n.owner) for n, s in judged.plan.steps.items() if s.runs}
    rows = {row.node: row for row in planned.delivery.rows}
    locks: list[Row] = []
    releases: list[ReleaseName] = []
    for row in (r for r in saved.rows if r.row.kind == "lock"):
        now = rows.get(row.row.node)
        if now is None or row.lock is None:
            continue
        why = _lock_moved(workspace, row, now, running)
        if why:
            refused.append(f"{now.node}: {why}")
            now = replace(now, verb=Verb.HELD, reason="stale", text=why)
        elif now.verb is not Verb.REMOVE:
            releases.append(row.lock.release)
        locks.append(now)
    pushed = {f"{c.release}:push/{c.channel}" for c in saved.channels}
    pushes = [r for r in planned.delivery.rows if r.kind == "push" and r.node in pushed]
    offer = planned.pushes.offer
    delivery = Delivery(
        plan=judged.plan,
        rows=(
            *graph_rows(judged.plan),
            *bring_rows(judged.plan, lambda digest, owner: offer(digest, owner)[0].name),
            *locks,
            *pushes,
        ),
        notes=planned.delivery.notes,
        required_waits=required_waits(judged.plan),
    )
    kept = {n: nodes for n, nodes in planned.graph.releases.items() if n in set(releases)}
    graph = replace(planned.graph, releases=kept)
    return Prepared(
        saved=saved,
        plan_id=plan_id,
        planned=replace(planned, graph=graph, delivery=delivery),
        workspace=workspace,
        pushes={(c.channel, c.release): c.observed for c in saved.channels},
        refused=tuple(refused),
        forced=frozenset(
            name.label for name, s in judged.plan.steps.items() if s.reason in ("rerun", "retry")
        ),
    )


def _lock_moved(workspace: Workspace, saved: SavedRow, now: Row, running: set[str]) -> str:
    """Returns why a lock must stay as it is, or the empty string."""
    assert saved.lock is not None
    if (now.verb is Verb.REMOVE) != (saved.row.verb is Verb.REMOVE):
        word = "removes" if saved.row.verb is Verb.REMOVE else "writes"
        return f"the plan {word} this lock, and now: {now.text}"
    here = lock_state(saved.lock.release, workspace.locks)
    if here != saved.lock:
        was, now_is = (f"r{s.revision}" if s.revision else "none" for s in (saved.lock, here))
        return f"the lock changed since: its release was {was} and is {now_is}"
    if now.verb is Verb.UNKNOWN and str(saved.lock.release) not in running:
        return f"{FOLLOWS} its steps, and they are stale"
    return ""


def headline(prepared: Prepared) -> str:
    """Returns the line that says which plan this is."""
    made = prepared.saved.made
    when = dt.datetime.fromtimestamp(made.at, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    commit = f", commit {made.commit[:12]}" if made.commit else ""
    return f"Saved plan {prepared.plan_id.short}, made {when}{commit}."


def refusals(prepared: Prepared) -> str:
    """Returns what is refused, for people; what only follows from it is counted."""
    first = [line for line in prepared.refused if not line.partition(": ")[2].startswith(FOLLOWS)]
    lines = [f"  STALE {line}" for line in first[:_SHOWN]]
    if len(first) > _SHOWN:
        lines.append(f"  … and {len(first) - _SHOWN} more")
    rest = len(prepared.refused) - len(first)
    needing = f", and {rest} that need{'s' if rest == 1 else ''} it" if rest else ""
    lines.append(
        f"  {len(first)} refused{needing}: what this plan rests on changed. Make a new plan for it."
    )
    return "\n".join(lines)


def check_platforms(prepared: Prepared) -> None:
    """Raises Refused (E126) when this machine can run nothing of a plan that was to run here."""
    wanted = {s.node.platform for s in prepared.saved.steps if s.runs and s.node.platform}
    steps = prepared.planned.plan.steps.values()
    missing = [s for s in steps if s.reason == "stale" and s.text.startswith("no builder")]
    if wanted and missing and not any(s.runs for s in steps):
        raise Refused(
            f"nothing of this plan can run here: {missing[0].text}",
            hint=f"Apply it on a machine for {', '.join(sorted(wanted))}; `ssds doctor` says why.",
            code="E126",
        )


def was_done(prepared: Prepared, result: Result | None) -> bool:
    """Whether every step of the plan had been done before."""
    if prepared.refused or any(not s.runs for s in prepared.saved.steps):
        return False
    records = result.records.values() if result else ()
    return all(record.state is State.REUSED for record in records)


def ran_again(prepared: Prepared, result: Result) -> list[str]:
    """Returns the labels of nodes that ran again on request and came to a result."""
    return [
        record.node.label
        for record in result.records.values()
        if record.state is State.DONE and record.node.label in prepared.forced
    ]
