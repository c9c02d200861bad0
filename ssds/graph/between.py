"""Two revisions of a catalog compared: which nodes have another key, and because of what. Pure.

Keys of nodes whose inputs are not known yet do not exist. They are compared by what would make
them: an input stands for its digest where that is known on both sides, else for its producer's own
pre-image. So what is to run on both sides, for whatever reason, is no difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ssds.core.canonical import Json, fingerprint
from ssds.core.digest import Digest
from ssds.core.model import Node, NodeId
from ssds.graph.explain import Difference, differences
from ssds.graph.plan import Plan, Verb


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
    old, new = Likenesses(before), Likenesses(after)
    renewed: dict[NodeId, Renewed] = {}
    for name, step in after.steps.items():
        if name not in before.steps:
            renewed[name] = Renewed(node=name, new=True)
        elif old.of(name) != new.of(name):
            changes = differences(old.preimage(name), new.preimage(name), step.node)
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


def _follows(change: Difference, node: Node, follows: tuple[NodeId, ...]) -> bool:
    role = change.path.removeprefix("inputs.")
    return role != change.path and any(i.role == role and i.node in follows for i in node.inputs)


class Likenesses:
    """The symbolic pre-images of a plan's nodes, and their fingerprints."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._known: dict[NodeId, Digest] = {}
        for name in plan.steps:
            self._known[name] = fingerprint(self.preimage(name), "likeness")

    def of(self, name: NodeId) -> Digest:
        """Returns the fingerprint; equal ones mean the same key, known or not."""
        return self._known[name]

    def preimage(self, name: NodeId) -> Mapping[str, Json]:
        """Returns what makes the key: as the key's own pre-image, with producers for digests."""
        step = self._plan.steps[name]
        node = step.node
        found: dict[str, Json] = {
            "salt": self._plan.salt,
            "kind": node.kind,
            "kind_version": node.kind_version,
            "platform": node.id.platform or "any",
            "slice": node.slice,
            "inputs": {
                item.role: str(item.digest)
                if item.node is None
                else self._given(item.node, item.output)
                for item in node.inputs
            },
        }
        if node.epoch is not None:
            found["source_date_epoch"] = node.epoch
        if node.fixed:
            found["pinned"] = {output: str(digest) for output, digest in node.fixed.items()}
        if node.unpinned:
            found["not locked"] = list(node.unpinned)
        return found

    def _given(self, producer: NodeId, output: str) -> str:
        step = self._plan.steps[producer]
        known = step.outputs.get(output) if step.verb in (Verb.REUSE, Verb.RUN) else None
        return str(known) if known is not None else f"{producer.label} {self._known[producer]}"
