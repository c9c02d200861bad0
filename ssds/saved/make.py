"""Makes the saved plan of a plan. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ssds.core.canonical import Json, fingerprint
from ssds.core.digest import Digest
from ssds.core.model import KINDS, Claim, Node, NodeId, ReleaseName
from ssds.delivery import Delivery, Row
from ssds.graph.plan import Plan, PlanStep, Verb
from ssds.lock.model import Locks
from ssds.saved.model import (
    ChannelState,
    Definition,
    LockState,
    Made,
    Options,
    Reused,
    ReusedNode,
    SavedInput,
    SavedPlan,
    SavedRow,
    SavedStep,
)

_PARTS_AT_MOST = 64
_SHORT = 16


def make_saved(
    delivery: Delivery,
    locks: Locks,
    *,
    made: Made,
    as_of: str,
    options: Options,
    releases: Iterable[ReleaseName],
    channels: tuple[ChannelState, ...] = (),
    full: bool = False,
) -> SavedPlan:
    """Returns the plan to be saved.

    Args:
        releases: the catalog's releases; those of the locks are known.
        channels: what the observed channels held of the releases that may be pushed.
        full: list the reused nodes one by one.
    """
    plan = delivery.plan
    names = {
        str(n): n for lock in locks.releases.values() for n in map(lock.release_name, lock.variants)
    }
    names |= {str(name): name for name in releases}
    return SavedPlan(
        made=made,
        as_of=as_of,
        options=options,
        salt=salt_of(plan),
        steps=tuple(
            saved_step(step, plan) for step in plan.steps.values() if step.verb is not Verb.REUSE
        ),
        rows=tuple(_saved_row(row, locks, names) for row in delivery.rows if row.kind not in KINDS),
        channels=channels,
        reused=reused_of(plan, full=full),
        notes=delivery.notes,
        required_waits=delivery.required_waits,
    )


def salt_of(plan: Plan) -> Digest:
    """Returns the fingerprint of a plan's salt."""
    return fingerprint(plan.salt, "salt")


def saved_step(step: PlanStep, plan: Plan) -> SavedStep:
    """Returns one step with what it rests on."""
    node = step.node
    return SavedStep(
        node=node.id,
        verb=step.verb,
        reason=step.reason,
        text=step.text,
        marks=tuple(sorted(node.marks)),
        definition=definition_of(node),
        inputs=tuple(inputs_of(node, plan.steps)),
        key=step.action.key if step.action else None,
        claim=claim_of(step.claim),
    )


def definition_of(node: Node) -> Definition:
    """Returns what a node is, apart from the digests of its inputs."""
    edges: Json = [
        [
            item.role,
            item.node.label if item.node else str(item.digest),
            item.output,
            item.optional,
            item.gate,
        ]
        for item in node.inputs
    ]
    return Definition(
        kind_version=node.kind_version,
        slice=fingerprint(node.slice, "slice"),
        edges=fingerprint(edges, "edges"),
        fields={p: fingerprint(v, "field").hex[:_SHORT] for p, v in _fields(node.slice)},
        epoch=node.epoch,
        fixed=dict(node.fixed),
        unpinned=node.unpinned,
    )


def _fields(values: Mapping[str, Json]) -> Iterable[tuple[str, Json]]:
    """Gives the fields of a slice, short lists and maps one level deeper."""
    for key, value in values.items():
        path = f"slice.{key}"
        if isinstance(value, list | tuple) and 0 < len(value) <= _PARTS_AT_MOST:
            yield from ((f"{path}[{index}]", item) for index, item in enumerate(value))
        elif isinstance(value, Mapping) and 0 < len(value) <= _PARTS_AT_MOST:
            yield from ((f"{path}.{name}", item) for name, item in value.items())
        else:
            yield path, value


def inputs_of(node: Node, steps: Mapping[NodeId, PlanStep]) -> Iterable[SavedInput]:
    """Gives the inputs of a node, with their digests where the steps know them."""
    for item in node.inputs:
        if item.node is None:
            yield SavedInput(role=item.role, digest=item.digest)
            continue
        source = steps[item.node]
        known = None if source.verb is Verb.UNKNOWN else source.outputs.get(item.output)
        yield SavedInput(role=item.role, node=item.node.label, output=item.output, digest=known)


def claim_of(claim: Claim | None) -> Digest | None:
    """Returns the fingerprint of what a claim says, or None without a claim."""
    if claim is None:
        return None
    return fingerprint({"outputs": _texts(claim.outputs), "verdict": claim.verdict}, "claim")


def _texts(outputs: Mapping[str, Digest]) -> dict[str, Json]:
    return {name: str(digest) for name, digest in outputs.items()}


def reused_of(plan: Plan, *, full: bool = False) -> Reused:
    """Returns how many nodes are reused, and the digest over all of them."""
    nodes = [
        ReusedNode(
            node=str(step.node.id),
            platform=step.node.id.platform,
            key=str(step.action.key) if step.action else "",
            outputs=fingerprint(_texts(step.outputs), "outputs"),
        )
        for step in plan.steps.values()
        if step.verb is Verb.REUSE
    ]
    leaves = sorted([n.node, n.platform, n.key, str(n.outputs)] for n in nodes)
    root = fingerprint(leaves, "reused")
    return Reused(count=len(nodes), root=root, nodes=tuple(nodes) if full else ())


def _saved_row(row: Row, locks: Locks, names: Mapping[str, ReleaseName]) -> SavedRow:
    name = names.get(row.node.removesuffix(":lock")) if row.kind == "lock" else None
    return SavedRow(row=row, lock=lock_state(name, locks) if name else None)


def lock_state(name: ReleaseName, locks: Locks) -> LockState:
    """Returns what a lock offers of a release now; revision 0 where there is nothing."""
    variant = locks.get(name).variant(name)
    index = str(variant.index.digest) if variant.index else ""
    return LockState(release=name, revision=variant.revision, index=index)
