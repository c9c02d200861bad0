"""The made catalog is an honest one: valid recipes, real locks and claims, the same bytes twice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from neurocontainers_checkout import recipe, write_checkout

from ssds.core.digest import Digest
from ssds.oci.types import INDEX, Descriptor
from ssds.oci.validate import validate_index
from ssds.store.store import Store

ROOT = Path(__file__).resolve().parents[2]
COUNT = 20
NODES = COUNT * 16 + 2 + 2
"""Fourteen for each release, two bases, two families of sources."""


def ssds(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ssds", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def make(folder: Path, count: int = COUNT) -> subprocess.CompletedProcess[str]:
    program = ROOT / "benchmarks/make_catalog.py"
    return subprocess.run(
        [sys.executable, str(program), str(count), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made workspace; never to be changed."""
    folder = tmp_path_factory.mktemp("made") / "workspace"
    done = make(folder)
    assert done.returncode == 0, done.stderr
    assert f"{COUNT} recipes, {NODES} nodes" in done.stdout
    return folder


@pytest.fixture
def own(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "workspace"))


def test_every_recipe_and_lock_passes_check(made: Path) -> None:
    done = ssds(made, "check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{COUNT} releases, {COUNT} locks" in done.stdout


def test_recipes_have_the_promised_size_and_kinds_of_edges(made: Path) -> None:
    recipes = [path.read_text() for path in made.glob("catalog/*/recipe.yaml")]
    assert all(1800 < len(text) < 2300 for text in recipes)
    assert sum("base: {recipe:" in text for text in recipes) == 2
    assert sum('version: ">=' in text for text in recipes) == 1
    assert sum("waivers:" in text for text in recipes) == 1
    assert all(200 < p.stat().st_size < 300 for p in made.glob("catalog/*/settings.conf"))


@pytest.mark.parametrize("more", [(), ("--fetch",), ("--as-of", "2099-01-01")])
def test_a_plan_has_nothing_to_do(made: Path, more: tuple[str, ...]) -> None:
    done = ssds(made, "plan", "--detailed-exitcode", *more)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Nothing to do: {NODES} results are reused." in done.stdout


def test_the_claims_of_the_store_alone_give_the_same_plan(own: Path) -> None:
    for path in own.glob("lockfiles/*@*.lock.json"):
        lock = json.loads(path.read_text())
        variant = lock["variants"]["default"]
        for name in ("index", "metadata", "revision"):
            del variant[name]
        for section in variant["platforms"].values():
            del section["release"], section["latest"]
        path.write_text(json.dumps(lock))
    summary = json.loads(ssds(own, "plan", "--json").stdout)["summary"]
    assert (summary["reuse"], summary["run"]) == (NODES, COUNT)  # each lock is written again


def test_one_edit_runs_that_release_alone(own: Path) -> None:
    recipe = next(own.glob("catalog/*-000003/recipe.yaml"))
    recipe.write_text(recipe.read_text().replace("make install", "make -s install"))
    steps = json.loads(ssds(own, "plan", "--json").stdout)["steps"]
    assert {step["node"].partition(":")[0] for step in steps} == {f"{recipe.parent.name}@4.3.3"}
    assert {"build", "test", "publish", "index", "lock"} <= {step["kind"] for step in steps}


def test_the_store_is_sound_and_its_images_are_valid(made: Path) -> None:
    done = ssds(made, "store", "verify")
    assert done.returncode == 0, done.stdout + done.stderr
    lock = json.loads(min(made.glob("lockfiles/*@*.lock.json")).read_text())
    index = lock["variants"]["default"]["index"]
    store = Store.open(str(made / "store"))
    try:
        descriptor = Descriptor(
            media_type=INDEX, digest=Digest(index["digest"]), size_bytes=index["size"]
        )
        assert validate_index(store.blobs.read, descriptor, store.blobs.open) == ()
    finally:
        store.close()


def test_the_same_number_gives_the_same_bytes(made: Path, tmp_path: Path) -> None:
    again = tmp_path / "elsewhere"
    assert make(again).returncode == 0
    assert contents(again) == contents(made)
    assert claims(again) == claims(made)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for part in ("*", "catalog/**/*", "lockfiles/*", "store/blobs/**/*")
        for path in folder.glob(part)
        if path.is_file()
    }


def claims(folder: Path) -> list[object]:
    store = Store.open(str(folder / "store"))
    try:
        return [(claim, store.claims.preimage(claim.key)) for claim in store.claims.all()]
    finally:
        store.close()


def test_a_made_folder_is_kept_and_another_size_or_a_part_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "workspace"
    assert make(folder, 3).returncode == 0
    before = os.stat(folder / "made.json").st_mtime_ns
    assert "is made already" in make(folder, 3).stdout
    assert os.stat(folder / "made.json").st_mtime_ns == before
    assert "2 recipes" in make(folder, 2).stdout
    assert len(list(folder.glob("catalog/*/recipe.yaml"))) == 2
    stamp = folder / "made.json"
    stamp.write_text(stamp.read_text().replace('"whole": true', '"whole": false'))
    assert "2 recipes" in make(folder, 2).stdout


@pytest.mark.parametrize("stamp", [None, "{}", "[]", '{"recipes": 1, "whole": true}', "no JSON"])
def test_a_folder_of_others_is_refused_and_kept(tmp_path: Path, stamp: str | None) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    if stamp is not None:
        (tmp_path / "made.json").write_text(stamp)
    done = make(tmp_path, 1)
    assert done.returncode == 1
    assert "holds other files" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_what_cannot_be_made_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder, count, code in (("file", 1, 1), ("file/below", 1, 1), ("new", 0, 2)):
        done = make(tmp_path / folder, count)
        assert done.returncode == code
        assert done.stderr
        assert "Traceback" not in done.stderr


def test_a_released_checkout_of_neurodesk_has_locks_that_pass_check_and_nothing_to_do(
    tmp_path: Path,
) -> None:
    text = recipe(
        "- file: {name: theirs, url: 'https://get.example.org'}\n"
        "- run: ['sh {{ get_file(\"theirs\") }}']\n"
    )
    checkout = write_checkout(tmp_path / "checkout", text)
    (tmp_path / "workspace").mkdir()
    program = [sys.executable, str(ROOT / "benchmarks/neurocontainers.py"), str(checkout)]
    command = [*program, "--release", str(tmp_path / "workspace")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    nodes = done.stdout.split()[0]
    assert ssds(tmp_path / "workspace", "check").returncode == 0
    assert (
        f"Nothing to do: {nodes} results are reused." in ssds(tmp_path / "workspace", "plan").stdout
    )
