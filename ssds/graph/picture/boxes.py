"""Boxes and lines of a graph: one box for each node, or one for each release and base."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ssds.core.model import NodeId
from ssds.graph.compile import Graph
from ssds.graph.picture.model import IMPORTANCE, Box, Level, Line, Picture, added, in_words
from ssds.graph.plan import Plan, PlanStep, Verb

_TOLD = 8
"""So many nodes are listed where one points at a box of several."""


def node_picture(graph: Graph, plan: Plan, chosen: Sequence[NodeId], title: str) -> Picture:
    """Returns one box for each of ``chosen``."""
    shown = set(chosen)
    boxes = [_node_box(plan.steps[name]) for name in chosen]
    pairs: dict[tuple[str, str], bool] = {}
    for name in chosen:
        for item in graph.nodes[name].inputs:
            if item.node in shown and item.node is not None:
                pair = (item.node.label, name.label)
                pairs[pair] = pairs.get(pair, True) and item.gate
    return Picture(
        title=title,
        level=Level.NODES,
        boxes=tuple(boxes),
        lines=lines_of(pairs),
        totals=added(box.counts for box in boxes),
    )


def release_picture(graph: Graph, plan: Plan, chosen: Sequence[NodeId], title: str) -> Picture:
    """Returns one box for each release and base; sources are part of the releases that use them."""
    owners = _owners(graph, chosen)
    members: dict[str, list[PlanStep]] = {}
    pairs: dict[tuple[str, str], bool] = {}
    for name in chosen:
        for owner in owners[name]:
            members.setdefault(owner, []).append(plan.steps[name])
        for item in graph.nodes[name].inputs:
            if item.node is None or item.node.kind == "source" or item.node not in owners:
                continue
            pair = (item.node.owner, name.owner)
            if pair[0] != pair[1]:
                pairs[pair] = pairs.get(pair, True) and item.gate
    return Picture(
        title=title,
        level=Level.RELEASES,
        boxes=tuple(_owner_box(owner, steps) for owner, steps in sorted(members.items())),
        lines=lines_of(pairs),
        totals=counts_of(plan.steps[name] for name in chosen),
    )


def lines_of(pairs: Mapping[tuple[str, str], bool]) -> tuple[Line, ...]:
    """Returns lines for (tail, head) pairs and whether each is only a verdict; sorted."""
    return tuple(sorted(Line(tail=a, head=b, verdict=gate) for (a, b), gate in pairs.items()))


def counts_of(steps: Iterable[PlanStep]) -> dict[Verb, int]:
    """Returns how many steps have each verb."""
    counts: dict[Verb, int] = {}
    for step in steps:
        counts[step.verb] = counts.get(step.verb, 0) + 1
    return counts


def _node_box(step: PlanStep) -> Box:
    name = step.node.id
    owner = name.owner + (f"/{name.part}" if name.part and name.kind == "base" else "")
    told = [name.label, f"{step.verb.value} {step.verb.word}: {step.text}"]
    told.append(f"key {step.action.key.short}" if step.action else "key known after apply")
    told += sorted(step.node.marks)
    return Box(
        id=name.label,
        name=name.kind,
        note=f"{owner} · {name.platform}" if name.platform else owner,
        kind=name.kind,
        counts={step.verb: 1},
        details=tuple(told),
    )


def _owners(graph: Graph, chosen: Sequence[NodeId]) -> dict[NodeId, tuple[str, ...]]:
    """Returns the boxes that each node belongs to."""
    owners: dict[NodeId, tuple[str, ...]] = {}
    users: dict[NodeId, dict[str, None]] = {}
    for name in chosen:
        if name.kind != "source":
            owners[name] = (name.owner,)
        for item in graph.nodes[name].inputs:
            if item.node is not None and item.node.kind == "source":
                users.setdefault(item.node, {})[name.owner] = None
    for name in chosen:
        if name.kind == "source":
            owners[name] = tuple(users.get(name, {name.owner: None}))
    return owners


def _owner_box(owner: str, steps: Sequence[PlanStep]) -> Box:
    counts = counts_of(steps)
    kinds = {step.node.kind for step in steps}
    told = [owner]
    busy = [step for step in steps if step.verb is not Verb.REUSE]
    busy.sort(key=lambda step: IMPORTANCE.index(step.verb))
    told += [f"{s.verb.value} {_within(s.node.id, owner)}: {s.text}" for s in busy[:_TOLD]]
    if len(busy) > _TOLD:
        told.append(f"and {len(busy) - _TOLD} more")
    if counts.get(Verb.REUSE):
        told.append(f"= {counts[Verb.REUSE]} reused")
    return Box(
        id=owner,
        name=owner,
        note=in_words(counts),
        kind=kinds.pop() if len(kinds) == 1 and kinds <= {"base", "source"} else "release",
        counts=counts,
        details=tuple(told),
    )


def _within(name: NodeId, owner: str) -> str:
    return name.label.removeprefix(f"{owner}:")
