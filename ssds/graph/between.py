"""Two revisions of a catalog compared: which nodes have another key, and because of what. Pure.

A node whose inputs are not known yet has no key. Two such nodes are the same when all that would
make their keys is: their own definition, and for each input its digest or, where that is not known,
its producer. So what is to run on both sides, for whatever reason, is no difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ssds.core.canonical import Json
from ssds.core.digest import Digest
from ssds.core.model import Input, Node, NodeId
from ssds.graph.explain import Difference, differences
from ssds.graph.plan import Plan, PlanStep, Verb


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """A node that has another key, or is new.

    Attributes:
        new: the older side has no such node.
        changes: what differs in its own definition.
        follows: the nodes among its inputs that are renewed.
    """

    node: NodeId
    new: bool = False
    changes: tuple[Difference, ...] = ()
    follows: tuple[NodeId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """What lies between two revisions.

    Attributes:
        renewed: in the newer side's order.
        gone: nodes that only the older side has.
        same: how many nodes are the same.
    """

    renewed: Mapping[NodeId, Renewed] = field(default_factory=dict)
    gone: tuple[NodeId, ...] = ()
    same: int = 0


def compare(before: Plan, after: Plan) -> Between:
    """Returns what differs between the plans of two revisions, made from the same facts."""
    renewed: dict[NodeId, Renewed] = {}
    for name, step in after.steps.items():
        old = before.steps.get(name)
        if old is None:
            renewed[name] = Renewed(node=name, new=True)
        elif not _same(old, step, before, after, renewed):
            changes = differences(_preimage(old, before), _preimage(step, after), step.node)
            follows = tuple(
                dict.fromkeys(i.node for i in step.node.inputs if i.node and i.node in renewed)
            )
            own = tuple(c for c in changes if not _follows(c, step.node, follows))
            renewed[name] = Renewed(node=name, changes=own, follows=follows)
    return Between(
        renewed=renewed,
        gone=tuple(name for name in before.steps if name not in after.steps),
        same=len(after.steps) - len(renewed),
    )


def _same(
    old: PlanStep, new: PlanStep, before: Plan, after: Plan, renewed: Mapping[NodeId, Renewed]
) -> bool:
    """Whether both nodes have the same key, known or not; those above them were compared."""
    a, b = old.node, new.node
    if before.salt != after.salt or _definition(a) != _definition(b):
        return False
    roles = {item.role: item for item in a.inputs}
    if len(roles) != len(b.inputs):
        return False
    for item in b.inputs:
        other = roles.get(item.role)
        if other is None or (other.optional, other.gate) != (item.optional, item.gate):
            return False
        one_place = (item.node, item.output) == (other.node, other.output)
        if item.node is not None and one_place and item.node not in renewed:
            continue
        given = _given(item, after)
        if given is None or given != _given(other, before):
            return False
    return True


def _definition(node: Node) -> tuple[object, ...]:
    return (node.kind_version, node.slice, node.epoch, node.fixed, node.unpinned)


def _given(item: Input, plan: Plan) -> Digest | None:
    """Returns an input's digest where it is known."""
    if item.node is None:
        return item.digest
    step = plan.steps[item.node]
    return step.outputs.get(item.output) if step.verb in (Verb.REUSE, Verb.RUN) else None


def _follows(change: Difference, node: Node, follows: tuple[NodeId, ...]) -> bool:
    role = change.path.removeprefix("inputs.")
    return role != change.path and any(i.role == role and i.node in follows for i in node.inputs)


def _preimage(step: PlanStep, plan: Plan) -> Mapping[str, Json]:
    """Returns what makes the key, as the key's own pre-image; producers stand for digests."""
    node = step.node
    inputs: dict[str, Json] = {}
    for item in node.inputs:
        given = _given(item, plan)
        inputs[item.role] = str(given) if given or item.node is None else item.node.label
    found: dict[str, Json] = {
        "salt": plan.salt,
        "kind_version": node.kind_version,
        "slice": node.slice,
        "inputs": inputs,
    }
    if node.epoch is not None:
        found["source_date_epoch"] = node.epoch
    if node.fixed:
        found["pinned"] = {output: str(digest) for output, digest in node.fixed.items()}
    if node.unpinned:
        found["not locked"] = list(node.unpinned)
    return found
