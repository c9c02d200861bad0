"""Plans: graph, facts and policy in; ordered steps with a verb and a reason each out. Pure (C1).

A node is reused when an acceptable claim names all its outputs, whether the bytes are here or not
(C2). Bytes are wanted only by what will run; what no place offers makes its producer run again.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Container, Mapping

from ssds.core.canonical import Texts
from ssds.core.digest import ActionKey, Digest
from ssds.core.model import VERDICT_KINDS, Action, Claim, Node, NodeId
from ssds.core.platform import Platform
from ssds.core.records import dataclass, field, replace
from ssds.graph.compile import Graph

EXECUTING = frozenset({"base", "build", "test", "data"})
"""Kinds that run programs of their platform, and so need a builder for it.

Without a platform they need a sandbox alone."""


class Verb(enum.Enum):
    """What will happen to a node (design section 4)."""

    REUSE = "="
    RUN = "+"
    UNKNOWN = "?"
    REMOVE = "-"
    WAIT = "w"
    HELD = "x"

    @property
    def word(self) -> str:
        """The word that JSON uses."""
        return _WORDS[self]


_WORDS = {
    Verb.REUSE: "reuse",
    Verb.RUN: "run",
    Verb.UNKNOWN: "unknown",
    Verb.REMOVE: "remove",
    Verb.WAIT: "waiting",
    Verb.HELD: "held",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was found out before; plan asks nothing else (C1).

    Attributes:
        claims: action key → acceptable claims, the locked one first, then the earliest.
        has: the digests whose bytes are in the store.
        sizes: digest → size in bytes where a lock says it.
        offered: digests whose bytes an observed channel or a remote cache has, or from which they
            can be unpacked.
        builder: platform → the empty string when it can be built here, else why not.
        sandbox: the empty string when what has no platform can run in a sandbox here, else why not.
        emulates: platform → why it counts as emulated here, or the empty string.
        cached: action key → claims of remote caches; asked only for what nothing else claims.
        sure: claims of locks, none of them a failure: where one is, ``claims`` need not be asked,
            for the locked one wins (C3).
        doubts: whether what a claim says is known only from one who is not trusted any more: then
            the locked one does not win either.
        withdrawn: releases that are not to be used any more: nothing new is published on them.
    """

    claims: Callable[[ActionKey], tuple[Claim, ...]]
    has: Container[Digest]
    sizes: Mapping[Digest, int] = field(default_factory=dict)
    offered: Container[Digest] = frozenset()
    builder: Callable[[Platform], str] = lambda platform: f"no builder for {platform}"
    sandbox: Callable[[], str] = lambda: ""
    emulates: Callable[[Platform], str] = lambda _: ""
    cached: Callable[[ActionKey], tuple[Claim, ...]] = lambda _: ()
    sure: Mapping[ActionKey, Claim] = field(default_factory=dict)
    doubts: Callable[[Claim], bool] = lambda _: False
    withdrawn: frozenset[str] = frozenset()

    def believed(self, key: ActionKey) -> tuple[Claim, ...]:
        """Returns those claims of a key that may be reused."""
        return tuple(claim for claim in self.claims(key) if not self.doubts(claim))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the user asked for.

    Attributes:
        nodes: only these and what they depend on; None means all.
        platforms: only these platforms run; None means all.
        fetch: nodes whose outputs must be here as bytes.
        rerun: nodes to run again though a claim exists.
        retry: run remembered failures again.
    """

    nodes: frozenset[NodeId] | None = None
    platforms: frozenset[Platform] | None = None
    fetch: frozenset[NodeId] = frozenset()
    rerun: frozenset[NodeId] = frozenset()
    retry: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStep:
    """One node's row.

    Attributes:
        reason: a fixed code (``new``, ``input``, ``bytes``, …); ``text`` says it in words.
        action: the resolved action, where all inputs are known.
        claim: the claim that is reused, or that a run for bytes must give again.
    """

    node: Node
    verb: Verb
    reason: str
    text: str
    action: Action | None = None
    claim: Claim | None = None

    @property
    def runs(self) -> bool:
        """Whether apply may run it."""
        return self.verb in (Verb.RUN, Verb.UNKNOWN)

    @property
    def outputs(self) -> Mapping[str, Digest]:
        """The outputs that are known now."""
        return self.claim.outputs if self.claim else self.node.fixed


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The steps in topological order.

    Attributes:
        brought: reused nodes → those of their outputs whose bytes a channel gives (C2).
        withdrawn: as in Facts.
    """

    steps: Mapping[NodeId, PlanStep]
    salt: str = ""
    brought: Mapping[NodeId, tuple[Digest, ...]] = field(default_factory=dict)
    withdrawn: frozenset[str] = frozenset()

    def count(self, verb: Verb) -> int:
        """How many steps have that verb."""
        return sum(1 for s in self.steps.values() if s.verb is verb)


def choose(
    claims: tuple[Claim, ...], kind: str, *, retry: bool = False, native: bool = False
) -> Claim | None:
    """Returns the claim that counts: the locked one, then the earliest (C3).

    One that does not name what a node of that kind gives is none (C2), nor is one that emulation
    made where ``native`` ones are asked for.
    """
    for claim in sorted(claims, key=lambda c: c.origin != "lock"):
        refused = (retry and claim.verdict == "fail") or (native and claim.emulated)
        if claim.is_whole(kind) and not refused:
            return claim
    return None


def make_plan(graph: Graph, facts: Facts, wishes: Wishes | None = None) -> Plan:
    """Returns the plan; the same arguments always give the same plan."""
    wishes = wishes or Wishes()
    chosen = graph.closure(set(wishes.nodes)) if wishes.nodes is not None else graph.nodes
    steps: dict[NodeId, PlanStep] = {}
    texts = Texts()
    for node in graph.nodes.values():
        if node.id in chosen:
            step = _judge(node, steps, facts, wishes, graph.salt, texts)
            steps[node.id] = _withheld(step, facts.withdrawn) if facts.withdrawn else step
    _leave_out_unselected(steps)
    brought = _want_bytes(steps, facts, wishes)
    return Plan(steps=steps, salt=graph.salt, brought=brought, withdrawn=facts.withdrawn)


def _withheld(step: PlanStep, withdrawn: frozenset[str]) -> PlanStep:
    """Returns a step, held where it would publish what contains a withdrawn release (C16).

    A release's publish node has the verdicts of all that it contains among its inputs.
    """
    if step.node.kind != "publish" or not step.runs:
        return step
    gates = (i.node.owner for i in step.node.inputs if i.gate and i.node is not None)
    bad = sorted({owner for owner in gates if owner in withdrawn and owner != step.node.id.owner})
    if not bad:
        return step
    text = f"{', '.join(bad)} is withdrawn"
    return replace(step, verb=Verb.HELD, reason="withdrawn", text=text)


def _judge(
    node: Node,
    steps: Mapping[NodeId, PlanStep],
    facts: Facts,
    wishes: Wishes,
    salt: str,
    texts: Texts,
) -> PlanStep:
    """Gives one node its verb; the steps of its inputs are known."""
    if node.unpinned:
        if not _selected(node, wishes):
            text = f"{node.id.platform} was not selected"
            return PlanStep(node=node, verb=Verb.WAIT, reason="builder", text=text)
        text = "not locked: " + ", ".join(node.unpinned)
        return PlanStep(node=node, verb=Verb.UNKNOWN, reason="unlocked", text=text)
    inputs: dict[str, Digest] = {}
    running: list[str] = []
    for item in node.inputs:
        if item.digest is not None:
            inputs[item.role] = item.digest
            continue
        assert item.node is not None
        source = steps[item.node]
        if source.verb is Verb.UNKNOWN or (source.verb is Verb.RUN and not source.outputs):
            running.append(item.node.label)
        elif source.verb in (Verb.WAIT, Verb.HELD):
            if item.optional:
                continue
            word = "waits" if source.verb is Verb.WAIT else "is held"
            text = f"{item.node.label} {word}"
            return PlanStep(node=node, verb=source.verb, reason="input", text=text)
        elif item.gate and source.claim is not None and source.claim.verdict == "fail":
            text = f"{item.node.label} failed"
            return PlanStep(node=node, verb=Verb.HELD, reason="gate", text=text)
        else:
            inputs[item.role] = source.outputs[item.output]
    if running:
        return _when_known(node, running, facts, wishes)
    if node.inputs and not inputs:
        return PlanStep(node=node, verb=Verb.WAIT, reason="input", text="no platform is there yet")
    action = node.resolve(inputs, salt, texts)
    return _with_key(node, action, facts, wishes)


def _when_known(node: Node, running: list[str], facts: Facts, wishes: Wishes) -> PlanStep:
    obstacle = _no_builder(node, facts, wishes)
    if obstacle:
        return PlanStep(node=node, verb=Verb.WAIT, reason="builder", text=obstacle)
    more = f" and {len(running) - 1} more" if len(running) > 1 else ""
    text = f"known after {running[0]}{more}"
    reason = "rerun" if node.id in wishes.rerun else "input"
    return PlanStep(node=node, verb=Verb.UNKNOWN, reason=reason, text=text)


_CLAIMED = {"lock": "claimed by the lock", "store": "claimed by the store", "pin": "pinned"}


def _with_key(node: Node, action: Action, facts: Facts, wishes: Wishes) -> PlanStep:
    claims: tuple[Claim, ...] = ()
    claim = facts.sure.get(action.key)
    doubted = claim is not None and facts.doubts(claim)
    emulated = claim is not None and node.native and claim.emulated
    if claim is None or doubted or emulated or not claim.is_whole(node.kind):
        claims = facts.believed(action.key)
        claim = choose(claims, node.kind, retry=wishes.retry, native=node.native)
    if claim is None and node.fixed:
        claim = Claim(key=action.key, kind=node.kind, outputs=node.fixed, origin="pin")
    if claim is None:
        cached = facts.cached(action.key)
        claim = choose(cached, node.kind, retry=wishes.retry, native=node.native)
        claims += cached
    asked = node.id in wishes.rerun
    if claim is not None and not asked:
        text = _CLAIMED.get(claim.origin) or f"claimed by the {claim.origin}"
        return PlanStep(
            node=node, verb=Verb.REUSE, reason="claim", text=text, action=action, claim=claim
        )
    obstacle = _no_builder(node, facts, wishes)
    if obstacle:
        return PlanStep(node=node, verb=Verb.WAIT, reason="builder", text=obstacle, action=action)
    if asked and claim is not None:
        return PlanStep(
            node=node, verb=Verb.RUN, reason="rerun", text="asked to run again", action=action
        )
    reason, text = _why_anew(claims, node)
    if doubted and not claims:
        reason, text = (
            "distrust",
            "the lock's result came from a cache, and its signer is not trusted",
        )
    return PlanStep(node=node, verb=Verb.RUN, reason=reason, text=text, action=action)


def _why_anew(claims: tuple[Claim, ...], node: Node) -> tuple[str, str]:
    """Returns reason and text of a run though there may be claims, of which none counts."""
    if not claims:
        return "new", "no result for this key"
    whole = [claim for claim in claims if claim.is_whole(node.kind)]
    if whole and node.native and all(claim.emulated for claim in whole):
        return "emulated", "what is known was made by emulation, which the policy refuses"
    if whole:
        return "retry", "it failed before"
    return "incomplete", "the result that is known for this key is not whole"


def _selected(node: Node, wishes: Wishes) -> bool:
    return not node.id.platform or wishes.platforms is None or node.id.platform in wishes.platforms


def _no_builder(node: Node, facts: Facts, wishes: Wishes) -> str:
    if not node.id.platform:
        return facts.sandbox() if node.kind in EXECUTING else ""
    platform = Platform(node.id.platform)
    if not _selected(node, wishes):
        return f"{platform} was not selected"
    if node.kind not in EXECUTING:
        return ""
    wanted = platform if node.kind == "test" else platform.baseline
    obstacle = facts.builder(wanted)
    emulated = facts.emulates(wanted) if node.native and not obstacle else ""
    return (
        f"the policy refuses emulation, and here {wanted} runs {emulated}" if emulated else obstacle
    )


def _leave_out_unselected(steps: dict[NodeId, PlanStep]) -> None:
    """Makes unlocked sources wait that only waiting nodes would use."""
    used: dict[NodeId, bool] = {}
    for step in steps.values():
        for item in step.node.inputs:
            if item.node is not None:
                used[item.node] = used.get(item.node, False) or step.verb is not Verb.WAIT
    for name, step in steps.items():
        if step.reason == "unlocked" and not used.get(name, True):
            text = f"{step.text}, and only waiting platforms use it"
            steps[name] = replace(step, verb=Verb.WAIT, reason="builder", text=text)


def needs_bytes(node: Node, role: str, digest: Digest, facts: Facts) -> bool:
    """Whether running ``node`` needs the bytes behind an input's digest.

    A verdict is one of two known blobs; an index needs only the sizes of its manifests.
    """
    if role.partition("/")[0] in VERDICT_KINDS:
        return False
    return not (node.kind == "index" and digest in facts.sizes)


def _want_bytes(
    steps: dict[NodeId, PlanStep], facts: Facts, wishes: Wishes
) -> dict[NodeId, tuple[Digest, ...]]:
    """Makes the producers of wanted, missing bytes run, back to the nearest bytes (C2).

    Returns what need not be made again because a channel has it.
    """
    brought: dict[NodeId, tuple[Digest, ...]] = {}
    wanted: dict[NodeId, str] = {name: "you" for name in wishes.fetch if name in steps}
    for step in reversed(list(steps.values())):
        name = step.node.id
        if name in wanted and step.verb is Verb.REUSE:
            missing = tuple(d for d in step.outputs.values() if d not in facts.has)
            if missing and all(d in facts.offered for d in missing):
                brought[name] = missing
            elif missing:
                step = _made_again(step, wanted[name], facts, wishes)  # noqa: PLW2901
                steps[name] = step
        if not step.runs:
            continue
        for item in step.node.inputs:
            if item.node is None:
                continue
            by = step.node.id.label  # of several the first by name: a part of a catalog says so too
            if item.node in wanted and wanted[item.node] in ("you", min(wanted[item.node], by)):
                continue
            known = steps[item.node].outputs.get(item.output)
            if known is None or needs_bytes(step.node, item.role, known, facts):
                wanted[item.node] = by
    return brought


def _made_again(step: PlanStep, by: str, facts: Facts, wishes: Wishes) -> PlanStep:
    obstacle = _no_builder(step.node, facts, wishes)
    text = f"bytes wanted by {by}" + (f"; {obstacle}" if obstacle else "")
    verb = Verb.WAIT if obstacle else Verb.RUN
    return replace(step, verb=verb, reason="bytes", text=text)
