"""What of a saved plan may still run: node by node, and nothing that it does not have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import AMD64, ARM64, a_catalog, a_release, a_source, an_apt_step
from saved_makers import World, graph_of, plan_of, saved_of, two_recipes

from ssds.core.digest import ActionKey, sha256_of
from ssds.core.model import KINDS, NodeId
from ssds.graph.plan import Verb
from ssds.recipe.model import Catalog, Test
from ssds.recipe.steps import RecipeRef, RunStep
from ssds.saved.form import from_dict, to_dict
from ssds.saved.judge import Judged, judge
from ssds.saved.model import SavedPlan


def judged(saved: SavedPlan, catalog: Catalog, world: World, **fields: Any) -> Judged:
    wishes = fields.pop("wishes", {})
    plan = plan_of(catalog, world, **wishes)
    saved = from_dict(to_dict(saved))
    return judge(saved, graph_of(catalog), plan, world.facts(), **fields)


def save(catalog: Catalog, world: World | None = None, **wishes: Any) -> SavedPlan:
    return saved_of(plan_of(catalog, world or World(), **wishes), catalog)


def running(found: Judged) -> set[str]:
    return {str(n) for n, s in found.plan.steps.items() if s.runs}


def stale(found: Judged) -> dict[str, str]:
    return {str(n): why for n, why in found.stale.items()}


def own(found: Judged) -> dict[str, str]:
    """Returns the stale nodes that are the cause, not the consequence."""
    return {n: why for n, why in stale(found).items() if not why.startswith("it needs")}


def test_an_unchanged_world_runs_the_plan_as_it_is() -> None:
    catalog, world = two_recipes(), World()
    found = judged(save(catalog), catalog, world)
    assert found.stale == {}
    assert dict(found.plan.steps) == dict(plan_of(catalog, world).steps)


def test_a_changed_step_refuses_its_build_and_what_needs_it_and_nothing_else() -> None:
    saved = save(two_recipes())
    edited = two_recipes(steps=(RunStep(address="build[0]", script="false"),))
    found = judged(saved, edited, World())
    assert own(found) == {"alpha@1.16.1:build": "changed since: slice.steps[0]"}
    assert set(stale(found)) == {
        f"alpha@1.16.1:{kind}"
        for kind in ("build", "test", "deploytest", "sbom", "scan", "gate", "publish", "index")
    }
    assert "alpha@1.16.1:metadata" in running(found)
    assert {n for n in running(found) if n.startswith("beta")} == {
        f"beta@1.16.1:{kind}"
        for kind in set(KINDS) - {"base", "source", "inspect", "sif", "data", "dataset"}
    }


def test_a_changed_summary_refuses_only_the_metadata() -> None:
    saved = save(two_recipes())
    edited = two_recipes(metadata={"summary": "another"})
    found = judged(saved, edited, World())
    assert own(found) == {"alpha@1.16.1:metadata": "changed since: slice.fields.summary"}
    assert "alpha@1.16.1:build" in running(found)


_TRUE = (RunStep(address="build[0]", script="true", sources=("data",)),)


def _of_source(content: str) -> dict[str, Any]:
    return {
        "sources": {"data": a_source("data", sha256=sha256_of(content.encode()))},
        "steps": _TRUE,
    }


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a package more": ({}, {"steps": (an_apt_step("zlib"),)}, "build: changed since: slice."),
    "a test": ({}, {"tests": (Test(name="x", script="y"),)}, "test: changed since: slice.tests[0]"),
    "no tests": ({}, {"tests": ()}, "test: gone"),
    "a source": (_of_source("one"), _of_source("two"), "build: its input source/data "),
    "a source more": (
        {},
        {**_of_source("one"), "steps": _TRUE},
        "build: changed since: slice.steps[0]",
    ),
    "a source less": (
        {**_of_source("one"), "steps": _TRUE},
        {},
        "build: changed since: slice.steps[0]",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_sort_of_change_is_named(name: str) -> None:
    before, after, wanted = CHANGES[name]
    saved = save(two_recipes(**before))
    found = judged(saved, two_recipes(**after), World())
    told = [f"{n.partition(':')[2]}: {why}" for n, why in own(found).items()]
    told += [f"{label.partition(':')[2].partition(' ')[0]}: gone" for label in found.gone]
    assert any(text.startswith(wanted) for text in told), told
    assert {n for n in running(found) if n.startswith("beta")}


def test_a_recipe_that_is_gone_is_told_and_the_others_run() -> None:
    saved = save(two_recipes())
    found = judged(saved, a_catalog(a_release("beta")), World())
    assert "alpha@1.16.1:build [linux/amd64]" in found.gone
    assert running(found) >= {"beta@1.16.1:build"}


def test_a_new_recipe_is_not_run() -> None:
    saved = save(a_catalog(a_release("beta")))
    found = judged(saved, two_recipes(), World())
    assert found.stale == {}
    assert not {n for n in running(found) if n.startswith("alpha")}


def test_what_was_reused_and_now_must_run_is_not_run() -> None:
    world = World()
    catalog = two_recipes()
    world.run(plan_of(catalog, world))
    tested = two_recipes(tests=(Test(name="more", script="true"),))
    saved = save(tested, world)
    assert {str(s.node) for s in saved.steps if s.runs} == {
        "alpha@1.16.1:test", "alpha@1.16.1:publish", "alpha@1.16.1:index"
    }  # fmt: skip
    both = two_recipes(
        tests=(Test(name="more", script="true"),),
        steps=(RunStep(address="build[0]", script="false"),),
    )
    found = judged(saved, both, world)
    assert running(found) == set()
    assert stale(found)["alpha@1.16.1:build"].startswith("the plan has no step for it")


def test_a_build_that_another_made_meanwhile_is_reused() -> None:
    world, catalog = World(), two_recipes()
    saved = save(catalog, world)
    first = plan_of(a_catalog(a_release("alpha")), world)
    world.run(first)
    found = judged(saved, catalog, world)
    assert found.stale == {}
    assert not {n for n in running(found) if n.startswith("alpha")}
    assert found.done >= 8


def test_applied_twice_is_applied_once() -> None:
    world, catalog = World(), two_recipes()
    saved = save(catalog, world)
    assert world.run(judged(saved, catalog, world).plan)
    assert world.run(judged(saved, catalog, world).plan) == []


def test_what_is_asked_to_run_again_runs_once() -> None:
    world, catalog = World(), two_recipes()
    world.run(plan_of(catalog, world))
    again = frozenset({NodeId("alpha@1.16.1", "test", "linux/amd64")})
    saved = save(catalog, world, rerun=again)
    wishes = {"rerun": again}
    found = judged(saved, catalog, world, wishes=wishes)
    assert world.run(found.plan) == [*again]
    label = next(iter(again)).label
    found = judged(saved, catalog, world, wishes=wishes, finished=frozenset({label}))
    assert world.run(found.plan) == []


def test_a_failure_that_is_tried_again_is_tried_once() -> None:
    world, catalog = World(content={"alpha@1.16.1:test": "fail"}), two_recipes()
    world.run(plan_of(catalog, world))
    wishes = {"retry": True}
    saved = save(catalog, world, **wishes)
    found = judged(saved, catalog, world, wishes=wishes)
    assert [str(n) for n in world.run(found.plan)] == ["alpha@1.16.1:test"]
    label = "alpha@1.16.1:test [linux/amd64]"
    found = judged(saved, catalog, world, wishes=wishes, finished=frozenset({label}))
    assert world.run(found.plan) == []


def test_a_builder_that_is_missing_is_told() -> None:
    catalog = two_recipes()
    saved = save(catalog)
    found = judged(saved, catalog, World(builders={}))
    assert own(found)["alpha@1.16.1:build"] == "no builder for linux/amd64"
    assert running(found) == {"alpha@1.16.1:metadata", "beta@1.16.1:metadata"}


def test_a_builder_that_appeared_builds_nothing_that_the_plan_left_waiting() -> None:
    catalog = a_catalog(a_release(platforms={AMD64: True, ARM64: False}))
    saved = save(catalog, World(builders={AMD64: ""}))
    found = judged(saved, catalog, World())
    assert found.stale == {}
    assert not any(n.platform == "linux/arm64" for n, s in found.plan.steps.items() if s.runs)
    assert "samtools@1.16.1:index" in running(found)


def test_an_optional_platform_that_the_plan_had_is_not_left_out_silently() -> None:
    catalog = a_catalog(a_release(platforms={AMD64: True, ARM64: False}))
    saved = save(catalog)
    found = judged(saved, catalog, World(builders={AMD64: ""}))
    assert "samtools@1.16.1:publish" in running(found)
    assert "samtools@1.16.1:index" in stale(found)


def test_bytes_that_come_again_are_those_that_were_claimed() -> None:
    world, catalog = World(), two_recipes()
    world.run(plan_of(catalog, world))
    fetch = frozenset({NodeId("alpha@1.16.1", "publish", "linux/amd64")})
    world.bytes.clear()
    saved = save(catalog, world, fetch=fetch)
    assert any(s.reason == "bytes" for s in saved.steps)
    wishes = {"fetch": fetch}
    assert judged(saved, catalog, world, wishes=wishes).stale == {}
    for key in [*world.claims]:
        world.claims[key] = [_other(c) for c in world.claims[key]]
    assert judged(saved, catalog, world, wishes=wishes).stale


def _other(claim: Any) -> Any:
    from dataclasses import replace

    from ssds.core.digest import sha256_of

    outputs = {n: d if n == "verdict" else sha256_of(d.encode()) for n, d in claim.outputs.items()}
    return replace(claim, outputs=outputs)


def test_a_gate_whose_waivers_expired_is_refused_with_what_it_holds() -> None:
    catalog = two_recipes()
    gate = NodeId("alpha@1.16.1", "gate", "linux/amd64")
    found = judged(save(catalog), catalog, World(), expired=frozenset({gate}))
    assert own(found) == {str(gate): "the waivers in force changed since the plan was made"}
    assert {"alpha@1.16.1:publish", "alpha@1.16.1:index"} <= set(stale(found))
    assert "alpha@1.16.1:build" in running(found)


def test_a_reused_gate_whose_waivers_expired_holds_what_needs_it() -> None:
    world, catalog = World(), two_recipes()
    world.run(plan_of(catalog, world))
    tested = two_recipes(tests=(Test(name="more", script="true"),))
    saved = save(tested, world)
    gate = NodeId("alpha@1.16.1", "gate", "linux/amd64")
    found = judged(saved, tested, world, expired=frozenset({gate}))
    assert "alpha@1.16.1:test" in running(found)
    assert "alpha@1.16.1:publish" in stale(found)


def test_another_salt_refuses_everything() -> None:
    found = judged(save(two_recipes()), _salted(two_recipes()), World())
    assert running(found) == set()
    assert "the catalog's salt changed" in own(found).values()


def _salted(catalog: Catalog) -> Catalog:
    from dataclasses import replace

    return replace(catalog, salt="anew")


def test_a_recipe_on_another_recipe_is_refused_with_it() -> None:
    def catalog(**fields: Any) -> Catalog:
        ref = RecipeRef(name="ground", version="1.16.1")
        return a_catalog(a_release("ground", **fields), a_release("tool", base_recipe=ref))

    saved = save(catalog())
    found = judged(saved, catalog(steps=(RunStep(address="build[0]", script="x"),)), World())
    assert set(own(found)) == {"ground@1.16.1:build"}
    assert "tool@1.16.1:build" in stale(found)
    assert {"ground@1.16.1:metadata", "tool@1.16.1:metadata"} <= running(found)


EDITS: dict[str, Callable[[], dict[str, Any]]] = {
    "script": lambda: {"steps": (RunStep(address="build[0]", script="other"),)},
    "test": lambda: {"tests": (Test(name="works", script="other"),)},
    "summary": lambda: {"metadata": {"summary": "other"}},
    "packages": lambda: {"steps": (an_apt_step("zlib"),)},
    "platform": lambda: {"platforms": {AMD64: True, ARM64: False}},
    "nothing": dict,
}
NAMES = ("one", "two", "three")


def catalog_of(edits: dict[str, str]) -> Catalog:
    return a_catalog(*(a_release(n, **EDITS[edits.get(n, "nothing")]()) for n in NAMES))


_EDITS = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(sorted(EDITS)))


@settings(max_examples=80, deadline=None)
@given(first=_EDITS, built=_EDITS, later=_EDITS, seed=st.integers(0, 2), fails=st.booleans())
def test_apply_of_a_saved_plan_is_a_part_of_it(
    first: dict[str, str], built: dict[str, str], later: dict[str, str], seed: int, fails: bool
) -> None:
    world = World(content={f"{NAMES[seed]}@1.16.1:test": "fail"} if fails else {})
    world.run(plan_of(catalog_of(built), world))
    before, after = catalog_of(first), catalog_of(later)
    saved = save(before, world)
    may_run = {step.node for step in saved.steps if step.runs}
    keys = {step.node: step.key for step in saved.steps if step.key}
    old_nodes = graph_of(before).nodes
    found = judged(saved, after, world)
    remembered: set[ActionKey] = set(world.claims)
    ran = world.run(found.plan)
    assert set(ran) <= may_run
    for name in ran:
        node = found.plan.steps[name].node
        assert node.slice == old_nodes[name].slice
        assert node.kind_version == old_nodes[name].kind_version
        if name in keys:
            assert keys[name] in world.claims
    assert not (set(found.stale) & set(ran))
    assert world.run(judged(saved, after, world).plan) == []
    unchanged = [
        n for n in NAMES if EDITS[first.get(n, "nothing")]() == EDITS[later.get(n, "nothing")]()
    ]
    for name in unchanged:
        assert not [n for n in found.stale if n.owner == f"{name}@1.16.1"]
    assert remembered <= set(world.claims)


@settings(max_examples=40, deadline=None)
@given(edits=_EDITS, built=_EDITS)
def test_saved_and_applied_at_once_is_a_plain_apply(
    edits: dict[str, str], built: dict[str, str]
) -> None:
    one, other = World(), World()
    for world in (one, other):
        world.run(plan_of(catalog_of(built), world))
    catalog = catalog_of(edits)
    plain = one.run(plan_of(catalog, one))
    saved = other.run(judged(save(catalog, other), catalog, other).plan)
    assert saved == plain
    assert one.claims == other.claims
    assert all(s.verb is Verb.REUSE for s in plan_of(catalog, other).steps.values())
