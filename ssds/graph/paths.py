"""Paths through the graph: by which ways one thing depends on another. Pure.

networkx does the queries; the graph is first cut down to what lies between the two.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ssds.core.model import NodeId
from ssds.graph.compile import Graph

if TYPE_CHECKING:
    import networkx as nx

    Between = nx.DiGraph[NodeId | str]

_FROM = "from"
_TO = "to"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One node takes something of another.

    Attributes:
        node: the consumer.
        uses: the producer.
        takes: (role, output) pairs: ``("base", "config")``.
    """

    node: NodeId
    uses: NodeId
    takes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The ways from one set of nodes to another.

    Attributes:
        paths: the shortest first; each a chain of edges from a node of the first to one of the
            second, with no other node of either between. Empty where there is no dependency.
        cut: there are more than these.
    """

    paths: tuple[tuple[Edge, ...], ...]
    cut: bool


def paths(
    graph: Graph, start: AbstractSet[NodeId], end: AbstractSet[NodeId], *, limit: int
) -> Paths:
    """Returns at most ``limit`` of the ways by which ``start`` depends on ``end``."""
    found = list(itertools.islice(_chains(graph, start, end), limit + 1))
    return Paths(
        paths=tuple(
            tuple(_edge(graph, a, b) for a, b in itertools.pairwise(chain))
            for chain in found[:limit]
        ),
        cut=len(found) > limit,
    )


def depends(graph: Graph, start: AbstractSet[NodeId], end: AbstractSet[NodeId]) -> bool:
    """Whether a node of ``start`` depends on one of ``end``."""
    return bool(graph.closure(set(start) - set(end)) & set(end))


def _chains(
    graph: Graph, start: AbstractSet[NodeId], end: AbstractSet[NodeId]
) -> Iterator[list[NodeId]]:
    """Gives the simple paths between the two sets, the shortest first, in a stable order."""
    import networkx as nx

    first = set(start) - set(end)
    between = _between(graph, first, set(end))
    if _FROM not in between or _TO not in between or not nx.has_path(between, _FROM, _TO):
        return
    for chain in nx.shortest_simple_paths(between, _FROM, _TO):
        yield [name for name in chain if isinstance(name, NodeId)]


def _between(graph: Graph, start: set[NodeId], end: set[NodeId]) -> Between:
    """Returns what ``start`` depends on and ``end`` is needed by, consumers before inputs.

    Nodes of one side are not joined: a path leaves the one and enters the other once.
    """
    import networkx as nx

    below = graph.closure(start)
    users = graph.consumers()
    reached: set[NodeId] = set()
    stack = [name for name in end if name in below]
    while stack:
        name = stack.pop()
        if name not in reached:
            reached.add(name)
            stack += [user for user in users.get(name, ()) if user in below]
    between: Between = nx.DiGraph()
    for name in sorted(reached):
        if name in start:
            between.add_edge(_FROM, name)
        if name in end:
            between.add_edge(name, _TO)
            continue
        for item in sorted(graph.nodes[name].inputs, key=lambda i: i.role):
            if item.node in reached and item.node not in start:
                between.add_edge(name, item.node)
    return between


def _edge(graph: Graph, node: NodeId, uses: NodeId) -> Edge:
    takes = ((item.role, item.output) for item in graph.nodes[node].inputs if item.node == uses)
    return Edge(node=node, uses=uses, takes=tuple(sorted(takes)))
