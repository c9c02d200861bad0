"""Micro-architecture levels in the graph: one base, flags in one slice, built anywhere."""

from __future__ import annotations

import datetime as dt

import graph_makers
import makers

from ssds.core.model import NodeId
from ssds.core.pins import SharedPins
from ssds.core.platform import Platform
from ssds.graph.compile import compile_graph
from ssds.graph.plan import Verb
from ssds.recipe.catalog import read_catalog
from ssds.recipe.model import Site
from ssds.recipe.steps import RecipeRef
from ssds.ship.sites import chosen

AMD64, V3, ZEN3 = (Platform(f"linux/amd64{level}") for level in ("", "/v3", "/zen3"))
RECIPE = """\
name: tool
version: "1.0"
summary: A tool
licenses: [MIT]
platforms: {PLATFORMS}
base: debian-12
build:
  - run: make CFLAGS="-O2 {{ cpu_flags }}"
tests: [{name: works, run: tool, stdout: [x]}]
"""
BASES = "debian-12: {suite: bookworm, platforms: [linux/amd64]}\n"


def read(folder, platforms, text=RECIPE):
    (folder / "catalog/tool").mkdir(parents=True, exist_ok=True)
    (folder / "catalog/bases.yaml").write_text(BASES)
    text = text.replace("PLATFORMS", platforms)
    (folder / "catalog/tool/recipe.yaml").write_text(text)
    return compile_graph(
        read_catalog(str(folder)).catalog, SharedPins(), {}, dt.date(2026, 1, 1)
    ).nodes


def node(kind, platform, name="tool@1.0"):
    return NodeId(name, kind, str(platform))


def test_the_flags_are_in_the_build_slice_of_their_level_and_nowhere_else(tmp_path):
    nodes = read(tmp_path, "linux/amd64: required, linux/amd64/v3: optional")
    scripts = {p: nodes[node("build", p)].slice["steps"][0]["script"] for p in (AMD64, V3)}
    assert scripts[AMD64] == 'make CFLAGS="-O2 "'
    assert scripts[V3] == 'make CFLAGS="-O2 -march=x86-64-v3 -mtune=generic"'
    holding = [n.id for n in nodes.values() if "march" in str(n.slice)]
    assert holding == [node("build", V3)]


def test_a_level_more_changes_nothing_of_the_platform_without(tmp_path):
    alone = read(tmp_path, "linux/amd64: required")
    both = read(tmp_path, "linux/amd64: required, linux/amd64/zen3: optional")
    for name, found in alone.items():
        if name.kind != "index":
            assert (both[name].slice, both[name].inputs) == (found.slice, found.inputs)


def test_all_levels_stand_on_one_base(tmp_path):
    nodes = read(tmp_path, "linux/amd64: required, linux/amd64/v3: optional")
    assert [n.platform for n in nodes if n.kind == "base"] == ["linux/amd64"]


def test_a_contained_recipe_without_the_level_is_taken_of_the_best_below():
    below = makers.a_release("below", "1.0", platforms={AMD64: True, V3: False})
    ref = RecipeRef(name="below", version="1.0")
    above = makers.a_release("above", "1.0", platforms={ZEN3: True}, base_recipe=ref)
    graph = graph_makers.compiled(makers.a_catalog(below, above))
    inputs = {i.role: i.node for i in graph.nodes[node("build", ZEN3, "above@1.0")].inputs}
    assert inputs["base"] == node("build", V3, "below@1.0")
    gates = {i.role: i.node for i in graph.nodes[node("publish", ZEN3, "above@1.0")].inputs}
    assert gates["gate/below@1.0"] == node("gate", V3, "below@1.0")


def test_a_machine_without_the_level_builds_it_and_waits_with_its_test():
    release = makers.a_release("tool", "1.0", platforms={AMD64: True, V3: False})
    graph = graph_makers.compiled(makers.a_catalog(release))
    plan = graph_makers.planned(
        graph, known=lambda key: False, builds=lambda platform: not platform.variant
    )
    verbs = {name: step.verb for name, step in plan.steps.items()}
    assert verbs[node("build", V3)] is not Verb.WAIT
    assert verbs[node("test", V3)] is Verb.WAIT
    assert verbs[node("publish", V3)] is Verb.WAIT
    assert verbs[node("test", AMD64)] is not Verb.WAIT


def test_a_site_gets_the_level_or_what_runs_in_its_place():
    site = Site(name="cluster", platforms=(ZEN3,))
    arm = Platform("linux/arm64")
    assert list(chosen(site, dict.fromkeys([AMD64, V3]))) == [V3, AMD64]
    assert list(chosen(site, dict.fromkeys([AMD64, Platform("linux/amd64/v4")]))) == [AMD64]
    assert chosen(site, dict.fromkeys([arm])) == {}
    both = Site(name="cluster", platforms=(AMD64, ZEN3, arm))
    assert list(chosen(both, dict.fromkeys([arm, V3, AMD64]))) == [AMD64, V3, arm]
