"""Recipe edges by range: pins decide, the chosen version is the input, removal is seen (C16)."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import replace

import pytest
from makers import (
    AMD64,
    ARM64,
    a_catalog,
    a_release,
    an_apt_step,
    pinned,
    shared_pins,
)

from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import Refused
from ssds.core.model import Input, Node, NodeId, ReleaseName
from ssds.core.pins import PlatformPins, RecipePin
from ssds.core.platform import Platform
from ssds.graph.compile import Graph, compile_graph
from ssds.graph.plan import Facts, Verb, make_plan
from ssds.kinds.build.contained import lost_versions, refuse_removal
from ssds.kinds.build.requests import requests_of
from ssds.recipe.model import Catalog, Release
from ssds.recipe.steps import CopyStep, RecipeRef, RunStep

APP = ReleaseName("app", "1.0")
Pins = dict[tuple[ReleaseName, Platform], PlatformPins]


def lib(version: str, **fields: object) -> Release:
    fields.setdefault("steps", (RunStep(address="build[0]", script=f"make lib {version}"),))
    return a_release("lib", version, **fields)


def app(version: str = ">=1,<2", **fields: object) -> Release:
    return a_release("app", "1.0", base_recipe=RecipeRef(name="lib", version=version), **fields)


def copying(version: str) -> CopyStep:
    ref = RecipeRef(name="lib", version=version)
    return CopyStep(address="build[0]", to="/opt/", recipe=ref, paths=("/lib",))


LIBS = (lib("1.9"), lib("1.10"), lib("2.0"))


def compiled(catalog: Catalog, pins: Pins) -> Graph:
    return compile_graph(catalog, shared_pins(catalog), pins, dt.date(2026, 1, 1))


def node(graph: Graph, kind: str, owner: str = "app@1.0") -> Node:
    return graph.nodes[NodeId(owner, kind, "linux/amd64")]


def role(found: Node, name: str) -> Input:
    return next(i for i in found.inputs if i.role == name)


def chosen(pins: Pins) -> str:
    return pins[APP, AMD64].recipes["lib"].version


def moved(pins: Pins, **fields: object) -> Pins:
    """The pins with another pin of ``lib``."""
    held = pins[APP, AMD64]
    pin = replace(held.recipes["lib"], **fields)  # type: ignore[arg-type]
    return {**pins, (APP, AMD64): replace(held, recipes={"lib": pin})}


def test_the_pinned_versions_build_is_the_input() -> None:
    catalog = a_catalog(*LIBS, app())
    pins = pinned(catalog)
    assert chosen(pins) == "1.10"
    build = node(compiled(catalog, pins), "build")
    assert build.unpinned == ()
    assert role(build, "base").node == NodeId("lib@1.10", "build", "linux/amd64")


def test_a_copy_by_range_is_an_edge_too() -> None:
    catalog = a_catalog(*LIBS, a_release("app", "1.0", steps=(copying(">=1,!=1.10,<2"),)))
    build = node(compiled(catalog, pinned(catalog)), "build")
    assert role(build, "recipe/0").node == NodeId("lib@1.9", "build", "linux/amd64")


def test_without_a_pin_the_build_is_not_locked_and_says_which_recipe() -> None:
    catalog = a_catalog(*LIBS, app())
    pins = {key: held for key, held in pinned(catalog).items() if key[0] != APP}
    graph = compiled(catalog, pins)
    assert node(graph, "build").unpinned == ("recipe lib",)
    facts = Facts(claims=lambda _: (), has=frozenset(), builder=lambda _: "")
    plan = make_plan(graph, facts)
    step = plan.steps[NodeId("app@1.0", "build", "linux/amd64")]
    assert (step.verb, step.reason, step.text) == (
        Verb.UNKNOWN, "unlocked", "not locked: recipe lib",
    )  # fmt: skip
    publish = plan.steps[NodeId("app@1.0", "publish", "linux/amd64")]
    assert publish.verb is Verb.UNKNOWN


def test_a_newer_version_in_the_catalog_moves_nothing() -> None:
    before = a_catalog(*LIBS, app())
    pins = pinned(before)
    after = a_catalog(*LIBS, lib("1.11"), app())
    asked = requests_of(after.releases[APP].targets[AMD64], after, shared_pins(after), pins)
    assert asked.missing == ()
    key = NodeId("app@1.0", "build", "linux/amd64")
    one, two = compiled(before, pins).nodes[key], compiled(after, pins).nodes[key]
    assert one == two


@pytest.mark.parametrize("version", [">=1,<3", ">=1.9,<2", "!=2.0"])
def test_another_range_makes_the_pin_stale(version: str) -> None:
    pins = pinned(a_catalog(*LIBS, app()))
    build = node(compiled(a_catalog(*LIBS, app(version)), pins), "build")
    assert build.unpinned == ("recipe lib",)


def test_another_variant_makes_the_pin_stale() -> None:
    mpi = [replace(r, id=r.id._replace(variant="mpi")) for r in LIBS]
    pins = pinned(a_catalog(*LIBS, app()))
    other = RecipeRef(name="lib", version=">=1,<2", variant="mpi")
    catalog = a_catalog(*LIBS, *mpi, a_release("app", "1.0", base_recipe=other))
    assert node(compiled(catalog, pins), "build").unpinned == ("recipe lib",)


def test_what_the_recipe_does_else_leaves_the_pin_valid() -> None:
    pins = pinned(a_catalog(*LIBS, app()))
    edited = app(steps=(RunStep(address="build[0]", script="other"),), metadata={"summary": "x"})
    assert node(compiled(a_catalog(*LIBS, edited), pins), "build").unpinned == ()


def test_a_pin_that_lies_outside_of_its_range_answers_nothing() -> None:
    catalog = a_catalog(*LIBS, app())
    for version in ("2.0", "0.1", "1.0"):
        graph = compiled(catalog, moved(pinned(catalog), version=version))
        assert node(graph, "build").unpinned[0].startswith("recipe lib")
        assert all(i.node is None for i in node(graph, "build").inputs)


def test_a_false_pin_cannot_make_a_circle() -> None:
    """A lock from outside says that lib 2.0 is the answer, which itself builds on app."""
    back = a_release("lib", "2.0", base_recipe=RecipeRef(name="app", version="1.0"))
    catalog = a_catalog(lib("1.9"), back, app("<2"))
    graph = compiled(catalog, moved(pinned(catalog), version="2.0"))
    assert node(graph, "build").unpinned == ("recipe lib",)


def test_a_pin_of_another_request_answers_nothing() -> None:
    catalog = a_catalog(*LIBS, app())
    pins = moved(pinned(catalog), request=Digest("blake3:" + "0" * 64))
    assert node(compiled(catalog, pins), "build").unpinned == ("recipe lib",)


def test_the_gate_of_the_chosen_version_holds_and_no_other() -> None:
    catalog = a_catalog(*LIBS, app())
    publish = node(compiled(catalog, pinned(catalog)), "publish")
    gates = {i.node.owner for i in publish.inputs if i.role.startswith("gate/") and i.node}
    assert gates == {"lib@1.10"}
    older = node(compiled(catalog, moved(pinned(catalog), version="1.9")), "publish")
    assert {i.node.owner for i in older.inputs if i.role.startswith("gate/") and i.node} == {
        "lib@1.9"
    }


def test_the_packages_below_are_those_of_the_chosen_version() -> None:
    libs = [lib(v, steps=(an_apt_step(f"lib{v}"),)) for v in ("1.9", "1.10")]
    catalog = a_catalog(*libs, app(steps=(an_apt_step("app"),)))
    pins = pinned(catalog)
    target = catalog.releases[APP].targets[AMD64]

    def below(held: Pins) -> list[str]:
        asked = requests_of(target, catalog, shared_pins(catalog), held)
        return [p.name for s in asked.packages[0].installed for p in s.packages]

    assert below(pins) == ["base-files", "dash", "lib1.10"]
    other = moved(pins, version="1.9")
    assert below(other) == ["base-files", "dash", "lib1.9"]
    assert node(compiled(catalog, pins), "build").unpinned == ()
    stale = node(compiled(catalog, other), "build").unpinned
    assert stale == ("apt packages of build[0]",)


def test_each_platform_follows_its_own_pin() -> None:
    both = {AMD64: True, ARM64: True}
    catalog = a_catalog(
        lib("1.9", platforms=both), lib("1.10", platforms={AMD64: True}), app(platforms=both)
    )
    graph = compiled(catalog, pinned(catalog))
    owners = {
        platform: next(
            i.node.owner
            for i in graph.nodes[NodeId("app@1.0", "build", platform)].inputs
            if i.role == "base" and i.node
        )
        for platform in ("linux/amd64", "linux/arm64")
    }
    assert owners == {"linux/amd64": "lib@1.10", "linux/arm64": "lib@1.9"}


def test_the_key_is_that_of_the_chosen_build_however_it_was_asked_for() -> None:
    keys = set()
    for version in ("1.10", ">=1,<2", "==1.10"):
        catalog = a_catalog(*LIBS, app(version))
        build = node(compiled(catalog, pinned(catalog)), "build")
        assert role(build, "base").node == NodeId("lib@1.10", "build", "linux/amd64")
        keys.add(build.resolve({"base": sha256_of(b"config of 1.10")}).key)
    assert len(keys) == 1


# -- what is gone -------------------------------------------------------------------------------


def test_removing_a_pinned_version_is_refused_and_names_who_refers_to_it() -> None:
    pins = pinned(a_catalog(*LIBS, app()))
    after = a_catalog(lib("1.9"), lib("2.0"), app())
    build = node(compiled(after, pins), "build")
    assert build.unpinned == ("recipe lib: the catalog has no 1.10 any more",)
    with pytest.raises(Refused) as caught:
        refuse_removal(lost_versions(after, pins))
    assert caught.value.code == "E087"
    for word in ("lib@1.10", "app@1.0 [linux/amd64]", ">=1,<2"):
        assert word in caught.value.message
    assert "ssds lock --upgrade recipes app@1.0" in caught.value.hint


def test_removing_what_nobody_refers_to_is_no_problem() -> None:
    pins = pinned(a_catalog(*LIBS, app()))
    refuse_removal(lost_versions(a_catalog(lib("1.10"), app()), pins))
    refuse_removal(lost_versions(a_catalog(lib("1.9")), pins))  # who referred to it went too
    refuse_removal(lost_versions(a_catalog(lib("1.9"), app("<3")), pins))  # a stale pin
    refuse_removal(lost_versions(a_catalog(lib("1.9"), app("1.9")), pins))  # exact now


def test_a_version_that_drops_the_platform_counts_as_removed() -> None:
    pins = pinned(a_catalog(*LIBS, app()))
    after = a_catalog(lib("1.9"), lib("1.10", platforms={ARM64: True}), app())
    assert [lost.pinned for lost in lost_versions(after, pins)] == ["lib@1.10"]


def test_pins_that_nobody_asks_for_are_harmless() -> None:
    catalog = a_catalog(*LIBS, app("1.9"))
    pins = pinned(catalog)
    odd = {"none": RecipePin(request=sha256_of(b"x"), version="1.0")}
    held = {**pins, (APP, AMD64): replace(pins[APP, AMD64], recipes=odd)}
    assert compiled(catalog, held).nodes == compiled(catalog, pins).nodes
    assert lost_versions(catalog, held) == ()


# -- shape --------------------------------------------------------------------------------------


def test_diamonds_and_long_chains_of_recipes_are_compiled_soon() -> None:
    asked = (">=1", "<2", "1.0")
    releases = [a_release("n0", "1.0", steps=(an_apt_step("p0"),))]
    for number in range(1, 20):
        below = [RecipeRef(name=f"n{number - 1}", version=version) for version in asked]
        copies = tuple(
            CopyStep(address=f"build[{n}]", to="/opt/", recipe=ref, paths=("/x",))
            for n, ref in enumerate(below)
        )
        steps = (*copies, an_apt_step(f"p{number}", address="build[3]"))
        releases.append(a_release(f"n{number}", "1.0", base_recipe=below[0], steps=steps))
    catalog = a_catalog(*releases)
    start = time.process_time()
    graph = compiled(catalog, pinned(catalog))
    assert time.process_time() - start < 30
    top = node(graph, "publish", "n19@1.0")
    assert len([i for i in top.inputs if i.role.startswith("gate/")]) == 19
    installed = graph.requests[ReleaseName("n19", "1.0"), AMD64].packages[0].installed
    assert [s.packages[0].name for s in installed[1:]] == [f"p{n}" for n in range(19)]
