"""What a plan says, and the laws that hold for every plan (design section 9)."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from makers import (
    AMD64,
    ARM64,
    a_catalog,
    a_release,
    a_source,
    an_apt_step,
    pinned,
    shared_pins,
)

from ssds.core.digest import ActionKey, Digest, sha256_of
from ssds.core.model import FAIL, PASS, VERDICT_KINDS, Claim, NodeId, ReleaseName
from ssds.core.platform import Platform
from ssds.graph.compile import Graph, compile_graph
from ssds.graph.plan import Facts, Plan, Verb, Wishes, make_plan
from ssds.recipe.model import Catalog, Release, Test, Waiver
from ssds.recipe.steps import RecipeRef, RunStep

TODAY = dt.date(2026, 1, 1)
World = Callable[[str, str], str]


class Memory:
    """A model of the store: claims by key, bytes by digest."""

    def __init__(self, builders: dict[Platform, str] | None = None) -> None:
        self.claims: dict[ActionKey, list[Claim]] = {}
        self.bytes: set[Digest] = set()
        self.builders = builders or {AMD64: "", ARM64: ""}

    def facts(self) -> Facts:
        return Facts(
            claims=lambda key: tuple(self.claims.get(key, ())),
            has=self.bytes,
            builder=lambda platform: self.builders.get(platform, "no builder"),
        )


def graph_of(catalog: Catalog, as_of: dt.date = TODAY) -> Graph:
    return compile_graph(catalog, shared_pins(catalog), pinned(catalog), as_of)


def run_plan(plan: Plan, memory: Memory, world: dict[str, str] | None = None) -> list[NodeId]:
    """Applies a plan in the model: an output is a hash of the action, or what ``world`` says.

    ``world`` maps a node's text to the content of its outputs; a verdict node's to pass or fail.
    """
    world = world or {}
    ran: list[NodeId] = []
    outputs: dict[NodeId, dict[str, Digest]] = {}
    verdicts: dict[NodeId, str] = {}
    for name, step in plan.steps.items():
        if step.verb is Verb.REUSE:
            outputs[name] = dict(step.outputs)
            verdicts[name] = step.claim.verdict if step.claim else ""
            continue
        if not step.runs or step.node.unpinned:
            continue
        inputs: dict[str, Digest] = {}
        blocked = False
        for item in step.node.inputs:
            if item.digest is not None:
                inputs[item.role] = item.digest
            elif item.node in outputs:
                if item.gate and verdicts.get(item.node) == "fail":
                    blocked = True
                else:
                    inputs[item.role] = outputs[item.node][item.output]
            elif not item.optional:
                blocked = True
        if blocked:
            continue
        action = step.node.resolve(inputs, plan.salt)
        known = memory.claims.get(action.key, [])
        forced = step.reason in ("bytes", "rerun", "retry")
        if known and not forced:
            claim = known[0]
        else:
            ran.append(name)
            claim = make_claim(name, action.key, step.node.fixed, world)
            memory.claims.setdefault(action.key, []).append(claim)
            memory.bytes |= set(claim.outputs.values())
        outputs[name] = dict(claim.outputs)
        verdicts[name] = claim.verdict
    return ran


NAMES = {
    "source": ["file"],
    "base": ["layer"],
    "build": ["config", "layer/0"],
    "test": ["report"],
    "deploytest": ["report"],
    "metadata": ["metadata"],
    "sbom": ["sbom", "commands"],
    "scan": ["findings"],
    "gate": ["report"],
    "publish": ["manifest", "blob/0"],
    "index": ["index"],
}


def make_claim(name: NodeId, key: ActionKey, fixed: Any, world: dict[str, str]) -> Claim:
    content = world.get(str(name), str(key))
    outputs = {o: sha256_of(f"{name.kind} {o} {content}".encode()) for o in NAMES[name.kind]}
    verdict = ""
    if name.kind in VERDICT_KINDS:
        verdict = "fail" if content == "fail" else "pass"
        outputs["verdict"] = sha256_of(FAIL if verdict == "fail" else PASS)
    outputs.update(fixed)
    return Claim(key=key, kind=name.kind, outputs=outputs, verdict=verdict)


def verbs(plan: Plan) -> dict[str, str]:
    return {f"{n}": s.verb.value for n, s in plan.steps.items()}


def kinds_that_run(before: Catalog, after: Catalog, **wishes: Any) -> set[str]:
    """Applies ``before``, then says which kinds apply really runs for ``after``."""
    memory = Memory()
    run_plan(make_plan(graph_of(before), memory.facts()), memory)
    plan = make_plan(graph_of(after), memory.facts(), Wishes(**wishes))
    return {name.kind for name in run_plan(plan, memory)}


def test_an_empty_store_runs_what_can_be_said_and_knows_the_rest_after() -> None:
    plan = make_plan(graph_of(a_catalog(a_release())), Memory().facts())
    assert verbs(plan) == {
        "samtools@1.16.1:metadata": "+",
        "debian-12:base/20231114": "+",
        "samtools@1.16.1:build": "+",
        "samtools@1.16.1:deploytest": "?",
        "samtools@1.16.1:test": "?",
        "samtools@1.16.1:sbom": "?",
        "samtools@1.16.1:scan": "?",
        "samtools@1.16.1:gate": "?",
        "samtools@1.16.1:publish": "?",
        "samtools@1.16.1:index": "?",
    }
    base = next(s for n, s in plan.steps.items() if n.kind == "base")
    assert base.text == "bytes wanted by samtools@1.16.1:build [linux/amd64]"


def test_a_second_plan_after_a_clean_apply_is_all_reuse() -> None:
    memory = Memory()
    graph = graph_of(a_catalog(a_release(platforms={AMD64: True, ARM64: False})))
    run_plan(make_plan(graph, memory.facts()), memory)
    assert set(verbs(make_plan(graph, memory.facts())).values()) == {"="}


def test_a_fresh_clone_with_claims_but_no_bytes_plans_all_reuse() -> None:
    memory = Memory()
    graph = graph_of(a_catalog(a_release()))
    run_plan(make_plan(graph, memory.facts()), memory)
    memory.bytes.clear()
    assert set(verbs(make_plan(graph, memory.facts())).values()) == {"="}


def test_fetch_makes_producers_run_back_to_the_nearest_bytes() -> None:
    memory = Memory()
    graph = graph_of(a_catalog(a_release()))
    run_plan(make_plan(graph, memory.facts()), memory)
    base = next(n for n in graph.nodes if n.kind == "base")
    memory.bytes = {make_plan(graph, memory.facts()).steps[base].outputs["layer"]}
    publish = frozenset(n for n in graph.nodes if n.kind == "publish")
    found = verbs(make_plan(graph, memory.facts(), Wishes(fetch=publish)))
    assert {n for n, v in found.items() if v == "+"} == {
        "samtools@1.16.1:build",
        "samtools@1.16.1:publish",
    }


def test_bytes_that_a_channel_offers_are_brought_and_not_made_again() -> None:
    memory = Memory()
    graph = graph_of(a_catalog(a_release()))
    run_plan(make_plan(graph, memory.facts()), memory)
    memory.bytes.clear()
    outputs = {n: s.outputs for n, s in make_plan(graph, memory.facts()).steps.items()}
    publish = NodeId("samtools@1.16.1", "publish", "linux/amd64")
    test = NodeId("samtools@1.16.1", "test", "linux/amd64")
    build = NodeId("samtools@1.16.1", "build", "linux/amd64")
    offered = frozenset([*outputs[publish].values(), *outputs[build].values()])
    facts = replace(memory.facts(), offered=offered)
    plan = make_plan(graph, facts, Wishes(fetch=frozenset({publish, test})))
    assert set(plan.brought) == {publish, build}
    assert {n.kind for n, s in plan.steps.items() if s.verb is Verb.RUN} == {"test"}


def test_bytes_of_verdicts_are_never_wanted() -> None:
    memory = Memory()
    catalog = a_catalog(a_release())
    run_plan(make_plan(graph_of(catalog), memory.facts()), memory)
    memory.bytes.clear()
    graph = graph_of(catalog)
    publish = frozenset(n for n in graph.nodes if n.kind == "publish")
    plan = make_plan(graph, memory.facts(), Wishes(fetch=publish))
    assert verbs(plan)["samtools@1.16.1:test"] == "="


def test_editing_a_summary_neither_builds_nor_tests() -> None:
    before = a_catalog(a_release())
    after = a_catalog(a_release(metadata={"summary": "better words"}))
    assert kinds_that_run(before, after) == {"metadata"}


def test_editing_a_test_only_tests_again() -> None:
    before = a_catalog(a_release())
    after = a_catalog(a_release(tests=(Test(name="works", script="echo more"),)))
    assert kinds_that_run(before, after) == {"test"}


def test_editing_a_time_limit_runs_nothing() -> None:
    before = a_catalog(a_release())
    after = a_catalog(
        a_release(
            steps=(RunStep(address="build[0]", script="true", time_limit_s=7),),
            tests=(Test(name="works", script="true", time_limit_s=9),),
        )
    )
    assert kinds_that_run(before, after) == set()


def test_a_new_waiver_only_judges_again() -> None:
    waiver = Waiver(id="CVE-1", package="zlib", reason="r", owner="o", until="2031-12-31")
    before = a_catalog(a_release())
    after = a_catalog(a_release(waivers=(waiver,)))
    assert kinds_that_run(before, after) == {"gate"}


def test_an_expired_waiver_is_a_new_key() -> None:
    waiver = Waiver(id="CVE-1", package="zlib", reason="r", owner="o", until="2026-06-30")
    catalog = a_catalog(a_release(waivers=(waiver,)))
    memory = Memory()
    run_plan(make_plan(graph_of(catalog), memory.facts()), memory)
    last = make_plan(graph_of(catalog, dt.date(2026, 6, 30)), memory.facts())
    assert set(verbs(last).values()) == {"="}
    late = make_plan(graph_of(catalog, dt.date(2026, 7, 1)), memory.facts())
    assert verbs(late)["samtools@1.16.1:gate"] == "+"
    assert verbs(late)["samtools@1.16.1:build"] == "="


def test_a_changed_address_of_the_same_source_runs_nothing() -> None:
    step = RunStep(address="build[0]", script="true", sources=("data",))
    moved = a_source(url="https://mirror.example.org/x.tar")
    before = a_catalog(a_release(steps=(step,), sources={"data": a_source()}))
    after = a_catalog(a_release(steps=(step,), sources={"data": moved}))
    assert kinds_that_run(before, after) == set()


def test_equal_bytes_cut_off_early() -> None:
    before = a_catalog(a_release())
    after = a_catalog(a_release(steps=(RunStep(address="build[0]", script="true # again"),)))
    memory = Memory()
    same = {"samtools@1.16.1:build": "the same image"}
    run_plan(make_plan(graph_of(before), memory.facts()), memory, same)
    ran = run_plan(make_plan(graph_of(after), memory.facts()), memory, same)
    assert {n.kind for n in ran} == {"build"}


def test_publish_waits_for_test_and_gate() -> None:
    graph = graph_of(a_catalog(a_release()))
    publish = next(n for n in graph.nodes.values() if n.kind == "publish")
    assert {i.role for i in publish.inputs if i.gate} == {"test", "deploytest", "gate"}


@pytest.mark.parametrize("kind", VERDICT_KINDS)
def test_a_failed_gate_holds_publish_and_index(kind: str) -> None:
    memory = Memory()
    graph = graph_of(a_catalog(a_release()))
    run_plan(make_plan(graph, memory.facts()), memory, {f"samtools@1.16.1:{kind}": "fail"})
    plan = make_plan(graph, memory.facts())
    found = verbs(plan)
    assert found[f"samtools@1.16.1:{kind}"] == "="
    assert found["samtools@1.16.1:publish"] == "x"
    assert found["samtools@1.16.1:index"] == "x"


def test_a_remembered_failure_is_rerun_only_with_retry() -> None:
    memory = Memory()
    graph = graph_of(a_catalog(a_release()))
    run_plan(make_plan(graph, memory.facts()), memory, {"samtools@1.16.1:test": "fail"})
    assert verbs(make_plan(graph, memory.facts()))["samtools@1.16.1:test"] == "="
    again = make_plan(graph, memory.facts(), Wishes(retry=True))
    assert verbs(again)["samtools@1.16.1:test"] == "+"
    assert verbs(again)["samtools@1.16.1:publish"] == "?"


def test_a_platform_without_builder_waits_and_an_optional_one_is_left_out() -> None:
    memory = Memory({AMD64: ""})
    graph = graph_of(a_catalog(a_release(platforms={AMD64: True, ARM64: False})))
    plan = make_plan(graph, memory.facts())
    waiting = {n.label for n, s in plan.steps.items() if s.verb is Verb.WAIT}
    assert "samtools@1.16.1:build [linux/arm64]" in waiting
    assert verbs(plan)["samtools@1.16.1:index"] == "?"
    run_plan(plan, memory)
    index = NodeId("samtools@1.16.1", "index")
    action = make_plan(graph, memory.facts()).steps[index].action
    assert action is not None
    assert set(action.inputs) == {"manifest/linux/amd64"}


def test_an_index_waits_for_a_required_platform() -> None:
    memory = Memory({AMD64: ""})
    graph = graph_of(a_catalog(a_release(platforms={AMD64: True, ARM64: True})))
    assert verbs(make_plan(graph, memory.facts()))["samtools@1.16.1:index"] == "w"


def test_a_platform_that_was_not_selected_waits() -> None:
    memory = Memory()
    graph = graph_of(a_catalog(a_release(platforms={AMD64: True, ARM64: False})))
    plan = make_plan(graph, memory.facts(), Wishes(platforms=frozenset({AMD64})))
    arm = plan.steps[NodeId("samtools@1.16.1", "build", "linux/arm64")]
    assert (arm.verb, arm.text) == (Verb.WAIT, "linux/arm64 was not selected")


def test_an_unpinned_build_is_unknown_and_says_what_is_not_locked() -> None:
    catalog = a_catalog(a_release(steps=(an_apt_step("samtools"),)))
    pins = {k: replace(v, packages={}) for k, v in pinned(catalog).items()}
    graph = compile_graph(catalog, shared_pins(catalog), pins, TODAY)
    step = make_plan(graph, Memory().facts()).steps[
        NodeId("samtools@1.16.1", "build", "linux/amd64")
    ]
    assert (step.verb, step.text) == (Verb.UNKNOWN, "not locked: apt packages of build[0]")


def test_a_pin_is_stale_when_its_request_changed_and_only_then() -> None:
    before = a_catalog(a_release(steps=(an_apt_step("samtools"),)))
    after = a_catalog(a_release(steps=(an_apt_step("samtools", "tabix"),)))
    graph = compile_graph(after, shared_pins(after), pinned(before), TODAY)
    build = NodeId("samtools@1.16.1", "build", "linux/amd64")
    assert graph.nodes[build].unpinned == ("apt packages of build[0]",)
    moved = a_catalog(a_release(steps=(an_apt_step("samtools", address="build[3]"),)))
    graph = compile_graph(moved, shared_pins(moved), pinned(before), TODAY)
    assert graph.nodes[build].unpinned == ()


def test_a_recipe_on_another_recipe_depends_on_its_image_and_its_gate_only() -> None:
    ref = RecipeRef(name="nibabel", version="5.0")
    child = a_release("neuro", "1", base_recipe=ref)
    graph = graph_of(a_catalog(a_release("nibabel", "5.0"), child))
    build = graph.nodes[NodeId("neuro@1", "build", "linux/amd64")]
    assert [str(i.node) for i in build.inputs] == ["nibabel@5.0:build"]
    publish = graph.nodes[NodeId("neuro@1", "publish", "linux/amd64")]
    assert "nibabel@5.0:gate" in [str(i.node) for i in publish.inputs if i.gate]


def test_a_release_is_held_while_a_recipe_that_it_contains_fails_its_gate() -> None:
    ref = RecipeRef(name="nibabel", version="5.0")
    graph = graph_of(
        a_catalog(a_release("nibabel", "5.0"), a_release("neuro", "1", base_recipe=ref))
    )
    memory = Memory()
    run_plan(make_plan(graph, memory.facts()), memory, {"nibabel@5.0:gate": "fail"})
    assert verbs(make_plan(graph, memory.facts()))["neuro@1:publish"] == "x"


def a_tower() -> Graph:
    """Returns ``top`` on ``upper`` on ``lower``."""
    lower, upper = (RecipeRef(name=name, version="1") for name in ("lower", "upper"))
    return graph_of(
        a_catalog(
            a_release("lower", "1"),
            a_release("upper", "1", base_recipe=lower),
            a_release("top", "1", base_recipe=upper),
        )
    )


def test_a_release_is_held_by_what_the_recipes_below_it_contain() -> None:
    graph = a_tower()
    memory = Memory()
    run_plan(make_plan(graph, memory.facts()), memory, {"lower@1:gate": "fail"})
    assert verbs(make_plan(graph, memory.facts()))["top@1:publish"] == "x"


def test_what_contains_a_withdrawn_release_is_held_and_what_is_released_of_it_stays() -> None:
    graph = a_tower()
    memory = Memory()
    withdrawn = replace(memory.facts(), withdrawn=frozenset({"lower@1"}))
    found = make_plan(graph, withdrawn)
    step = found.steps[NodeId("top@1", "publish", "linux/amd64")]
    assert (step.verb.value, step.reason, step.text) == ("x", "withdrawn", "lower@1 is withdrawn")
    assert verbs(found)["upper@1:publish"] == "x"
    assert verbs(found)["lower@1:publish"] == "?"  # its own revision is not held
    run_plan(make_plan(graph, memory.facts()), memory, {})
    withdrawn = replace(memory.facts(), withdrawn=frozenset({"lower@1"}))
    assert set(verbs(make_plan(graph, withdrawn)).values()) == {"="}


def test_a_release_whose_lock_holds_no_pins_is_not_locked_though_its_base_is() -> None:
    catalog = a_catalog(a_release())
    graph = compile_graph(catalog, shared_pins(catalog), {}, TODAY)
    build = graph.nodes[NodeId("samtools@1.16.1", "build", "linux/amd64")]
    assert build.unpinned == ("base debian-12",)


def test_test_data_that_is_not_locked_stops_the_test_and_not_the_build() -> None:
    catalog = a_catalog(
        a_release(
            sources={"data": a_source(), "code": a_source("code")},
            steps=(RunStep(address="build[0]", script="make", sources=("code",)),),
            tests=(Test(name="works", script="true", sources=("data",)),),
        )
    )
    pins = {
        key: replace(held, sources={"code": held.sources["code"]})
        for key, held in pinned(catalog).items()
    }
    graph = compile_graph(catalog, shared_pins(catalog), pins, TODAY)
    lacking = {n.kind: n.unpinned for n in graph.nodes.values() if n.unpinned}
    assert lacking == {"source": ("source data",), "test": ("source data",)}


@pytest.mark.parametrize("wrong", [{"outputs": {}}, {"kind": "sbom"}])
def test_a_claim_that_does_not_name_what_its_node_gives_is_none(wrong: dict[str, Any]) -> None:
    graph = graph_of(a_catalog(a_release()))
    memory = Memory()
    run_plan(make_plan(graph, memory.facts()), memory)
    whole = memory.facts()

    def claims(key: ActionKey) -> tuple[Claim, ...]:
        found = whole.claims(key)
        return tuple(replace(c, **wrong) if c.kind == "build" else c for c in found)

    found = verbs(make_plan(graph, replace(whole, claims=claims)))
    assert (found["samtools@1.16.1:build"], found["samtools@1.16.1:test"]) == ("+", "?")


def test_the_salt_disowns_every_result() -> None:
    before = a_catalog(a_release())
    after = replace(before, salt="2026-poisoned")
    assert "build" in kinds_that_run(before, after)


def test_shared_nodes_are_compiled_once() -> None:
    graph = graph_of(a_catalog(a_release("bwa", "1"), a_release("seqtk", "2")))
    assert sum(1 for n in graph.nodes if n.kind == "base") == 1


def catalogs() -> st.SearchStrategy[Catalog]:
    scripts = st.sampled_from(["true", "make", "make install", "make -C src"])

    @st.composite
    def release(draw: st.DrawFn, name: str) -> Release:
        return a_release(
            name,
            draw(st.sampled_from(["1.0", "2.0"])),
            platforms=draw(st.sampled_from([{AMD64: True}, {AMD64: True, ARM64: False}])),
            steps=tuple(
                RunStep(address=f"build[{i}]", script=s)
                for i, s in enumerate(draw(st.lists(scripts, max_size=3)))
            ),
            tests=tuple(
                Test(name=f"t{i}", script=s)
                for i, s in enumerate(draw(st.lists(scripts, max_size=2)))
            ),
        )

    names = st.lists(st.sampled_from(["bwa", "seqtk", "fsl", "ants"]), unique=True, min_size=1)
    return names.flatmap(lambda ns: st.tuples(*(release(n) for n in ns))).map(
        lambda rs: a_catalog(*rs)
    )


@given(catalogs())
def test_apply_runs_only_what_its_plan_says(catalog: Catalog) -> None:
    memory = Memory()
    plan = make_plan(graph_of(catalog), memory.facts())
    ran = run_plan(plan, memory)
    assert set(ran) <= {n for n, s in plan.steps.items() if s.runs}


@given(catalogs())
def test_a_plan_after_apply_is_all_reuse(catalog: Catalog) -> None:
    memory = Memory()
    graph = graph_of(catalog)
    run_plan(make_plan(graph, memory.facts()), memory)
    plan = make_plan(graph, memory.facts())
    assert set(verbs(plan).values()) == {"="}
    assert run_plan(plan, memory) == []


@given(catalogs(), st.randoms(use_true_random=False))
def test_a_permuted_catalog_gives_the_same_keys(catalog: Catalog, order: random.Random) -> None:
    items = list(catalog.releases.items())
    order.shuffle(items)
    permuted = replace(catalog, releases=dict(items))
    memory = Memory()
    run_plan(make_plan(graph_of(catalog), memory.facts()), memory)
    keys = {
        n: s.action.key
        for n, s in make_plan(graph_of(catalog), memory.facts()).steps.items()
        if s.action
    }
    other = {
        n: s.action.key
        for n, s in make_plan(graph_of(permuted), memory.facts()).steps.items()
        if s.action
    }
    assert keys == other


@given(catalogs(), st.data())
def test_one_changed_node_dirties_only_its_descendants(
    catalog: Catalog, data: st.DataObject
) -> None:
    name: ReleaseName = data.draw(st.sampled_from(sorted(catalog.releases)))
    memory = Memory()
    run_plan(make_plan(graph_of(catalog), memory.facts()), memory)
    release = catalog.releases[name]
    targets = {
        p: replace(t, steps=(*t.steps, RunStep(address="build[9]", script="echo changed")))
        for p, t in release.targets.items()
    }
    changed = replace(release, targets=targets)
    after = replace(catalog, releases={**catalog.releases, name: changed})
    plan = make_plan(graph_of(after), memory.facts())
    assert {n.owner for n, s in plan.steps.items() if s.verb is not Verb.REUSE} == {str(name)}
