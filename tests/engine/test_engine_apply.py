"""What apply does with a plan, on a real store, with runners that write small real blobs."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from makers import AMD64, ARM64, a_catalog, a_release, pinned, shared_pins

from ssds.core.digest import Digest
from ssds.core.errors import Refused, StepFailed
from ssds.core.model import FAIL, PASS, VERDICT_KINDS, Claim, NodeId
from ssds.core.platform import Platform
from ssds.engine import runner as engine_runner
from ssds.engine.apply import Result, apply
from ssds.engine.report import Reporter
from ssds.engine.runner import Crew
from ssds.engine.states import State
from ssds.graph.compile import Graph, compile_graph
from ssds.graph.plan import Facts, Plan, Wishes, choose, make_plan
from ssds.host.mirrors import Mirrors
from ssds.kinds.api import Bench, Outcome
from ssds.recipe.model import Catalog, Test
from ssds.recipe.steps import RunStep
from ssds.store.store import Store

NAMES = {
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


class Workshop:
    """A store and runners; ``content`` overrides what a node writes, ``broken`` makes it fail."""

    def __init__(self, folder: Path) -> None:
        self.store = Store.open(str(folder / "store"))
        self.folder = folder
        self.content: dict[str, str] = {}
        self.broken: set[str] = set()
        self.ran: list[str] = []
        self.locked: list[Claim] = []
        self.builders: dict[Platform, str] = {AMD64: "", ARM64: ""}
        self.before: Callable[[Bench], None] = lambda bench: None

    def run(self, bench: Bench) -> Outcome:
        node = bench.action.node
        self.before(bench)
        self.ran.append(node.id.label)
        bench.log(b"at work\n")
        if str(node.id) in self.broken:
            raise StepFailed(f"{node.id} is broken")
        text = self.content.get(str(node.id), str(bench.action.key))
        put = bench.store.blobs.put
        outputs = {
            name: put(f"{node.id} {name} {text}".encode()) for name in NAMES.get(node.kind, [])
        }
        if node.kind in ("source", "base"):
            outputs = dict(node.fixed)
            for digest in outputs.values():
                blob = bench.store.blobs
                assert blob.has(digest), "makers give bytes first"
        verdict = ""
        if node.kind in VERDICT_KINDS:
            verdict = "fail" if text == "fail" else "pass"
            outputs["verdict"] = put(FAIL if verdict == "fail" else PASS)
        return Outcome(outputs=outputs, verdict=verdict)

    def facts(self) -> Facts:
        def claims(key: Digest) -> tuple[Claim, ...]:
            locked = tuple(c for c in self.locked if c.key == key)
            return (*locked, *self.store.claims.find(key))  # type: ignore[arg-type]

        class Has:
            def __contains__(_, digest: object) -> bool:  # noqa: N805
                return isinstance(digest, Digest) and self.store.blobs.has(digest)

        return Facts(claims=claims, has=Has(), builder=lambda p: self.builders.get(p, "none"))

    def crew(self, **options: object) -> Crew:
        return Crew(
            store=self.store,
            sandbox=None,
            mirrors=Mirrors(),
            workspace=str(self.folder),
            state_folder=str(self.folder / ".ssds"),
            **options,  # type: ignore[arg-type]
        )

    def plan(self, catalog: Catalog, **wishes: object) -> Plan:
        return make_plan(self.graph(catalog), self.facts(), Wishes(**wishes))  # type: ignore[arg-type]

    def graph(self, catalog: Catalog) -> Graph:
        shared = shared_pins(catalog)
        bases = {}
        for (identity, platform), pin in shared.bases.items():
            layer = self.store.blobs.put(f"{identity} {platform}".encode())
            bases[identity, platform] = replace(pin, diff_id=layer)
        shared = replace(shared, bases=bases)
        return compile_graph(catalog, shared, pinned(catalog), dt.date(2026, 1, 1))

    def apply(
        self, catalog: Catalog, jobs: int = 1, accept: bool = False, **wishes: object
    ) -> Result:
        self.ran.clear()
        plan = self.plan(catalog, **wishes)
        crew = self.crew(jobs=jobs, accept=accept)
        return apply(plan, self.facts(), crew, Reporter())


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = Workshop(tmp_path)
    monkeypatch.setattr(engine_runner, "runner", lambda kind: made.run)
    return made


def states(result: Result) -> dict[str, str]:
    return {str(n): r.state.value for n, r in result.records.items()}


def test_everything_ends_done_and_a_second_apply_runs_nothing(workshop: Workshop) -> None:
    catalog = a_catalog(a_release())
    assert set(states(workshop.apply(catalog)).values()) == {"done", "reused"}
    again = workshop.apply(catalog)
    assert set(states(again).values()) == {"reused"}
    assert workshop.ran == []


def test_parallel_gives_the_same_claims_as_serial(tmp_path: Path, workshop: Workshop) -> None:
    catalog = a_catalog(*(a_release(name) for name in ("bwa", "fsl", "ants", "seqtk")))
    parallel = workshop.apply(catalog, jobs=4)
    outputs = {n: r.outputs for n, r in parallel.records.items()}
    workshop.store.close()
    workshop.store = Store.open(str(tmp_path / "other"))
    serial = workshop.apply(catalog)
    assert outputs == {n: r.outputs for n, r in serial.records.items()}


def test_equal_outputs_cut_off_early(workshop: Workshop) -> None:
    workshop.content["samtools@1.16.1:build"] = "the same"
    workshop.apply(a_catalog(a_release()))
    changed = a_catalog(a_release(steps=(RunStep(address="build[0]", script="true # x"),)))
    result = workshop.apply(changed)
    assert workshop.ran == ["samtools@1.16.1:build [linux/amd64]"]
    assert states(result)["samtools@1.16.1:publish"] == "reused"


def test_a_failure_leaves_no_claim_and_stops_only_what_depends_on_it(workshop: Workshop) -> None:
    workshop.broken.add("bwa@1:build")
    catalog = a_catalog(a_release("bwa", "1"), a_release("seqtk", "2"))
    found = states(workshop.apply(catalog))
    assert found["bwa@1:build"] == "failed"
    assert found["bwa@1:test"] == "skipped"
    assert found["bwa@1:index"] == "skipped"
    assert found["seqtk@2:index"] == "done"
    workshop.broken.clear()
    assert states(workshop.apply(catalog))["bwa@1:index"] == "done"
    assert not any(label.startswith("seqtk") for label in workshop.ran)


def test_a_failed_test_holds_publication_and_is_remembered(workshop: Workshop) -> None:
    workshop.content["samtools@1.16.1:test"] = "fail"
    catalog = a_catalog(a_release())
    found = states(workshop.apply(catalog))
    assert found["samtools@1.16.1:test"] == "done"
    assert found["samtools@1.16.1:publish"] == "held"
    assert found["samtools@1.16.1:index"] == "held"
    workshop.apply(catalog)
    assert workshop.ran == []
    workshop.content.clear()
    assert states(workshop.apply(catalog, retry=True))["samtools@1.16.1:index"] == "done"


def test_a_test_that_is_changed_and_passes_changes_nothing_after_it(workshop: Workshop) -> None:
    workshop.apply(a_catalog(a_release()))
    edited = a_catalog(a_release(tests=(Test(name="works", script="echo more"),)))
    found = states(workshop.apply(edited))
    assert workshop.ran == ["samtools@1.16.1:test [linux/amd64]"]
    assert found["samtools@1.16.1:publish"] == "reused"


def test_a_platform_whose_bytes_wait_stays_in_the_index(workshop: Workshop) -> None:
    catalog = a_catalog(a_release(platforms={AMD64: True, ARM64: False}))
    first = workshop.apply(catalog)
    index = NodeId("samtools@1.16.1", "index")
    arm = NodeId("samtools@1.16.1", "publish", "linux/arm64")
    for name in (index, arm):
        for digest in first.records[name].outputs.values():
            workshop.store.blobs.remove(digest)
    nodes = frozenset(n for n in first.records if n.kind in ("publish", "index"))
    second = workshop.apply(catalog, fetch=nodes, platforms=frozenset({AMD64}))
    assert second.records[index].outputs == first.records[index].outputs
    assert second.records[index].state is State.DONE


def test_a_cut_off_brings_bytes_that_a_later_node_reads(workshop: Workshop) -> None:
    catalog = a_catalog(a_release())
    result = workshop.apply(catalog)
    workshop.locked = [
        replace(r.claim, origin="lock") for r in result.records.values() if r.claim is not None
    ]
    for digest in list(workshop.store.blobs.all()):
        workshop.store.blobs.remove(digest)
    workshop.store.close()
    fresh = Store.open(str(workshop.folder / "fresh"))
    workshop.store = fresh
    workshop.content["samtools@1.16.1:build"] = "unchanged"
    changed = replace(
        catalog, policies={"default": replace(catalog.policies["default"], fail_on=())}
    )
    workshop.content.clear()
    found = states(workshop.apply(changed))
    assert found["samtools@1.16.1:gate"] == "done"
    assert "samtools@1.16.1:scan [linux/amd64]" in workshop.ran


def test_a_rebuild_that_differs_from_the_lock_is_refused_by_name(workshop: Workshop) -> None:
    catalog = a_catalog(a_release())
    first = workshop.apply(catalog)
    build = NodeId("samtools@1.16.1", "build", "linux/amd64")
    claim = first.records[build].claim
    assert claim is not None
    workshop.locked = [replace(claim, origin="lock")]
    workshop.content["samtools@1.16.1:build"] = "drifted"
    result = workshop.apply(catalog, rerun=frozenset({build}))
    error = result.records[build].error
    assert isinstance(error, Refused)
    assert error.code == "E081"
    assert str(claim.outputs["config"]) in error.message


def test_what_was_refused_is_kept_and_counts_for_nothing_until_it_is_accepted(
    workshop: Workshop,
) -> None:
    catalog = a_catalog(a_release())
    build = NodeId("samtools@1.16.1", "build", "linux/amd64")
    claim = workshop.apply(catalog).records[build].claim
    assert claim is not None
    claims = workshop.crew().store.claims
    workshop.content["samtools@1.16.1:build"] = "drifted"
    result = workshop.apply(catalog, rerun=frozenset({build}))
    assert f"by {claim.builder}" in str(result.records[build].error)
    assert [c.kind for c in claims.find(claim.key)] == ["build", "refused"]
    chosen = choose(claims.find(claim.key), "build")
    assert chosen is not None
    assert chosen.outputs == claim.outputs
    workshop.apply(catalog, rerun=frozenset({build}))
    assert len(claims.find(claim.key)) == 2
    workshop.apply(catalog, rerun=frozenset({build}), accept=True)
    assert [c.kind for c in claims.find(claim.key)] == ["build", "build"]


def test_accept_lets_a_rebuild_differ(workshop: Workshop) -> None:
    catalog = a_catalog(a_release())
    workshop.apply(catalog)
    build = NodeId("samtools@1.16.1", "build", "linux/amd64")
    workshop.content["samtools@1.16.1:build"] = "drifted"
    result = workshop.apply(catalog, accept=True, rerun=frozenset({build}))
    assert result.records[build].state is State.DONE


def test_a_node_that_another_apply_runs_is_waited_for_and_reused(workshop: Workshop) -> None:
    catalog = a_catalog(a_release())
    results: list[Result] = []
    barrier = threading.Barrier(2, timeout=20)
    plan, facts, crew = workshop.plan(catalog), workshop.facts(), workshop.crew()

    def work() -> None:
        barrier.wait()
        results.append(apply(plan, facts, crew, Reporter()))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    assert sorted(workshop.ran) == sorted(set(workshop.ran))
    assert {s for r in results for s in states(r).values()} <= {"done", "reused"}


def test_an_internal_error_ends_one_node_only(workshop: Workshop) -> None:
    def explode(bench: Bench) -> None:
        if str(bench.action.node.id) == "bwa@1:build":
            raise ZeroDivisionError("a fault of ours")

    workshop.before = explode
    found = states(workshop.apply(a_catalog(a_release("bwa", "1"), a_release("seqtk", "2"))))
    assert found["bwa@1:build"] == "failed"
    assert found["seqtk@2:index"] == "done"


def test_the_log_of_a_failed_node_is_kept(workshop: Workshop) -> None:
    workshop.broken.add("samtools@1.16.1:build")
    workshop.apply(a_catalog(a_release()))
    path = engine_runner.log_record_path(
        str(workshop.folder / ".ssds"), NodeId("samtools@1.16.1", "build", "linux/amd64")
    )
    assert '"state":"failed"' in Path(path).read_text()
