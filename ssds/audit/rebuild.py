"""Builds released images again in an empty store: base, every step, compression.

Pinned files (packages, sources) come by digest from the user's store or their mirrors. Nothing that
was built does: no claim is known here, bases are bootstrapped anew, and steps are executed. Tests
and scans are not part of it: they say something about an image, and their verdicts are not in its
bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from ssds.core.canonical import Json, canonical_bytes
from ssds.core.digest import Digest
from ssds.core.errors import InvalidValue
from ssds.core.model import Node, NodeId, ReleaseName
from ssds.core.pins import PinnedFile
from ssds.core.platform import Platform
from ssds.core.records import dataclass, field
from ssds.engine.apply import Result, apply
from ssds.engine.report import Reporter
from ssds.engine.runner import Crew
from ssds.engine.states import State
from ssds.graph.compile import Graph
from ssds.graph.plan import Facts, Wishes, make_plan
from ssds.packages.wire import files_of
from ssds.store.store import Store

_MADE = frozenset({"build", "publish"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """How one node of the rebuild ended.

    Attributes:
        node: its label (``samtools@1.16.1:build [linux/amd64]``); kind: its kind.
        state: ``done``, ``failed``, ``skipped`` …; why: where it did not go well.
        outputs: output → digest of a blob in the rebuild's store.
    """

    node: str
    kind: str
    state: str
    why: str = ""
    outputs: Mapping[str, Digest] = field(default_factory=dict)
    mode: str = ""
    emulated: bool = False
    tools: Mapping[str, str] = field(default_factory=dict)
    duration_ms: int = 0


def part_to_rebuild(graph: Graph, releases: Iterable[ReleaseName], platform: Platform) -> Graph:
    """Returns the graph of images alone: publish nodes take the build's config and no verdicts."""
    wanted = {NodeId(str(name), "publish", str(platform)) for name in releases}
    stripped = {name: _without_verdicts(graph.nodes[name]) for name in wanted}
    whole = replace(graph, nodes={**graph.nodes, **stripped})
    kept = whole.closure(wanted)
    nodes = {name: node for name, node in whole.nodes.items() if name in kept}
    return Graph(nodes=nodes, releases={}, salt=graph.salt)


def _without_verdicts(node: Node) -> Node:
    return replace(node, inputs=tuple(item for item in node.inputs if item.role == "config"))


def pinned_files(graph: Graph, *, bases: bool = True) -> tuple[PinnedFile, ...]:
    """Returns every file that a pin of the graph's nodes fixes by digest, each once.

    Args:
        bases: also those of the bases.
    """
    nodes = (node for node in graph.nodes.values() if bases or node.kind != "base")
    found = {file.digest: file for node in nodes for file in files_of(node)}
    return tuple(file for _, file in sorted(found.items()))


def supply(store: Store, fresh: Store, files: Iterable[PinnedFile]) -> None:
    """Puts pinned files of a store into the rebuild's; each is checked against its digest."""
    for file in files:
        with fresh.blobs.writer(expected=file.digest) as blob:
            for piece in store.blobs.chunks(file.digest):
                blob.write(piece)


def supply_bases(graph: Graph, store: Store, fresh: Store) -> tuple[str, ...]:
    """Puts bootstrapped bases with their claims into the rebuild's store.

    Returns:
        The nodes whose claim or bytes the user's store does not have.
    """
    missing = []
    for node in graph.nodes.values():
        if node.kind != "base":
            continue
        action = node.resolve({}, graph.salt)
        whole = [
            claim
            for claim in store.claims.find(action.key)
            if all(store.blobs.has(digest) for digest in claim.outputs.values())
            and all(claim.outputs.get(name) == digest for name, digest in node.fixed.items())
        ]
        if not whole:
            missing.append(node.id.label)
            continue
        for digest in whole[0].outputs.values():
            with fresh.blobs.writer(expected=digest) as blob:
                for piece in store.blobs.chunks(digest):
                    blob.write(piece)
        fresh.claims.add(replace(whole[0], logs={}), action.preimage_bytes, str(node.id))
    return tuple(missing)


def build(
    graph: Graph,
    crew: Crew,
    builder: Callable[[Platform], str],
    reporter: Reporter,
    *,
    bases: bool = True,
) -> list[Rebuilt]:
    """Builds every node of the graph in the crew's store; nothing that was built is known.

    Args:
        bases: bootstrap them too; else they are taken from where ``supply_bases`` put them.
    """
    kept = {n.resolve({}, graph.salt).key for n in graph.nodes.values() if n.kind == "base"}
    kept = set() if bases else kept
    facts = Facts(
        claims=lambda key: crew.store.claims.find(key) if key in kept else (),
        has=_Has(crew.store),
        builder=builder,
    )
    kinds = _MADE | {"base"} if bases else _MADE
    again = frozenset(name for name in graph.nodes if name.kind in kinds)
    plan = make_plan(graph, facts, Wishes(nodes=again, rerun=again))
    with crew.store.shared():
        result = apply(plan, facts, crew, reporter)
    return _told(result)


class _Has:
    """The digests whose bytes a store has, as a container."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __contains__(self, digest: object) -> bool:
        return isinstance(digest, Digest) and self._store.blobs.has(digest)


def _told(result: Result) -> list[Rebuilt]:
    return [
        Rebuilt(
            node=record.node.label,
            kind=record.node.kind,
            state=record.state.value,
            why=record.why if record.state is not State.DONE else "",
            outputs=dict(record.outputs),
            mode=record.claim.mode if record.claim else "",
            emulated=bool(record.claim and record.claim.emulated),
            tools=dict(record.claim.tools) if record.claim else {},
            duration_ms=record.duration_ms,
        )
        for record in result.records.values()
    ]


def to_bytes(nodes: Iterable[Rebuilt]) -> bytes:
    """Returns the form in which the rebuilding process hands its results over."""
    entries: list[Json] = [
        {
            "node": n.node,
            "kind": n.kind,
            "state": n.state,
            "why": n.why,
            "outputs": {name: str(d) for name, d in n.outputs.items()},
            "mode": n.mode,
            "emulated": n.emulated,
            "tools": dict(n.tools),
            "duration_ms": n.duration_ms,
        }
        for n in nodes
    ]
    return canonical_bytes(entries)


def read_bytes(data: bytes) -> dict[str, Rebuilt]:
    """Returns what ``to_bytes`` wrote, by node; InvalidValue for anything else."""
    try:
        found = [
            Rebuilt(**{**e, "outputs": {n: Digest(d) for n, d in e["outputs"].items()}})
            for e in json.loads(data)
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidValue(f"the rebuild's results cannot be read: {error}") from error
    return {entry.node: entry for entry in found}


def step_names(graph: Graph, store: Store) -> dict[tuple[Digest, ...], str]:
    """Returns which step wrote a layer: diffIDs up to and with the layer → ``NAME build[2]``."""
    addresses: dict[bytes, str] = {}
    for node in graph.nodes.values():
        steps = node.slice.get("steps") if node.kind == "build" else None
        for number, step in enumerate(steps if isinstance(steps, list) else ()):
            address = node.origin.get(f"slice.steps[{number}]", f"step {number + 1}")
            addresses.setdefault(canonical_bytes(step), f"{node.id.owner} {address}")
    found: dict[tuple[Digest, ...], str] = {}
    for claim in store.claims.all():
        layer = claim.outputs.get("layer")
        preimage = store.claims.preimage(claim.key) if claim.kind == "step" and layer else None
        if preimage is None or layer is None:
            continue
        known = json.loads(preimage)
        step_name = addresses.get(canonical_bytes(known["slice"]))
        if step_name:
            found[tuple(Digest(d) for d in (*known["tree"], layer))] = step_name
    return found
