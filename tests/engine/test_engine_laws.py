"""Laws of applying, on random catalogs with the real engine, store and locks (``laws_bench``)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random

import laws_edits_catalog
import laws_edits_shared
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laws_bench import Ran, apply_plan, claims, lock, lock_files, plan
from laws_catalogs import AMD64, dump, load, write_catalog, write_shared
from laws_edits import Editor

from ssds.core.errors import SsdsError
from ssds.core.model import NodeId
from ssds.engine.states import State
from ssds.graph.plan import Plan, Verb

assert laws_edits_catalog, laws_edits_shared  # their edits are in the table now
RANDOMS = st.randoms(use_true_random=False)
FEW = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
NO_REPAIR = ["summary", "script_comment", "one_letter", "step_added", "step_removed", "waivers"]
NO_REPAIR += ["tests_changed", "time_limit", "platform_wish", "version_added", "base_include"]
NO_REPAIR += ["data_of_equal_size", "execute_bit", "entry_added", "recipe_added", "salt"]
NO_REPAIR += ["policy_rules", "advisories", "source_digest", "line_ends", "lock_evidence_removed"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("law")


def fresh(folder: Path, random: Random, *, size: int = 4) -> Path:
    """Gives a new locked workspace and an empty store in the emptied folder."""
    shutil.rmtree(folder, ignore_errors=True)
    root = folder / "workspace"
    write_catalog(root, random, size=size)
    lock(root)
    return root


def runnable(plan: Plan) -> set[str]:
    return {name.label for name, step in plan.steps.items() if step.runs}


def held_by_a_verdict(plan: Plan, name: NodeId) -> bool:
    """Whether a verdict is why a node is held, itself or through what it takes."""
    step = plan.steps[name]
    if step.verb is not Verb.HELD:
        return False
    return step.reason == "gate" or any(
        held_by_a_verdict(plan, i.node) for i in step.node.inputs if i.node is not None
    )


def check_apply(root: Path, *, jobs: int = 1) -> Ran:
    """Applies, and holds every apply to the laws."""
    ran = apply_plan(root, jobs=jobs)
    marked = runnable(ran.planned.plan)
    assert ran.labels <= marked, "apply ran what its plan did not mark"
    keys = [key for _, key in ran.called]
    assert len(keys) == len(set(keys)), "apply ran a key twice"
    assert not ran.result.failures, [str(r.error) for r in ran.result.failures]
    for name, record in ran.result.records.items():
        if record.state is State.DONE:
            assert name.label in ran.labels
    again = plan(root)
    assert runnable(again.plan) == set(), "a plan after a clean apply runs something"
    for name, step in again.plan.steps.items():
        assert step.verb is Verb.REUSE or held_by_a_verdict(again.plan, name), step
    assert again.delivery.exit_code in (0, 3)
    assert [r for r in again.delivery.rows if r.verb not in (Verb.REUSE, Verb.HELD)] == []
    return ran


@FEW
@given(random=RANDOMS)
def test_apply_runs_only_what_its_plan_marks_and_then_nothing_is_left(
    folder: Path, random: Random
) -> None:
    root = fresh(folder, random)
    check_apply(root)
    before = lock_files(root)
    ran = apply_plan(root)
    assert ran.called == []
    assert lock_files(root) == before


@FEW
@given(random=RANDOMS)
def test_the_laws_hold_after_any_edits(folder: Path, random: Random) -> None:
    root = fresh(folder, random, size=3)
    check_apply(root)
    editor = Editor(root, random)
    for _ in range(random.randint(1, 4)):
        editor.step(NO_REPAIR)
        try:
            lock(root)
            plan(root)
        except SsdsError:
            continue  # the edit made a catalog that is refused
        check_apply(root, jobs=random.choice((1, 3)))


@FEW
@given(random=RANDOMS)
def test_parallel_gives_the_claims_and_lock_bytes_of_serial(folder: Path, random: Random) -> None:
    root = fresh(folder, random)
    other = folder / "elsewhere" / "another name"
    shutil.copytree(root, other, symlinks=True)
    serial, parallel = check_apply(root), check_apply(other, jobs=4)
    assert {key for _, key in serial.called} == {key for _, key in parallel.called}
    assert lock_files(root) == lock_files(other)
    assert claims(folder / "store") == claims(folder / "elsewhere/store")


@FEW
@given(random=RANDOMS)
def test_a_fresh_clone_with_its_locks_and_nothing_else_plans_all_reuse(
    folder: Path, random: Random
) -> None:
    root = fresh(folder, random)
    check_apply(root)
    settled = plan(root)
    clone = folder / "clone/workspace"
    shutil.copytree(root, clone, symlinks=True, ignore=shutil.ignore_patterns(".ssds"))
    found = plan(clone)
    held = {n for n, s in settled.plan.steps.items() if s.verb is Verb.HELD}
    # A release that never was one has no released half, so its build is not in its lock.
    never = {n for n in settled.plan.steps if n.owner in {h.owner for h in held}}
    excused = {n for n in settled.plan.steps if settled.graph.closure({n}) & never} | {
        n for n, s in found.plan.steps.items() if s.reason == "bytes" and never
    }
    assert runnable(found.plan) <= {n.label for n in excused}
    assert not (folder / "clone/store").exists()


@FEW
@given(random=RANDOMS)
def test_a_comment_in_a_script_builds_anew_and_equal_bytes_change_nothing_else(
    folder: Path, random: Random
) -> None:
    root = fresh(folder, random)
    check_apply(root)
    before = lock_files(root)
    names = {p.parent.name for p in Editor(root, random).recipes() if _commented(p)}
    ran = check_apply(root)
    steps = ran.planned.plan.steps
    wanted = {n.label for n, s in steps.items() if s.reason == "bytes"}
    new = ran.labels - wanted
    assert all(":build" in label and label.partition("@")[0] in names for label in new), new
    for name, data in lock_files(root).items():
        assert _released(data) == _released(before[name])


def _released(data: bytes) -> list[object]:
    lock = json.loads(data)
    return [v.get("index", {}).get("digest") for v in lock.get("variants", {}).values()]


def _commented(path: Path) -> bool:
    recipe = load(path)
    done = False
    for step in recipe["build"]:
        if isinstance(step.get("run"), dict):
            step["run"]["script"] += "  # changed"
            done = True
    if done:
        dump(path, recipe)
    return done


def test_nothing_is_released_that_is_built_on_what_fails_its_tests(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    root = folder / "workspace"
    write_shared(root)
    plain = {
        "version": "1.0",
        "summary": "s",
        "licenses": ["MIT"],
        "platforms": {AMD64: "required"},
    }
    test = {"name": "t", "run": "false", "stdout": ["x"]}
    lower = {"name": "ants", **plain, "base": "deb", "build": [], "tests": [test]}
    upper = {"name": "bwa", **plain, "base": {"recipe": "ants", "version": "1.0"}, "build": []}
    for recipe in (lower, upper):
        dump(root / "catalog" / recipe["name"] / "recipe.yaml", recipe)
    lock(root)
    check_apply(root)
    assert b'"release"' not in lock_files(root)["bwa@1.0.lock.json"]
    held = plan(root).plan.steps[NodeId("bwa@1.0", "publish", AMD64)]
    assert held.verb is Verb.HELD
    assert "ants@1.0:test" in held.text
    dump(root / "catalog/ants/recipe.yaml", lower | {"tests": [test | {"run": "echo x"}]})
    check_apply(root)
    assert json.loads(lock_files(root)["bwa@1.0.lock.json"])["variants"]["default"]["revision"] == 1
    clone = folder / "clone/workspace"
    shutil.copytree(root, clone, symlinks=True, ignore=shutil.ignore_patterns(".ssds"))
    steps = plan(clone).plan.steps
    assert {n.label for n, s in steps.items() if n.owner == "bwa@1.0" and s.runs} == set()
