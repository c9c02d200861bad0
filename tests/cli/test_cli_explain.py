"""``ssds explain`` and the reasons of ``plan``, on a real workspace with a real store."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
from contextlib import closing
from typing import Any

import pytest
from e2e_workspace import Site, check_error

from ssds.cli import planning
from ssds.cli.reasons import Places
from ssds.core.model import NodeId
from ssds.graph.explain import Difference
from ssds.workspace import Workspace

pytestmark = [pytest.mark.component(name) for name in ("apt", "sandbox", "mmdebstrap")]

RECIPE = "catalog/ground/recipe.yaml"


def git(site: Site, *words: str, author: str = "Ann Author") -> str:
    who = {"NAME": author, "EMAIL": "a@example.org", "DATE": "2026-03-01T12:00:00Z"}
    names = {f"GIT_{role}_{k}": v for role in ("AUTHOR", "COMMITTER") for k, v in who.items()}
    done = subprocess.run(
        ["git", *words],
        cwd=site.workspace,
        env={**os.environ, **names, "GIT_CONFIG_GLOBAL": os.devnull},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def commit(site: Site, subject: str, author: str = "Ann Author") -> str:
    if not (site.workspace / ".git").exists():
        git(site, "init", "-q", "-b", "main")
    git(site, "add", "catalog", "lockfiles", "ssds.yaml")
    git(site, "commit", "-q", "-m", subject, author=author)
    return git(site, "rev-parse", "--short=7", "HEAD")


def explain(site: Site, node: str, *options: str) -> dict[str, Any]:
    (entry,) = json.loads(site.good("explain", node, "--json", *options).out)
    return entry


def causes(entry: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {cause["code"]: (cause["text"], cause["next"]) for cause in entry["causes"]}


def locks_without_results(site: Site, *names: str) -> None:
    """Forgets what locks say of results; the pins stay."""
    for name in names:
        path = site.workspace / f"lockfiles/{name}@1.0.lock.json"
        lock = json.loads(path.read_bytes())
        (variant,) = lock["variants"].values()
        (section,) = variant["platforms"].values()
        variant.clear()
        variant |= {
            "origin": "built",
            "platforms": {"linux/amd64": {"pins": section["pins"]}},
            "revision": 0,
        }
        path.write_text(json.dumps(lock))


def database(site: Site, *statements: str) -> None:
    with closing(sqlite3.connect(site.store / "claims.sqlite")) as claims, claims:
        for statement in statements:
            claims.execute(statement)


def test_a_difference_names_the_commit_its_date_and_its_author(site: Site) -> None:
    commit(site, "start", author="Somebody Else")
    site.edit(RECIPE, "{TINY_HOME: /opt/ground}", "{TINY_HOME: /opt/./ground}")
    short = commit(site, "home: written in another way")
    entry = explain(site, "ground:build")
    (difference,) = entry["differences"]
    assert difference["file"] == RECIPE
    assert difference["commit"]["author"] == "Ann Author"
    told = f'{short}, 2026-03-01, Ann Author: "home: written in another way"'
    assert difference["origin"] == told
    assert f"line    {told}" in site.good("explain", "ground:build").out
    _, reason = site.plan("ground")["ground@1.0:build"]
    assert f"; {told}; nearest " in reason


def test_the_line_within_a_script_is_named_not_its_beginning(site: Site) -> None:
    commit(site, "start", author="Somebody Else")
    site.edit(RECIPE, "      chmod 755", "      chmod 0755")
    short = commit(site, "mode with a zero")
    (difference,) = explain(site, "ground:build")["differences"]
    lines = (site.workspace / RECIPE).read_text().splitlines()
    assert "chmod 0755" in lines[difference["line"] - 1]
    assert difference["origin"].startswith(f"{short}, 2026-03-01, Ann Author")


def test_of_what_is_gone_nobody_is_named(site: Site) -> None:
    commit(site, "start")
    site.edit(RECIPE, "  - env: {TINY_HOME: /opt/ground}\n", "")
    (difference,) = explain(site, "ground:build")["differences"]
    assert difference["place"].startswith("build[1] (catalog/ground/recipe.yaml:")
    assert (difference["after"], difference["origin"]) == ("", "")


def test_a_copied_file_is_named_itself(site: Site) -> None:
    site.edit(
        "catalog/tiny/recipe.yaml", "deploy:", "  - copy: {local: data, to: /opt/d/}\ndeploy:"
    )
    site.write("catalog/tiny/data/one.txt", "one\n")
    site.write("catalog/tiny/data/two.txt", "two\n")
    site.good("apply", "--yes", "tiny")
    site.write("catalog/tiny/data/two.txt", "changed\n")
    (difference,) = explain(site, "tiny:build")["differences"]
    assert difference["place"] == "build[3].copy.local (catalog/tiny/data/two.txt)"
    site.edit("catalog/tiny/recipe.yaml", "local: data,", "local: data/two.txt,")
    site.good("apply", "--yes", "tiny")
    site.write("catalog/tiny/data/two.txt", "again\n")
    (difference,) = explain(site, "tiny:build")["differences"]
    assert difference["place"] == "build[3].copy.local (catalog/tiny/data/two.txt)"


def test_a_plan_asks_git_for_a_handful_of_lines_only(site: Site) -> None:
    commit(site, "start")
    workspace = Workspace.open(str(site.workspace))
    plan = planning.make(workspace, planning.Asked()).plan
    step = plan.steps[NodeId("ground@1.0", "build", "linux/amd64")]
    spots = [
        Difference(path=f"slice.steps[{n}].x", before="a", after="b", address=f"build[{n}]")
        for n in range(3)
    ]
    places = Places(workspace, blames=2, limit_s=60)
    found = [places.spot(step, spot).origin is not None for spot in (*spots, spots[0])]
    assert found == [True, True, False, True]
    late = Places(workspace, blames=2, limit_s=0)
    assert late.spot(step, spots[0]).origin is None


def test_a_local_edit_is_not_committed_yet(site: Site) -> None:
    commit(site, "start")
    site.edit(RECIPE, "A tiny tool for tests.", "Another.")
    (difference,) = explain(site, "ground:metadata")["differences"]
    assert difference["origin"] == "not committed yet"
    assert "; not committed yet; nearest" in site.plan("ground")["ground@1.0:metadata"][1]


def test_an_author_cannot_command_the_terminal(site: Site) -> None:
    commit(site, "start")
    site.edit(RECIPE, "A tiny tool for tests.", "Another.")
    commit(site, "\x1b]0;owned\x07 \u202eevil", author="Eve \x1b[31m")
    for words in (["explain", "ground:metadata"], ["plan", "ground"]):
        out = site.good(*words).out
        assert "\\x1b" in out
        assert "\x1b" not in out
        assert "\u202e" not in out


def test_the_nearest_key_is_named_with_its_making(site: Site) -> None:
    before = explain(site, "ground:build")
    site.edit(RECIPE, "chmod 755", "chmod 0755")
    entry = explain(site, "ground:build")
    assert entry["nearest"]["key"] == before["key"]
    assert entry["nearest"]["builder"]
    told = rf"nearest {before['key'][7:19]}, made 20\d\d-\d\d-\d\d by \S+$"
    assert re.search(told, entry["reason"])
    assert "nearest key  " in site.good("explain", "ground:build").out


def test_a_key_of_another_version_is_told_so(site: Site) -> None:
    site.edit(RECIPE, 'version: "1.0"', 'version: "2.0"')
    site.good("lock", "ground")
    entry = explain(site, "ground@2.0:build")
    assert "of ground@1.0:build [linux/amd64]" in entry["reason"]
    assert "the nearest key is of ground@1.0:build" in causes(entry)["neighbour"][0]
    assert "version" in {d["path"].rpartition(".")[2] for d in entry["differences"]}


def test_a_key_of_another_platform_is_no_change_of_this_one(site: Site) -> None:
    locks_without_results(site, "ground")
    database(
        site,
        "DELETE FROM claims WHERE kind = 'build'",
        "UPDATE preimages SET platform = 'linux/arm64', key = 'blake3:' || hex(zeroblob(32)), "
        "preimage = CAST(REPLACE(preimage, 'linux/amd64', 'linux/arm64') AS BLOB) "
        "WHERE kind = 'build'",
    )
    entry = explain(site, "ground:build")
    assert entry["reason"].startswith("no result for this key; nearest 000000000000, ")
    assert entry["reason"].endswith(", of ground@1.0:build [linux/arm64]")
    assert [d["place"] for d in entry["differences"]] == ["the platform"]


@pytest.mark.parametrize(
    "preimage", ["", "[]", "[" * 900 + "]" * 900, '{"slice": {"a": 1' + "0" * 5000]
)
def test_what_a_damaged_store_remembers_of_keys_is_passed_over(preimage: str, site: Site) -> None:
    database(site, f"UPDATE preimages SET preimage = CAST('{preimage}' AS BLOB)")
    site.edit(RECIPE, "chmod 755", "chmod 0755")
    assert explain(site, "ground:build")["verb"] == "run"
    assert "run" in {verb for verb, _ in site.plan("ground").values()}


def test_a_moved_base_names_its_pin_and_the_line_of_the_lock(site: Site) -> None:
    commit(site, "start")
    path = site.workspace / "lockfiles/catalog.lock.json"
    lock = json.loads(path.read_bytes())
    (identity, base), *_ = lock["bases"].items()
    pin = base["platforms"]["linux/amd64"]
    site.edit("lockfiles/catalog.lock.json", pin["diff_id"], "sha256:" + "0" * 64)
    site.edit("lockfiles/catalog.lock.json", pin["packages"]["packages"][0]["sha256"], "1" * 64)
    commit(site, "base: a new one")
    (difference,) = explain(site, "ground:build")["differences"]
    number = 1 + path.read_text().splitlines().index(f'  "{identity}": {{')
    assert difference["place"] == (
        f"its input base (pin base {identity}, lockfiles/catalog.lock.json:{number})"
    )
    assert "2026-03-01, Ann Author" in difference["origin"]


def test_only_ssds_itself_differs(site: Site) -> None:
    locks_without_results(site, "ground")
    database(
        site,
        "DELETE FROM claims WHERE kind = 'metadata'",
        "UPDATE preimages SET key = 'blake3:' || hex(zeroblob(32)), preimage = "
        "CAST(REPLACE(preimage, '\"kind_version\":1', '\"kind_version\":0') AS BLOB) "
        "WHERE kind = 'metadata'",
    )
    entry = explain(site, "ground:metadata")
    assert [d["place"] for d in entry["differences"]] == ["ssds itself"]
    assert "Only ssds itself differs" in causes(entry)["ssds"][0]


def test_the_salt_says_what_it_is_for(site: Site) -> None:
    site.write("catalog/catalog.yaml", "salt: again\n")
    told, following = causes(explain(site, "ground:metadata"))["salt"]
    assert "disowns every result" in told
    assert "catalog.yaml" in following


def test_a_result_that_is_not_whole_is_told_and_made_again(site: Site) -> None:
    locks_without_results(site, "ground")
    database(site, "UPDATE claims SET outputs = '{}' WHERE kind = 'metadata'")
    entry = explain(site, "ground:metadata")
    assert (entry["verb"], entry["reason"]) == (
        "run",
        "the result that is known for this key is not whole",
    )
    assert "it lacks metadata" in causes(entry)["incomplete"][0]
    site.good("apply", "--yes", "ground")
    assert explain(site, "ground:metadata")["verb"] == "reuse"


def test_bytes_that_gc_removed_are_told_with_the_day(site: Site) -> None:
    site.good("apply", "--yes", "tiny")
    locks_without_results(site, "tiny")
    site.good("gc", "--keep-days", "0")
    entry = explain(site, "tiny:build")
    assert entry["verb"] == "reuse"
    text, following = causes(entry)["absent"]
    assert re.search(r"`ssds gc` removed them on 20\d\d-\d\d-\d\d \d\d:\d\d UTC", text)
    assert following == "`ssds apply --rerun tiny@1.0:build` makes them again."
    assert causes(explain(site, "tiny:sbom"))["absent"][1].startswith("`ssds apply --fetch tiny@")
    publish = explain(site, "tiny:publish", "--fetch")
    assert publish["verb"] == "run"
    assert "Those bytes are wanted by you" in causes(publish)["bytes"][0]
    site.edit("catalog/tiny/recipe.yaml", "    run: tiny\n", "    run: tiny; true\n")
    build = explain(site, "tiny:build")
    assert (build["verb"], build["reason"]) == (
        "run",
        "bytes wanted by tiny@1.0:publish [linux/amd64]",
    )
    assert "`ssds gc` removed them" in causes(build)["bytes"][0]


def test_a_failed_test_is_named_with_what_it_found_and_since_when(site: Site) -> None:
    site.edit("catalog/tiny/recipe.yaml", "    run: tiny\n", "    run: tiny; false\n")
    assert site.run("apply", "--yes", "tiny").code == 3
    text, following = causes(explain(site, "tiny:test"))["failed"]
    assert re.match(r"The test failed on 20\d\d-\d\d-\d\d \d\d:\d\d UTC by \S+: ", text)
    assert '"prints its words": exit code 1, expected 0' in text
    assert "ssds log tiny@1.0:test" in following
    publish = causes(explain(site, "tiny:publish"))
    assert publish["held"][0] == "It is held by tiny@1.0:test [linux/amd64], which failed."
    assert publish["failed"][0] == text
    index = explain(site, "tiny:index")
    assert index["verb"] == "held"
    assert causes(index)["chain"][0].startswith(
        "It is held because of tiny@1.0:publish [linux/amd64]: tiny@1.0:test [linux/amd64] failed"
    )
    assert causes(index)["failed"][0] == text
    retried = explain(site, "tiny:test", "--retry")
    assert (retried["verb"], retried["reason"]) == ("run", "it failed before")
    assert "--retry" in causes(retried)["retry"][0]


def test_a_gate_names_its_findings(site: Site) -> None:
    site.write("catalog/policies.yaml", "default: {fail_on: [critical], unscanned: fail}\n")
    assert site.run("apply", "--yes", "ground").code == 3
    text, following = causes(explain(site, "ground:publish"))["failed"]
    assert "The gate failed" in text
    assert "not scanned" in text
    assert "waiver" in following


def test_an_input_that_runs_first_is_the_end_of_a_chain(site: Site) -> None:
    index = causes(explain(site, "tiny:index"))
    assert index["chain"][0] == (
        "tiny@1.0:build [linux/amd64] runs first (no result for this key), "
        "then tiny@1.0:publish [linux/amd64]."
    )
    assert index["chain"][1] == "`ssds explain tiny@1.0:build` tells more of it."
    assert "It may turn into reuse" in index["cutoff"][0]
    assert "Nothing like it is remembered here" in causes(explain(site, "tiny:build"))["new"][0]


def test_what_is_not_locked_says_which_request(site: Site) -> None:
    site.edit("catalog/tiny/recipe.yaml", "deploy:", "  - apt: [hello]\ndeploy:")
    entry = explain(site, "tiny:build")
    assert (entry["verb"], entry["key"]) == ("unknown", "")
    text, following = causes(entry)["unlocked"]
    assert "apt packages of build[3]" in text
    assert following == "Run `ssds lock tiny@1.0`."
    chain = causes(explain(site, "tiny:index"))["chain"][0]
    assert chain.startswith("tiny@1.0:build [linux/amd64] must be locked first")


def test_what_was_asked_for_is_said(site: Site) -> None:
    entry = explain(site, "ground:test", "--rerun")
    assert (entry["verb"], entry["reason"]) == ("run", "asked to run again")
    assert "--rerun" in causes(entry)["rerun"][0]


def test_a_platform_that_was_left_out_is_told(site: Site) -> None:
    ended = site.good("explain", "tiny:build", SSDS_PLATFORMS="linux/arm64")
    assert "linux/amd64 was left out" in ended.out
    assert "`--platform linux/amd64` selects it" in ended.out


def test_without_a_builder_it_says_why_and_where_to_go(site: Site) -> None:
    other = "subuid" if os.getuid() == 0 else "identity"  # the mode of the other kind of user
    ended = site.good("explain", "tiny:build", SSDS_SANDBOX=other)
    assert ended.out.startswith("w tiny@1.0:build [linux/amd64]: no builder here: ")
    assert f"Programs of linux/amd64 cannot run here: sandbox mode {other} is for" in ended.out
    assert "`ssds doctor` says what is missing" in ended.out


def test_a_recipe_that_is_broken_elsewhere_hides_nothing(site: Site) -> None:
    site.write("catalog/broken/recipe.yaml", "name: [\n")
    site.write("lockfiles/broken@1.lock.json", "{")
    assert site.good("plan", "ground").out.startswith("Nothing to do")
    assert explain(site, "ground:build")["verb"] == "reuse"
    assert site.good("why", "ground", "debian-12").out


def test_bases_and_their_nodes_have_names(site: Site) -> None:
    entry = explain(site, "debian-12:base")
    assert entry["node"].startswith("debian-12:base/")
    check_error(site.run("explain", "debian-13:base"), "E032", "names no release")
