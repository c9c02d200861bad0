"""The order of a picture: no circles, no needless lines, layers from left to right.

networkx does what is known by name: strongly connected components, topological generations and the
transitive reduction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ssds.graph.picture.model import Line

if TYPE_CHECKING:
    import networkx as nx

    Drawn = nx.DiGraph[str]

_REDUCED_BOXES = 2000
"""The reduction looks at every pair of boxes; larger pictures keep all their lines."""


def acyclic(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Returns the lines without those that close a circle.

    Two releases can contain each other, each on a platform of its own.
    """
    import networkx as nx

    drawn = _drawn((), lines)
    if nx.is_directed_acyclic_graph(drawn):
        return tuple(lines)
    circle = {
        name: number
        for number, names in enumerate(nx.strongly_connected_components(drawn))
        for name in names
    }
    return tuple(n for n in lines if circle[n.tail] != circle[n.head] or n.tail < n.head)


def reduced(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Returns the lines without those that a longer way says too."""
    import networkx as nx

    drawn = _drawn((), lines)
    if drawn.number_of_nodes() > _REDUCED_BOXES:
        return tuple(lines)
    kept = set(nx.transitive_reduction(drawn).edges)
    return tuple(line for line in lines if (line.tail, line.head) in kept)


def depths(names: Iterable[str], lines: Sequence[Line]) -> dict[str, int]:
    """Returns how many lines the longest way to each box has."""
    import networkx as nx

    generations = nx.topological_generations(_drawn(names, lines))
    return {name: depth for depth, found in enumerate(generations) for name in found}


def layers(names: Sequence[str], lines: Sequence[Line], *, tallest: int) -> list[list[str]]:
    """Returns the boxes in columns, each right of all that it depends on.

    What depends on nothing stands close to its first user. A column of more than ``tallest`` boxes
    is continued in the next one, and all that depends on it moves on.
    """
    inputs: dict[str, list[str]] = {name: [] for name in names}
    users: dict[str, list[str]] = {name: [] for name in names}
    for line in lines:
        inputs[line.head].append(line.tail)
        users[line.tail].append(line.head)
    depth = depths(names, lines)
    after = _lengths(depth, users)
    columns: list[list[str]] = []
    place: dict[str, int] = {}
    for name in sorted(names, key=lambda n: (depth[n], -after[n], n)):
        column = max((place[other] + 1 for other in inputs[name]), default=0)
        while column < len(columns) and len(columns[column]) >= tallest:
            column += 1
        columns += [[] for _ in range(column + 1 - len(columns))]
        columns[column].append(name)
        place[name] = column
    for name in sorted(names, key=lambda n: (-depth[n], n)):
        nearest = min((place[user] for user in users[name]), default=0) - 1
        if not inputs[name] and nearest > place[name] and len(columns[nearest]) < tallest:
            columns[place[name]].remove(name)
            columns[nearest].append(name)
            place[name] = nearest
    return [sorted(column) for column in columns if column]


def _lengths(depth: Mapping[str, int], users: Mapping[str, list[str]]) -> dict[str, int]:
    """Returns how many lines the longest way from each box has."""
    after: dict[str, int] = {}
    for name in sorted(depth, key=lambda n: -depth[n]):
        after[name] = max((after[user] + 1 for user in users[name]), default=0)
    return after


def _drawn(names: Iterable[str], lines: Iterable[Line]) -> Drawn:
    import networkx as nx

    drawn: Drawn = nx.DiGraph()
    drawn.add_nodes_from(names)
    drawn.add_edges_from((line.tail, line.head) for line in lines)
    return drawn
