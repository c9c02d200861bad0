"""Makes and prints the joint plan, for ``plan`` and ``apply``."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, replace

from ssds.cli import channels
from ssds.cli.output import table
from ssds.cli.selecting import make_wishes
from ssds.delivery import (
    Delivery,
    Row,
    change_rows,
    found_by_plan,
    graph_rows,
    lock_rows,
    required_waits,
)
from ssds.graph.compile import Graph
from ssds.graph.explain import Difference, differences, distance
from ssds.graph.plan import Facts, Plan, PlanStep, Verb, make_plan
from ssds.workspace import Workspace, parse_date

_ORDER = (Verb.HELD, Verb.REMOVE, Verb.RUN, Verb.UNKNOWN, Verb.WAIT, Verb.REUSE)
_EXPLAINED_AT_MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options that ``plan`` and ``apply`` share."""

    selectors: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    as_of: str = ""
    fetch: bool = False
    rerun: tuple[str, ...] = ()
    retry: bool = False
    refresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan and what it was made from."""

    graph: Graph
    facts: Facts
    delivery: Delivery
    as_of: dt.date

    @property
    def plan(self) -> Plan:
        """The graph's plan."""
        return self.delivery.plan


def make(workspace: Workspace, asked: Asked) -> Planned:
    """Returns the joint plan; reads, and changes nothing."""
    as_of = parse_date(asked.as_of)
    graph = workspace.graph(as_of)
    pushes = channels.look(workspace, refresh=asked.refresh)
    wishes = make_wishes(
        graph,
        selectors=asked.selectors,
        platforms=asked.platforms or workspace.settings.platforms,
        fetch=asked.fetch,
        rerun=asked.rerun,
        retry=asked.retry,
    )
    wishes = replace(wishes, fetch=wishes.fetch | pushes.wanted(workspace, graph))
    facts = workspace.facts()
    plan = _explained(workspace, make_plan(graph, facts, wishes))
    found = found_by_plan(plan, workspace.read_blob)
    rows = graph_rows(plan)
    rows += lock_rows(graph, workspace.catalog, plan, workspace.locks, found)
    rows += change_rows(pushes.judged(plan, graph))
    delivery = Delivery(
        plan=plan,
        rows=tuple(rows),
        notes=pushes.notes,
        required_waits=required_waits(plan),
    )
    return Planned(graph=graph, facts=facts, delivery=delivery, as_of=as_of)


def _explained(workspace: Workspace, plan: Plan) -> Plan:
    """Says for each new key which fields differ from the nearest remembered one."""
    fresh = [s for s in plan.steps.values() if s.reason == "new" and s.action is not None]
    steps = dict(plan.steps)
    for step in fresh[:_EXPLAINED_AT_MOST]:
        found = nearest(workspace, step)
        if found:
            more = f" and {len(found) - 1} more" if len(found) > 1 else ""
            text = f"changed: {place(workspace, step, found[0])}{more}"
            steps[step.node.id] = replace(step, reason="changed", text=text)
    return replace(plan, steps=steps)


def nearest(workspace: Workspace, step: PlanStep) -> tuple[Difference, ...]:
    """Returns the differences from the nearest remembered key, or nothing without one."""
    store = workspace.store_if_there
    if store is None or step.action is None:
        return ()
    node = step.node
    known = store.claims.nearest(node.kind, node.id.owner, node.id.platform)
    preimages = [json.loads(entry.preimage) for entry in known]
    if not preimages:
        return ()
    now = json.loads(step.action.preimage_bytes)
    best = min(preimages, key=lambda before: distance(before, now))
    return differences(best, now, node)


def place(workspace: Workspace, step: PlanStep, difference: Difference) -> str:
    """Returns where a difference comes from: ``build[2].script (catalog/x/recipe.yaml:23)``."""
    if not difference.address or not step.node.recipe_path:
        return difference.path
    span = workspace.reading.spans(step.node.recipe_path, difference.address)
    return f"{difference.path} ({span.path}:{span.line})" if span.line else difference.path


def render(delivery: Delivery, *, full: bool = False) -> str:
    """Returns the plan for people: summary first, reasons, one line of counts at the end."""
    shown = [r for r in delivery.rows if full or r.verb is not Verb.REUSE]
    lines = [_headline(delivery), ""]
    if shown:
        shown.sort(key=lambda r: _ORDER.index(r.verb))
        lines += [table([_cells(row) for row in shown], indent="  "), ""]
    lines += [f"note: {note}" for note in delivery.notes]
    lines.append(_counts(delivery))
    return "\n".join(lines)


def _cells(row: Row) -> list[str]:
    marks = ("!" if "irreversible" in row.marks else "") + ("i" if "impure" in row.marks else "")
    return [f"{row.verb.value}{marks}", row.node, row.platform, row.text]


def _headline(delivery: Delivery) -> str:
    code = delivery.exit_code
    if code == 0:
        waiting = delivery.count(Verb.WAIT)
        rest = f" ({waiting} optional ones wait)" if waiting else ""
        return f"Nothing to do: {delivery.count(Verb.REUSE)} results are reused{rest}."
    if code == 3:
        return "Nothing can run, but something is held or waits."
    running = delivery.count(Verb.RUN) + delivery.count(Verb.UNKNOWN) + delivery.count(Verb.REMOVE)
    return f"{running} steps to do, {delivery.count(Verb.REUSE)} results reused."


def _counts(delivery: Delivery) -> str:
    summary = delivery.summary
    words = [f"{summary[verb.word]} {verb.word}" for verb in Verb]
    marks = [f"{summary[m]} {m}" for m in ("irreversible", "impure") if summary[m]]
    return "Plan: " + ", ".join(words + marks) + "."
