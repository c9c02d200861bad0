"""What random edits found of the plan index, told one by one; see ``test_graph_index_law``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from index_law import CALM_S, WARNINGS, Told, difference, quick, told
from laws_bench import apply_plan, lock, plan
from laws_catalogs import AMD64, dump, write_shared

from ssds.cli import planning


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with quick(monkeypatch):
        write_shared(tmp_path / "workspace")
        WARNINGS.clear()
        yield tmp_path / "workspace"
        assert not [text for text in WARNINGS if "another version" not in text]


def recipe(root: Path, name: str, **fields: Any) -> None:
    fields = {"base": "deb", "build": [], **fields}
    common = {"version": "1.0", "summary": "s", "licenses": ["MIT"]}
    dump(
        root / "catalog" / name / "recipe.yaml",
        {"name": name, **common, "platforms": {AMD64: "required"}, **fields},
    )


def on(name: str) -> dict[str, str]:
    return {"recipe": name, "version": "1.0"}


def same(root: Path, asked: planning.Asked | None = None) -> Told:
    """Plans both ways, twice, when the files are old enough to be trusted."""
    asked = asked or planning.Asked()
    wanted = told(root, asked, index=False)
    for _ in range(2):
        time.sleep(CALM_S)
        found = told(root, asked, index=True)
        assert found == wanted, difference(found, wanted)
    return wanted


def test_a_gate_reaches_what_contains_its_recipe_through_another_one(root: Path) -> None:
    recipe(root, "ants")
    recipe(root, "bwa", base=on("ants"))
    recipe(root, "cat12", base=on("bwa"))
    lock(root)
    apply_plan(root)
    same(root)
    waiver = {"id": "CVE-2023-1000", "package": "dash", "reason": "r", "owner": "o"}
    recipe(root, "ants", scan={"waivers": [{**waiver, "until": "2090-01-01"}]})
    found = {step["node"] for step in same(root).plan["steps"]}
    assert {"ants@1.0:gate", "bwa@1.0:publish", "cat12@1.0:publish"} <= found


def test_a_source_that_nobody_uses_is_counted_nowhere(root: Path) -> None:
    recipe(root, "ants", sources={"data": {"deb-src": "ants/1.0-1"}})
    lock(root)
    apply_plan(root)
    same(root)


def test_a_channel_to_which_nothing_can_be_pushed_yet_is_in_no_note(root: Path) -> None:
    recipe(root, "ants", publish=["local"])
    recipe(root, "bwa")
    lock(root)
    assert same(root).plan["notes"] == []
    apply_plan(root)
    assert same(root).plan["notes"] == ["channel local was never observed; --refresh looks"]


def test_a_lock_that_comes_and_goes_leaves_a_sound_index(root: Path) -> None:
    recipe(root, "ants")
    lock(root)
    apply_plan(root)
    same(root)
    path = root / "lockfiles/ants@1.0.lock.json"
    kept = path.read_bytes()
    path.unlink()
    told(root, planning.Asked(), index=True, full=True)
    same(root)
    path.write_bytes(kept)
    same(root)


def test_a_recipe_that_went_with_what_is_built_on_it_ends_the_search(root: Path) -> None:
    recipe(root, "ants")
    recipe(root, "bwa", base=on("ants"))
    recipe(root, "cat12")
    same(root)
    for name in ("ants", "bwa"):
        (root / f"catalog/{name}/recipe.yaml").unlink()
        (root / "catalog" / name).rmdir()
    same(root)


def test_a_selection_plans_no_push_of_what_it_leaves_out(root: Path) -> None:
    recipe(root, "ants", publish=["local"])
    recipe(root, "bwa", publish=["local"])
    lock(root)
    apply_plan(root)
    plan(root, planning.Asked(refresh=True))
    for selectors, pushed in (
        ((), {"ants", "bwa"}),
        (("ants",), {"ants"}),
        (("ants:gate",), set()),
    ):
        found = same(root, planning.Asked(selectors=selectors)).plan["steps"]
        assert {s["node"].partition("@")[0] for s in found if s["kind"] == "push"} == pushed
