"""Judges a saved plan against the world as it is now: which of its steps may still run. Pure.

A step is *stale* when what it rests on changed: its own definition, an input that was known, the
claim that it would make again, or that it can be built here. What needs a stale step is stale too;
all else runs. Nothing runs that the saved plan does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from ssds.core.model import Node, NodeId
from ssds.graph.compile import Graph
from ssds.graph.plan import Facts, Plan, PlanStep, Verb, choose
from ssds.saved.make import claim_of, definition_of, inputs_of, salt_of
from ssds.saved.model import Definition, SavedPlan, SavedStep

FOLLOWS = "it needs"
"""How a reason begins that only follows from another stale step."""
_UNSELECTED = "the selectors of the plan do not name it any more"

Place = Callable[[PlanStep, str], str]
"""Step and path in its slice → where that stands in the recipe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What is left of a saved plan.

    Attributes:
        plan: the steps of the plan and what they depend on; the stale ones have the reason
            ``stale`` and never run.
        stale: node → why it is refused.
        gone: labels of steps whose nodes the catalog does not have any more.
        done: how many steps of the saved plan need nothing any more.
    """

    plan: Plan
    stale: Mapping[NodeId, str] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    done: int = 0


def judge(
    saved: SavedPlan,
    graph: Graph,
    plan: Plan,
    facts: Facts,
    *,
    expired: AbstractSet[NodeId] = frozenset(),
    finished: AbstractSet[str] = frozenset(),
    place: Place = lambda _, path: path,
) -> Judged:
    """Returns what apply may still do.

    Args:
        graph, plan, facts: made now, with the saved plan's date and wishes.
        expired: gates whose waivers in force changed since the plan was made (C15).
        finished: labels of nodes that an earlier apply of this plan has run again.
        place: names a field of a step as people know it.
    """
    judging = _Judging(saved, plan, facts, expired, finished, place)
    own = {step.node: step for step in saved.steps}
    needed = graph.closure({name for name in own if name in graph.nodes})
    wanted = _wanted(graph, own)
    for name in graph.nodes:
        if name in needed:
            judging.node(graph.nodes[name], own.get(name), wanted=name in wanted)
    steps = judging.steps
    reused = {n for n, s in steps.items() if s.verb is Verb.REUSE}
    return Judged(
        plan=Plan(
            steps=steps,
            salt=plan.salt,
            brought={n: d for n, d in plan.brought.items() if n in reused},
        ),
        stale=judging.stale,
        gone=tuple(name.label for name in own if name not in graph.nodes),
        done=sum(1 for name, step in own.items() if step.runs and name in reused),
    )


def _wanted(graph: Graph, own: Mapping[NodeId, SavedStep]) -> set[NodeId]:
    """Returns the steps that run and what they need, without what the plan left waiting or held."""
    found: set[NodeId] = set()
    stack = [name for name, step in own.items() if step.runs and name in graph.nodes]
    while stack:
        name = stack.pop()
        if name not in found and (name not in own or own[name].runs):
            found.add(name)
            stack += [item.node for item in graph.nodes[name].inputs if item.node is not None]
    return found


class _Judging:
    def __init__(
        self,
        saved: SavedPlan,
        plan: Plan,
        facts: Facts,
        expired: AbstractSet[NodeId],
        finished: AbstractSet[str],
        place: Place,
    ) -> None:
        self.same_salt = saved.salt == salt_of(plan)
        self.plan = plan
        self.facts = facts
        self.expired = expired
        self.finished = finished
        self.place = place
        self.steps: dict[NodeId, PlanStep] = {}
        self.stale: dict[NodeId, str] = {}

    def node(self, node: Node, saved: SavedStep | None, *, wanted: bool) -> None:
        """Gives one node its step; those of its inputs are known.

        Args:
            wanted: a step that runs needs it, or it is one.
        """
        now = self.plan.steps.get(node.id)
        if now is None:
            now = PlanStep(node=node, verb=Verb.WAIT, reason="builder", text=_UNSELECTED)
        why = self._why(node, now, saved) if wanted else ""
        if why:
            self.stale[node.id] = why
            step = replace(now, verb=Verb.HELD, reason="stale", text=why, claim=None)
        elif not now.runs:
            step = now
        elif saved is None:
            text = "the plan does not run it"
            step = replace(now, verb=Verb.WAIT, reason="builder", text=text, claim=None)
        elif not saved.runs:
            step = replace(now, verb=saved.verb, reason=saved.reason, text=saved.text)
        else:
            step = self._not_twice(now)
        self.steps[node.id] = step

    def _why(self, node: Node, now: PlanStep, saved: SavedStep | None) -> str:
        """Returns why the node is refused, or the empty string."""
        if node.id in self.expired:
            return "the waivers in force changed since the plan was made"
        if saved is None:
            unplanned = f"the plan has no step for it, and now: {now.text}" if now.runs else ""
            return self._needs_stale(node) or unplanned
        if not saved.runs:
            return ""
        if now.text == _UNSELECTED:
            return _UNSELECTED
        return self._changed(saved, now) or self._needs_stale(node) or self._moved(saved, now)

    def _needs_stale(self, node: Node) -> str:
        for item in node.inputs:
            if item.node in self.stale:
                return f"{FOLLOWS} {item.node.label}, which is stale"
        return ""

    def _changed(self, saved: SavedStep, now: PlanStep) -> str:
        """Returns what changed of the definition."""
        before, after = saved.definition, definition_of(now.node)
        if not self.same_salt:
            return "the catalog's salt changed"
        if before.unpinned != after.unpinned:
            missing = [*after.unpinned, *before.unpinned]
            return f"its pins changed: {', '.join(missing[:3])}"
        if before.kind_version != after.kind_version:
            return (
                f"ssds itself changed: {now.node.kind} {before.kind_version} → {after.kind_version}"
            )
        if before.slice != after.slice:
            paths = changed_fields(before, after)
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            return f"changed since: {self.place(now, paths[0])}{more}"
        if before.epoch != after.epoch:
            return f"the date of its inputs changed: {before.epoch} → {after.epoch}"
        if dict(before.fixed) != dict(after.fixed):
            return "its pin changed"
        if before.edges != after.edges:
            return self._edges(saved, now)
        return ""

    def _edges(self, saved: SavedStep, now: PlanStep) -> str:
        old = {
            item.role: (item.node, "" if item.node else str(item.digest)) for item in saved.inputs
        }
        new = {
            i.role: (i.node.label if i.node else "", str(i.digest or "")) for i in now.node.inputs
        }
        for role in sorted({*old, *new}):
            if role not in new:
                return f"its input {role} is gone"
            if role not in old:
                return f"its input {role} is new"
            if old[role] != new[role]:
                return f"its input {role} is another one now: {new[role][0] or new[role][1]}"
        return "its inputs changed"

    def _moved(self, saved: SavedStep, now: PlanStep) -> str:
        """Returns what changed of the facts: inputs, claims, builders."""
        before = {item.role: item for item in saved.inputs}
        for item in inputs_of(now.node, self.plan.steps):
            known = before[item.role].digest
            if known is None or known == item.digest:
                continue
            if item.digest is not None:
                return f"its input {item.role} was {known.short} and is {item.digest.short}"
            if self._lost(now.node, item.role):
                return f"its input {item.role} was {known.short} and is not known now"
        if now.verb is Verb.WAIT:
            return now.text
        if not now.runs:
            return ""
        key = now.action.key if now.action else None
        if saved.key is not None and key is not None and saved.key != key:
            return f"its key was {saved.key.short} and is {key.short}"
        if saved.reason == "bytes" and claim_of(now.claim) != saved.claim:
            return "the result that it would make again is another one now, or not claimed any more"
        return ""

    def _lost(self, node: Node, role: str) -> bool:
        """Whether the node of an input gives nothing any more: it waits, or is held."""
        source = next(item.node for item in node.inputs if item.role == role)
        return source is not None and self.plan.steps[source].verb in (Verb.WAIT, Verb.HELD)

    def _not_twice(self, now: PlanStep) -> PlanStep:
        """Reuses what an earlier apply of the same plan has run again on request."""
        if now.reason not in ("rerun", "retry") or now.node.id.label not in self.finished:
            return now
        claim = None
        if now.action is not None:
            known = self.facts.claims(now.action.key)
            claim = choose(known, now.node.kind, native=now.node.native)
        if claim is None:
            return now
        return replace(
            now, verb=Verb.REUSE, reason="claim", text="this plan has run it again", claim=claim
        )


def changed_fields(before: Definition, after: Definition) -> list[str]:
    """Returns the paths of a slice's fields that differ; ``slice`` where none can be named."""
    paths = [
        path
        for path in (*after.fields, *(p for p in before.fields if p not in after.fields))
        if before.fields.get(path) != after.fields.get(path)
    ]
    return paths or ["slice"]
