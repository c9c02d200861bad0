"""Paths between nodes: real ones, the shortest first, none forgotten."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import AMD64, ARM64, a_catalog, a_release, pinned, shared_pins

from ssds.core.model import Input, Node, NodeId
from ssds.graph.compile import Graph, compile_graph
from ssds.graph.paths import Paths, depends, paths
from ssds.recipe.steps import RecipeRef


def a_graph(edges: list[tuple[int, int]], count: int) -> Graph:
    """Returns nodes ``n0`` … where each edge goes from a higher number to a lower one."""
    nodes = {}
    for number in range(count):
        inputs = tuple(
            Input(role=f"to/{low}", node=NodeId(f"n{low}", "build"), output="config")
            for high, low in sorted(set(edges))
            if high == number
        )
        name = NodeId(f"n{number}", "build")
        nodes[name] = Node(id=name, kind_version=1, slice={}, inputs=inputs)
    return Graph(nodes=nodes, releases={})


def named(*numbers: int) -> frozenset[NodeId]:
    return frozenset(NodeId(f"n{number}", "build") for number in numbers)


def every_path(graph: Graph, start: frozenset[NodeId], end: frozenset[NodeId]) -> set[tuple]:
    """Returns the chains from a model that is too simple to be wrong."""
    found = set()

    def walk(chain: tuple[NodeId, ...]) -> None:
        for item in graph.nodes[chain[-1]].inputs:
            assert item.node is not None
            if item.node in end:
                found.add((*chain, item.node))
            elif item.node not in start:
                walk((*chain, item.node))

    for name in start - end:
        walk((name,))
    return found


def chains(found: Paths) -> list[tuple[NodeId, ...]]:
    return [(path[0].node, *(edge.uses for edge in path)) for path in found.paths]


DRAWN = st.integers(2, 8).flatmap(
    lambda count: st.tuples(
        st.just(count),
        st.lists(
            st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(
                lambda pair: pair[0] > pair[1]
            ),
            max_size=16,
        ),
        st.sets(st.integers(0, count - 1), min_size=1, max_size=3),
        st.sets(st.integers(0, count - 1), min_size=1, max_size=3),
    )
)


@settings(max_examples=150, deadline=None)
@given(drawn=DRAWN)
def test_all_paths_are_found_once_the_shortest_first(
    drawn: tuple[int, list[tuple[int, int]], set[int], set[int]],
) -> None:
    count, edges, above, below = drawn
    graph, start, end = a_graph(edges, count), named(*above), named(*below)
    found = paths(graph, start, end, limit=10_000)
    got = chains(found)
    assert set(got) == every_path(graph, start, end)
    assert len(set(got)) == len(got)
    assert [len(chain) for chain in got] == sorted(len(chain) for chain in got)
    assert not found.cut
    assert depends(graph, start, end) == bool(got)
    first = paths(graph, start, end, limit=1)
    assert chains(first) == got[:1]
    assert first.cut == (len(got) > 1)


def test_an_edge_says_every_role_that_takes_something() -> None:
    a, b = NodeId("a", "index"), NodeId("b", "build")
    takes = (
        Input(role="x", node=b, output="config"),
        Input(role="base", node=b, output="layer"),
    )
    nodes = {
        b: Node(id=b, kind_version=1, slice={}),
        a: Node(id=a, kind_version=1, slice={}, inputs=takes),
    }
    ((edge,),) = paths(Graph(nodes=nodes, releases={}), {a}, {b}, limit=1).paths
    assert edge.takes == (("base", "layer"), ("x", "config"))


@pytest.fixture
def graph() -> Graph:
    lib = a_release("lib", platforms={AMD64: True, ARM64: True})
    app = a_release("app", base_recipe=RecipeRef(name="lib", version="1.16.1"))
    catalog = a_catalog(lib, app)
    return compile_graph(catalog, shared_pins(catalog), pinned(catalog), dt.date(2026, 1, 1))


def owned(graph: Graph, owner: str) -> frozenset[NodeId]:
    return frozenset(node for node in graph.nodes if node.owner == owner)


def test_a_release_depends_on_another_by_its_base_and_its_verdicts(graph: Graph) -> None:
    found = paths(graph, owned(graph, "app@1.16.1"), owned(graph, "lib@1.16.1"), limit=100)
    ends = {(path[-1].node.kind, path[-1].takes[0][0]) for path in found.paths}
    assert ends == {
        ("build", "base"),
        ("publish", "deploytest/lib@1.16.1"),
        ("publish", "gate/lib@1.16.1"),
        ("publish", "test/lib@1.16.1"),
    }
    assert all(len(path) == 1 for path in found.paths)
    assert not paths(graph, owned(graph, "lib@1.16.1"), owned(graph, "app@1.16.1"), limit=1).paths


def test_many_paths_are_cut_at_the_limit() -> None:
    layers = [
        (10 * up + a, 10 * (up - 1) + b) for up in range(1, 7) for a in range(9) for b in range(9)
    ]
    graph = a_graph(layers, 70)
    found = paths(graph, named(60), named(0), limit=25)
    assert len(found.paths) == 25
    assert found.cut
