"""Pictures: what they show, how they are folded, and that every format can be read."""

from __future__ import annotations

import json
from pathlib import Path

import graph_makers
import jsonschema
import makers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssds.core.errors import UsageError
from ssds.core.model import NodeId
from ssds.graph.compile import Graph
from ssds.graph.picture import document
from ssds.graph.picture.fold import folded
from ssds.graph.picture.make import make_picture
from ssds.graph.picture.model import Box, Level, Limits, Line, Picture
from ssds.graph.picture.scope import Scope, nodes_in
from ssds.graph.picture.svg import svg
from ssds.graph.plan import Verb
from ssds.recipe.steps import RecipeRef

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "schemas/graph.schema.json").read_text(encoding="utf-8")
)
BUILD = NodeId("neuro@1", "build", "linux/amd64")


def a_graph() -> Graph:
    child = makers.a_release(
        "neuro",
        "1",
        base_recipe=RecipeRef(name="nibabel", version="5.0"),
        sources={"data": makers.a_source()},
        steps=(makers.RunStep(address="build[0]", script="true", sources=("data",)),),
    )
    return graph_makers.compiled(makers.a_catalog(makers.a_release("nibabel", "5.0"), child))


def pairs(picture: Picture) -> set[tuple[str, str]]:
    return {(line.tail, line.head) for line in picture.lines}


def test_releases_are_drawn_on_what_they_are_built_on() -> None:
    graph = a_graph()
    found = make_picture(graph, graph_makers.planned(graph), Scope(), title="all")
    assert found.level is Level.RELEASES
    assert pairs(found) == {("debian-12", "nibabel@5.0"), ("nibabel@5.0", "neuro@1")}
    assert {box.id: box.kind for box in found.boxes} == {
        "debian-12": "base",
        "nibabel@5.0": "release",
        "neuro@1": "release",
    }


def test_sources_are_part_of_the_releases_that_use_them_and_are_counted_once() -> None:
    graph = a_graph()
    found = make_picture(graph, graph_makers.planned(graph), Scope(), title="all")
    own = [name for name in graph.nodes if name.owner == "neuro@1"]
    box = next(box for box in found.boxes if box.id == "neuro@1")
    assert sum(box.counts.values()) == len(own) + 1
    assert sum(found.totals.values()) == len(graph.nodes)


def test_a_selection_is_drawn_with_all_that_it_depends_on_and_no_more() -> None:
    graph = a_graph()
    scope = Scope(nodes=frozenset({BUILD}))
    found = make_picture(graph, graph_makers.planned(graph), scope, title="neuro")
    assert found.level is Level.NODES
    assert sorted(box.kind for box in found.boxes) == ["base", "build", "build", "source"]


def test_what_a_longer_way_says_too_is_not_drawn() -> None:
    graph = a_graph()
    scope = Scope(nodes=frozenset(name for name in graph.nodes if name.owner == "neuro@1"))
    drawn = pairs(make_picture(graph, graph_makers.planned(graph), scope, title="neuro"))
    publish = "neuro@1:publish [linux/amd64]"
    assert (BUILD.label, publish) not in drawn
    assert ("neuro@1:test [linux/amd64]", publish) in drawn


@pytest.mark.parametrize(
    ("depth", "kinds"),
    [(0, {"build"}), (1, {"build", "source"}), (2, {"build", "source", "base"})],
)
def test_depth_counts_steps_from_what_is_selected(depth: int, kinds: set[str]) -> None:
    graph = a_graph()
    scope = Scope(nodes=frozenset({BUILD}), depth=depth)
    found = nodes_in(graph, graph_makers.planned(graph), scope)
    assert {name.kind for name in found} == kinds


def test_depth_counts_releases_where_releases_are_drawn() -> None:
    graph = a_graph()
    nodes = frozenset(name for name in graph.nodes if name.owner == "neuro@1")
    plan = graph_makers.planned(graph)
    found = make_picture(
        graph, plan, Scope(nodes=nodes, depth=1), title="neuro", level=Level.RELEASES
    )
    assert {box.id for box in found.boxes} == {"neuro@1", "nibabel@5.0"}


def test_a_depth_with_nothing_to_count_from_is_refused() -> None:
    graph = a_graph()
    with pytest.raises(UsageError) as caught:
        nodes_in(graph, graph_makers.planned(graph), Scope(depth=1))
    assert caught.value.code == "E150"


def test_only_nodes_of_the_verbs_that_are_asked_for_are_drawn() -> None:
    graph = graph_makers.compiled(graph_makers.many(10))
    plan = graph_makers.mixed(graph)
    found = make_picture(graph, plan, Scope(verbs=frozenset({Verb.RUN})), title="x")
    assert found.totals == {Verb.RUN: plan.count(Verb.RUN)}
    with pytest.raises(UsageError) as caught:
        make_picture(graph, plan, Scope(verbs=frozenset({Verb.REMOVE})), title="x")
    assert caught.value.code == "E151"


def test_every_node_of_a_large_catalog_is_not_drawn_though_asked_for() -> None:
    graph = graph_makers.compiled(graph_makers.many(20))
    plan = graph_makers.planned(graph)
    limits = Limits(asked=100)
    with pytest.raises(UsageError) as caught:
        make_picture(graph, plan, Scope(), title="x", level=Level.NODES, limits=limits)
    assert caught.value.code == "E152"
    assert "--format json" in caught.value.hint


@pytest.mark.parametrize("share", [0, 2, 256])
def test_a_large_catalog_is_folded_and_says_so(share: int) -> None:
    graph = graph_makers.compiled(graph_makers.many(300))
    plan = graph_makers.mixed(graph, share)
    limits = Limits()
    found = make_picture(graph, plan, Scope(), title="x", limits=limits)
    assert found.level is Level.GROUPS
    assert len(found.boxes) <= limits.boxes
    assert len(found.lines) <= limits.group_lines
    assert found.notes[0].startswith("Folded: ")
    assert sum(found.totals.values()) == len(graph.nodes)


def test_what_is_to_be_done_is_not_folded_while_there_is_room() -> None:
    graph = graph_makers.compiled(graph_makers.many(300))
    plan = graph_makers.mixed(graph, 1)
    found = make_picture(graph, plan, Scope(), title="x")
    busy = {name.owner for name, s in plan.steps.items() if s.verb in (Verb.RUN, Verb.HELD)}
    assert busy
    assert busy <= {box.id for box in found.boxes}


def test_versions_of_one_recipe_are_folded_first() -> None:
    releases = [makers.a_release("tool", f"{n}.0") for n in range(60)]
    others = [makers.a_release(f"other-{n}", "1.0") for n in range(40)]
    graph = graph_makers.compiled(makers.a_catalog(*releases, *others))
    found = make_picture(graph, graph_makers.planned(graph), Scope(), title="x")
    assert len(found.boxes) == 42
    assert [b.note for b in found.boxes if b.name == "tool"] == ["60 versions · 540 reuse"]


def a_box(name: str, verb: Verb = Verb.REUSE) -> Box:
    return Box(id=name, name=name, note="", kind="release", counts={verb: 1})


NAMES = [f"r{n:02}" for n in range(40)]
LINES = st.lists(
    st.tuples(st.integers(0, 39), st.integers(0, 39)).filter(lambda p: p[0] != p[1]), max_size=160
)


@given(
    edges=LINES,
    verbs=st.lists(st.sampled_from(list(Verb)), min_size=40, max_size=40),
    boxes=st.integers(8, 30),
    lines=st.integers(0, 40),
)
def test_folding_keeps_every_limit_every_member_and_no_circle(
    edges: list[tuple[int, int]], verbs: list[Verb], boxes: int, lines: int
) -> None:
    picture = Picture(
        title="x",
        level=Level.RELEASES,
        boxes=tuple(a_box(n, v) for n, v in zip(NAMES, verbs, strict=True)),
        lines=tuple(sorted({Line(tail=NAMES[a], head=NAMES[b]) for a, b in edges})),
    )
    found = folded(picture, Limits(boxes=boxes, lines=lines, group_lines=lines))
    assert len(found.boxes) <= boxes
    assert len(found.lines) <= lines
    assert sum(sum(box.counts.values()) for box in found.boxes) == 40
    ids = {box.id for box in found.boxes}
    assert len(ids) == len(found.boxes)
    assert {n.tail for n in found.lines} | {n.head for n in found.lines} <= ids


def a_large_picture(lines: list[tuple[int, int]], verbs: list[Verb]) -> Picture:
    names = [f"recipe-{n:05}@1.0" for n in range(10_000)]
    return Picture(
        title="x",
        level=Level.RELEASES,
        boxes=tuple(a_box(n, verbs[i % len(verbs)]) for i, n in enumerate(names)),
        lines=tuple(sorted(Line(tail=names[a], head=names[b]) for a, b in lines)),
    )


@pytest.mark.parametrize(
    "lines",
    [
        [(0, n) for n in range(1, 10_000)],
        [(n - 1, n) for n in range(1, 10_000)],
        [(n % 97, n) for n in range(97, 10_000)],
    ],
    ids=["one base", "one chain", "many bases"],
)
@pytest.mark.parametrize("verbs", [[Verb.REUSE], list(Verb)], ids=["quiet", "mixed"])
def test_ten_thousand_releases_give_a_picture_of_bounded_size(
    lines: list[tuple[int, int]], verbs: list[Verb]
) -> None:
    found = folded(a_large_picture(lines, verbs), Limits())
    assert 1 < len(found.boxes) <= Limits().boxes
    assert len(found.lines) <= Limits().group_lines
    assert sum(sum(box.counts.values()) for box in found.boxes) == 10_000
    assert len(svg(found)) < 200_000


def test_ranges_of_names_say_where_they_begin_and_end() -> None:
    found = folded(a_large_picture([], [Verb.REUSE]), Limits(boxes=8))
    assert [(box.name, box.note) for box in found.boxes][:2] == [
        ("recipe-00… to recipe-024…", "2,500 releases · 2,500 reuse"),
        ("recipe-025… to recipe-04…", "2,500 releases · 2,500 reuse"),
    ]


def test_what_is_impure_is_marked() -> None:
    step = makers.RunStep(address="build[0]", script="true", network=True)
    graph = graph_makers.compiled(makers.a_catalog(makers.a_release("tool", "1", steps=(step,))))
    plan = graph_makers.planned(graph)
    value = document.node_document(graph, plan, Scope(), "x")
    jsonschema.validate(value, SCHEMA)
    marks = {n["kind"]: n["marks"] for n in value["nodes"]}  # type: ignore[index,call-overload,union-attr]
    assert marks["build"] == ["impure"]
    boxes = make_picture(graph, plan, Scope(), title="x", level=Level.NODES).boxes
    assert [box.kind for box in boxes if "impure" in box.details] == ["build"]


def test_releases_that_contain_each_other_are_drawn_all_the_same() -> None:
    circle = tuple(Line(tail=a, head=b) for a, b in (("a", "b"), ("b", "c"), ("c", "a")))
    picture = Picture(title="x", level=Level.RELEASES, boxes=tuple(map(a_box, "abc")), lines=circle)
    assert pairs(folded(picture, Limits())) == {("a", "b"), ("b", "c")}


def test_the_json_of_nodes_has_every_edge_with_role_and_output() -> None:
    graph = a_graph()
    plan = graph_makers.mixed(graph)
    value = document.node_document(graph, plan, Scope(), "all")
    jsonschema.validate(value, SCHEMA)
    inputs = [i for node in graph.nodes.values() for i in node.inputs if i.node is not None]
    assert len(value["edges"]) == len(inputs)  # type: ignore[index,call-overload,arg-type]
    assert {
        "from": "nibabel@5.0:build [linux/amd64]",
        "to": BUILD.label,
        "role": "base",
        "output": "config",
        "gate": False,
        "optional": False,
    } in value["edges"]  # type: ignore[index,call-overload,operator]


def test_the_json_of_releases_is_never_folded() -> None:
    graph = graph_makers.compiled(graph_makers.many(200))
    value = document.release_document(graph, graph_makers.mixed(graph), Scope(), "all")
    jsonschema.validate(value, SCHEMA)
    assert len(value["nodes"]) == 201  # type: ignore[index,call-overload,arg-type]
    assert sum(value["summary"].values()) == len(graph.nodes)  # type: ignore[index,call-overload,union-attr]


def test_an_empty_catalog_is_an_empty_picture() -> None:
    graph = graph_makers.compiled(makers.a_catalog())
    found = make_picture(graph, graph_makers.planned(graph), Scope(), title="all")
    assert (found.boxes, found.lines, found.summary) == ((), (), "nothing")
