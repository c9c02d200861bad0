"""Policies that refuse emulation: such claims do not count, and none is made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import graph_makers
import makers
import pytest

from ssds.core.canonical import canonical_bytes
from ssds.core.digest import ActionKey, sha256_of
from ssds.core.model import OUTPUTS, PASS, Claim, NodeId, ReleaseName
from ssds.core.platform import Platform
from ssds.graph.compile import Graph
from ssds.graph.plan import Facts, Plan, Verb, make_plan
from ssds.lock.make import Found, make_variant
from ssds.lock.model import VariantLock
from ssds.recipe.model import Policy
from ssds.store.store import Store

ARM64 = Platform("linux/arm64")
NAME = ReleaseName("samtools", "1.16.1")
RUN = ("build", "test")


def graph(*, allowed: bool) -> Graph:
    policy = Policy(name="default", unscanned="pass", allow_emulated=allowed)
    release = makers.a_release(platforms={ARM64: True})
    return graph_makers.compiled(makers.a_catalog(release, policies={"default": policy}))


def node(kind: str) -> NodeId:
    return NodeId(str(NAME), kind, str(ARM64))


def claims_of(found: Graph, *, emulated: bool) -> dict[ActionKey, tuple[Claim, ...]]:
    """Gives each node a claim; those of what runs programs may be emulated."""
    known: dict[ActionKey, tuple[Claim, ...]] = {}
    while True:
        plan = make_plan(found, Facts(claims=lambda k: known.get(k, ()), has=frozenset()))
        new = [s for s in plan.steps.values() if s.action and s.action.key not in known]
        if not new:
            return known
        for step in new:
            assert step.action is not None
            kind = step.node.kind
            outputs = {n: sha256_of(f"{step.node.id.label} {n}".encode()) for n in OUTPUTS[kind]}
            if "verdict" in outputs:
                outputs["verdict"] = sha256_of(PASS)
            known[step.action.key] = (
                Claim(
                    key=step.action.key, kind=kind, outputs=outputs,
                    verdict="pass" if "verdict" in outputs else "",
                    emulated=emulated and kind in RUN, origin="lock",
                ),
            )  # fmt: skip


def plan_of(
    found: Graph, known: dict[ActionKey, tuple[Claim, ...]], *, here: str = "", sure: bool = False
) -> Plan:
    """Plans on a machine that can run arm64; ``here`` says by what it emulates it."""
    facts = Facts(
        claims=lambda key: known.get(key, ()),
        has=frozenset(),
        builder=lambda _: "",
        emulates=lambda _: here,
        sure={key: found[0] for key, found in known.items()} if sure else {},
    )
    return make_plan(found, facts)


def verbs(plan: Plan, kinds: Iterable[str] = RUN) -> list[tuple[Verb, str]]:
    return [(plan.steps[node(k)].verb, plan.steps[node(k)].reason) for k in kinds]


@pytest.mark.parametrize("sure", [False, True])
def test_an_emulated_claim_counts_unless_the_policy_refuses_it(sure: bool) -> None:
    free, strict = graph(allowed=True), graph(allowed=False)
    known = claims_of(free, emulated=True)
    assert verbs(plan_of(free, known, sure=sure)) == [(Verb.REUSE, "claim")] * 2
    assert verbs(plan_of(strict, known, sure=sure))[0] == (Verb.RUN, "emulated")
    native = claims_of(free, emulated=False)
    assert verbs(plan_of(strict, native, sure=sure)) == [(Verb.REUSE, "claim")] * 2


def test_the_policy_is_in_no_key() -> None:
    free, strict = (claims_of(graph(allowed=a), emulated=False) for a in (True, False))
    assert free == strict


def test_what_is_refused_waits_where_the_platform_is_emulated() -> None:
    strict = graph(allowed=False)
    plan = plan_of(strict, claims_of(graph(allowed=True), emulated=True), here="by qemu-aarch64")
    assert plan.steps[node("build")].verb is Verb.WAIT
    text = plan.steps[node("build")].text
    assert text == "the policy refuses emulation, and here linux/arm64 runs by qemu-aarch64"
    assert plan.steps[node("publish")].verb is Verb.WAIT


def test_a_native_run_with_the_same_outputs_takes_the_place_in_store_and_lock(
    tmp_path: object,
) -> None:
    store = Store.open(str(tmp_path))
    data = b"{}"
    made = Claim(
        key=ActionKey("blake3:" + "1" * 64), kind="build",
        outputs={"config": store.blobs.put(data)}, emulated=True,
    )  # fmt: skip
    preimage = canonical_bytes({"kind": "build"})
    native = replace(made, emulated=False)
    for claim, added in ((made, True), (made, False), (native, True), (made, False)):
        assert store.claims.add(claim, preimage) is added
    (kept,) = store.claims.find(made.key)
    assert not kept.emulated


def test_the_lock_takes_a_native_record_and_keeps_it() -> None:
    metadata = sha256_of(b"metadata")
    before = VariantLock()
    key = ActionKey("blake3:" + "1" * 64)
    emulated = Claim(key=key, kind="test", outputs={"verdict": metadata}, emulated=True)
    native = replace(emulated, emulated=False)

    def after(lock: VariantLock, claim: Claim) -> VariantLock:
        return make_variant(
            NAME, (ARM64,), lock, Found(claims={node("test"): claim}, read=lambda _: None)
        )

    first = after(before, emulated)
    assert first.platforms[ARM64].latest["test"].emulated
    second = after(first, native)
    assert not second.platforms[ARM64].latest["test"].emulated
    assert after(second, emulated) == second
