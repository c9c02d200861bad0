"""Pictures: what is built on what, reduced to what a reader needs."""

from __future__ import annotations

import datetime as dt

from makers import a_catalog, a_release, pinned, shared_pins

from ssds.core.model import NodeId
from ssds.graph import picture
from ssds.graph.compile import Graph, compile_graph
from ssds.graph.plan import Verb
from ssds.recipe.model import RecipeRef


def a_graph() -> Graph:
    child = a_release("neuro", "1", base_recipe=RecipeRef(name="nibabel", version="5.0"))
    catalog = a_catalog(a_release("nibabel", "5.0"), child)
    return compile_graph(catalog, shared_pins(catalog), pinned(catalog), dt.date(2026, 1, 1))


def test_releases_are_drawn_on_what_they_are_built_on() -> None:
    found = picture.as_json(picture.release_graph(a_graph()), {})
    assert found["edges"] == [["debian-12", "nibabel@5.0"], ["nibabel@5.0", "neuro@1"]]


def test_a_release_is_drawn_with_all_that_it_depends_on_and_no_more() -> None:
    build = NodeId("nibabel@5.0", "build", "linux/amd64")
    drawn = picture.node_graph(a_graph(), {build})
    assert {n.kind for n in drawn.nodes if isinstance(n, NodeId)} == {"base", "build"}


def test_mermaid_and_dot_colour_nodes_by_verb() -> None:
    build = NodeId("nibabel@5.0", "build", "linux/amd64")
    drawn = picture.node_graph(a_graph(), {build})
    verbs: dict[NodeId | str, Verb] = {build: Verb.RUN}
    assert "style n1 fill:#fff2cc" in picture.mermaid(drawn, verbs)
    assert '"nibabel@5.0:build [linux/amd64]" fillcolor="#fff2cc"' in picture.dot(drawn, verbs)
