"""What fails, what is held, what runs again: each told apart, on the real command line."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from e2e_workspace import Site, check_error, make_site

from ssds.store.store import Store


@pytest.fixture(scope="module")
def released(warm: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The warm start with ``tiny`` released; never to be changed."""
    site = warm.copy(tmp_path_factory.mktemp("released") / "site")
    site.good("apply", "--yes")
    return site


@pytest.fixture
def own(released: Site, tmp_path) -> Site:
    """A copy of the released site."""
    return released.copy(tmp_path / "site")


def nodes(*kinds: str, name: str = "tiny") -> set[str]:
    return {f"{name}@1.0:{kind}" for kind in kinds}


def claims_of(site: Site, kind: str) -> int:
    store = Store(str(site.store))
    try:
        return sum(1 for claim in store.claims.all() if claim.kind == kind)
    finally:
        store.close()


def test_a_failing_step_leaves_a_log_and_no_claim_and_stops_no_other(site):
    site.recipe("broken", "      wc -l", "      echo told before the end; exit 7; wc -l")
    builds = claims_of(site, "build")
    ended = site.run("apply", "--yes", "--lock", "-j", "2")
    check_error(ended, "broken@1.0:build", "E071", "exit code 7")
    assert nodes("build", "test", "publish", "index") <= site.executed()
    assert "broken@1.0:build" not in site.executed()
    assert claims_of(site, "build") == builds + 1
    assert "told before the end" in site.good("log", "broken:build").out
    assert site.plan()["broken@1.0:build"][0] == "run"
    site.edit("catalog/broken/recipe.yaml", "exit 7", "true")
    site.good("apply", "--yes")
    assert {node.partition("@")[0] for node in site.executed()} == {"broken"}
    assert site.run("log", "broken:build").out.count("reused") == 1  # the step before stays
    site.good("plan", "--detailed-exitcode")


def test_a_step_that_writes_more_than_its_recipe_says_is_stopped_and_leaves_no_claim(site):
    grow = "for i in 1 2 3 4 5 6 7 8 9; do head -c 9000000 /dev/zero >/opt-$i; done; sleep 5; wc -l"
    site.recipe("greedy", "      wc -l", f"      {grow}")
    site.edit("catalog/greedy/recipe.yaml", "build:", "resources: {disk_mib: 40}\nbuild:")
    builds = claims_of(site, "build")
    check_error(
        site.run("apply", "greedy", "--yes", "--lock"),
        "greedy@1.0:build",
        "E075",
        "wrote more than its limit of 40 MiB",
    )
    assert claims_of(site, "build") == builds
    site.edit("catalog/greedy/recipe.yaml", "disk_mib: 40", "disk_mib: 400")
    site.good("apply", "greedy", "--yes")


def test_a_failing_test_holds_publication_until_an_input_changes(site):
    site.edit("catalog/tiny/recipe.yaml", 'stdout_equals: "one', 'stdout_equals: "two')
    ended = site.run("apply", "--yes")
    assert ended.code == 3, ended.text
    assert site.states()["tiny@1.0:publish"] == "held"
    assert "ssds log tiny@1.0:test" in ended.err
    assert "release" not in site.lock("tiny")["variants"]["default"]["platforms"]["linux/amd64"]
    tests = claims_of(site, "test")

    again = site.run("apply", "--yes")
    assert again.code == 3, again.text
    assert "held" in again.out
    assert claims_of(site, "test") == tests

    retried = site.run("apply", "--yes", "--retry")
    assert retried.code == 3, retried.text
    assert site.executed() == nodes("test")

    site.edit("catalog/tiny/recipe.yaml", 'stdout_equals: "two', 'stdout_equals: "one')
    site.good("apply", "--yes")
    assert site.executed() == nodes("test", "publish", "index")
    site.good("plan", "--detailed-exitcode")


def test_a_deleted_blob_is_made_again_by_its_producer_alone(own):
    lock = own.lock("tiny")["variants"]["default"]["platforms"]["linux/amd64"]
    layer = lock["release"]["layers"][-1]
    own.blob(layer["digest"]).unlink()
    assert own.plan("--fetch") == {"tiny@1.0:publish": ("run", "bytes wanted by you")}
    own.good("apply", "--yes", "--fetch")
    assert own.executed() == nodes("publish")
    assert own.blob(layer["digest"]).exists()

    own.blob(layer["digest"]).unlink()
    own.blob(layer["diff_id"]).unlink()
    own.good("apply", "--yes", "--fetch")
    assert own.executed() == nodes("build", "publish")
    assert own.good("log", "tiny:build").out.count("reused") == 1
    assert own.blob(layer["digest"]).exists()

    own.blob(lock["latest"]["sbom"]["outputs"]["sbom"]).unlink()
    own.good("apply", "--yes", "--fetch")
    assert own.executed() == nodes("sbom")
    assert own.good("store", "verify").out == "Clean.\n"
    own.good("plan", "--detailed-exitcode")


def test_a_rebuild_that_differs_from_its_lock_is_refused_until_it_is_accepted(site, warm):
    chance = "od -An -N16 -tx1 /dev/urandom >"
    site.recipe("chance", "wc -l < /opt/chance/words >", chance)
    site.good("apply", "--yes", "--lock", "chance")
    before = site.lock("chance")["variants"]["default"]
    layers = before["platforms"]["linux/amd64"]["release"]["layers"]
    shutil.rmtree(site.store)
    warm.copy_store(site.store)

    locks = site.locks()
    ended = site.run("apply", "--yes", "--fetch", "chance")
    check_error(ended, "chance@1.0:build", "E081", "--accept")
    assert len(set(re.findall(r"sha256:[0-9a-f]{64}", ended.err))) >= 2
    known = {layers[-1]["diff_id"]}
    known.add(before["platforms"]["linux/amd64"]["release"]["config"]["digest"])
    assert any(digest in ended.err for digest in known)
    assert site.locks() == locks
    assert "by embedded" in ended.err
    told = site.good("explain", "chance@1.0:build").out
    assert "which was refused: config" in told

    site.good("apply", "--yes", "--fetch", "--accept", "chance")
    after = site.lock("chance")["variants"]["default"]
    assert after["revision"] == before["revision"] + 1
    assert after["index"]["digest"] != before["index"]["digest"]
    assert nodes("build", "test", "publish", "index", name="chance") <= site.executed()
    site.good("plan", "--detailed-exitcode", "chance")


def test_editing_the_last_step_reuses_the_earlier_layers(own):
    def layers() -> list[str]:
        section = own.lock("tiny")["variants"]["default"]["platforms"]["linux/amd64"]
        return [layer["diff_id"] for layer in section["release"]["layers"]]

    before = layers()
    own.edit("catalog/tiny/recipe.yaml", "printf '#!/bin/sh", "printf '#!/bin/sh -e")
    own.good("apply", "--yes")
    after = layers()
    assert before[:-1] == after[:-1]
    assert before[-1] != after[-1]
    log = own.good("log", "tiny:build").out
    assert [line.split()[1] for line in log.splitlines() if "    reused" in line] == before[1:-1]
    assert own.lock("tiny")["variants"]["default"]["revision"] == 2


def test_editing_the_summary_neither_builds_nor_tests(own):
    before = own.lock("tiny")["variants"]["default"]
    own.edit("catalog/tiny/recipe.yaml", "A tiny tool for tests.", "Another sentence.")
    assert {k for k in own.plan() if k.startswith("tiny@1.0:")} <= nodes("metadata", "lock")
    own.good("apply", "--yes")
    assert own.executed() == nodes("metadata")
    after = own.lock("tiny")["variants"]["default"]
    assert (after["revision"], after["index"]) == (before["revision"], before["index"])


def test_editing_a_test_tests_again_and_does_nothing_else(own):
    own.edit("catalog/tiny/recipe.yaml", "time_limit_s: 60", "time_limit_s: 59")
    own.good("plan", "--detailed-exitcode")  # a limit is in no key
    own.edit("catalog/tiny/recipe.yaml", "run: tiny", "run: tiny | cat")
    own.good("apply", "--yes")
    assert own.executed() == nodes("test")
    own.good("plan", "--detailed-exitcode")


def test_a_fresh_clone_without_a_store_has_nothing_to_do(own, tmp_path):
    clone = make_site(tmp_path / "clone")
    for name in ("catalog", "lockfiles"):
        shutil.rmtree(clone.workspace / name)
        shutil.copytree(own.workspace / name, clone.workspace / name)
    ended = clone.good("plan", "--detailed-exitcode", "--json", "--full")
    steps = json.loads(ended.out)["steps"]
    assert {step["verb"] for step in steps} == {"reuse"}
    assert not clone.store.exists()


def test_a_damaged_blob_is_found_and_made_again(own):
    lock = own.lock("tiny")["variants"]["default"]["platforms"]["linux/amd64"]
    blob = own.blob(lock["release"]["layers"][-1]["digest"])
    data = blob.read_bytes()
    blob.unlink()  # it is linked to the other copies
    blob.write_bytes(data[:-9] + bytes(9))
    found = own.run("store", "verify")
    assert found.code == 1
    assert lock["release"]["layers"][-1]["digest"] in found.out
    blob.unlink()
    own.good("apply", "--yes", "--fetch")
    assert own.good("store", "verify").out == "Clean.\n"
