"""``plan --out``, ``show FILE`` and ``apply FILE``: what was reviewed is what is done."""

from __future__ import annotations

import copy
import datetime as dt
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from e2e_workspace import Site, assert_no_traceback, check_error, make_site

from ssds.core.canonical import canonical_bytes
from ssds.saved.form import id_of
from ssds.saved.read import read_saved

pytestmark = [pytest.mark.component(name) for name in ("apt", "sandbox", "mmdebstrap")]


def out(site: Site) -> str:
    return str(site.folder / "my.plan.json")


def reseal(path: str, edit: Callable[[dict[str, Any]], None]) -> None:
    """Changes a plan as somebody would who also mends its id."""
    value = json.loads(Path(path).read_bytes())
    edit(value)
    value["plan_id"] = str(id_of(value))
    Path(path).write_bytes(canonical_bytes(value))


def test_a_plan_that_is_saved_and_applied_at_once_is_a_plain_apply(
    warm: Site, tmp_path: Path
) -> None:
    plain, saved = warm.copy(tmp_path / "plain"), warm.copy(tmp_path / "saved")
    plain.good("apply", "--yes", "tiny")
    shown = saved.good("plan", "tiny", "--out", out(saved))
    assert shown.out == warm.good("plan", "tiny").out
    ended = saved.good("apply", out(saved))
    assert "Saved plan " in ended.err
    assert saved.executed() == plain.executed() != set()
    assert saved.locks() == plain.locks()
    saved.good("plan", "tiny", "--detailed-exitcode")


def test_a_plan_that_is_applied_twice_does_nothing_more_and_says_so(site: Site) -> None:
    site.good("plan", "tiny", "--out", out(site))
    site.good("apply", out(site))
    locks = site.locks()
    ended = site.good("apply", out(site))
    assert "done already" in ended.out
    assert site.locks() == locks


def test_what_is_asked_to_run_again_runs_once_for_each_plan(site: Site) -> None:
    site.good("plan", "ground", "--rerun", "ground:test", "--out", out(site))
    site.good("apply", out(site))
    assert site.executed() == {"ground@1.0:test"}
    ended = site.good("apply", out(site))
    assert "done already" in ended.out
    other = str(site.folder / "other.plan.json")
    site.good("plan", "ground", "--rerun", "ground:test", "--out", other)
    reseal(other, lambda value: value["made"].update(at=value["made"]["at"] - 1))
    site.good("apply", other)
    assert site.executed() == {"ground@1.0:test"}


def test_only_what_changed_is_refused_and_the_place_is_named(site: Site) -> None:
    site.recipe("third")
    site.good("lock", "third")
    site.good("plan", "--out", out(site))
    site.edit("catalog/tiny/recipe.yaml", "chmod 755", "chmod 0755")
    line = (site.workspace / "catalog/tiny/recipe.yaml").read_text()[:-1].split("\n")
    at = next(n for n, text in enumerate(line, 1) if "- run: |" in text)
    ended = site.run("apply", out(site))
    assert ended.code == 1, ended.text
    assert "STALE tiny@1.0:build [linux/amd64]: changed since: build[2]" in ended.err
    assert f"(catalog/tiny/recipe.yaml:{at})" in ended.err
    states = site.states()
    assert states["third@1.0:index"] == "done"
    assert states["tiny@1.0:metadata"] == "done"
    assert {states[f"tiny@1.0:{k}"] for k in ("build", "test", "publish", "index")} == {"stale"}
    assert site.lock("third")["variants"]["default"]["revision"] == 1
    assert "1.0" in site.lock("tiny")["version"]
    assert "index" not in site.lock("tiny")["variants"]["default"]
    told = site.run("apply", out(site), "--json")
    assert told.code == 1
    assert any("tiny@1.0:build" in text for text in json.loads(told.out)["refused"])


def test_a_recipe_that_a_selector_named_and_that_is_gone_refuses_only_itself(site: Site) -> None:
    site.recipe("third")
    site.good("lock", "third")
    site.good("plan", "tiny", "third", "--out", out(site))
    shutil.rmtree(site.workspace / "catalog/third")
    ended = site.run("apply", out(site))
    assert ended.code == 1, ended.text
    assert "third@1.0:build [linux/amd64]: the catalog does not have it any more" in ended.err
    assert site.states()["tiny@1.0:index"] == "done"


def test_a_new_recipe_is_not_run_by_an_older_plan(site: Site) -> None:
    site.good("plan", "--out", out(site))
    site.recipe("third")
    site.good("lock", "third")
    site.good("apply", out(site))
    assert not [node for node in site.states() if node.startswith("third")]
    assert any(node.startswith("third") for node in site.plan())


def test_a_build_that_was_made_meanwhile_is_reused(site: Site) -> None:
    site.good("plan", "tiny", "--out", out(site))
    site.good("apply", "--yes", "tiny:test")
    site.good("apply", out(site))
    assert "tiny@1.0:build" not in site.executed()
    assert "tiny@1.0:index" in site.executed()


def test_a_lock_that_changed_since_is_not_replaced(site: Site) -> None:
    site.edit("catalog/ground/recipe.yaml", "A tiny tool", "Another tool")
    site.good("plan", "ground", "--out", out(site))
    path = site.workspace / "lockfiles/ground@1.0.lock.json"
    lock = json.loads(path.read_bytes())
    lock["variants"]["default"]["revision"] = 7
    path.write_text(json.dumps(lock, indent=1, sort_keys=True) + "\n")
    before = path.read_bytes()
    ended = site.run("apply", out(site))
    assert ended.code == 1
    assert (
        "STALE ground@1.0:lock: the lock changed since: its release was r1 and is r7" in ended.err
    )
    assert site.executed() == {"ground@1.0:metadata"}
    assert path.read_bytes() == before


def test_a_removal_that_was_planned_is_done_and_no_other(site: Site) -> None:
    shutil.rmtree(site.workspace / "catalog/tiny")
    site.good("plan", "--out", out(site))
    shutil.rmtree(site.workspace / "catalog/ground")
    site.recipe("other")
    check_error(site.run("apply", out(site)), "E083")
    site.good("apply", out(site), "--allow-remove", "1")
    assert "tiny@1.0.lock.json" not in site.locks()
    assert "ground@1.0.lock.json" in site.locks()


def test_a_plan_whose_waivers_expired_meanwhile_releases_nothing(site: Site) -> None:
    today = dt.datetime.now(dt.UTC).date()
    waiver = (
        "scan:\n  waivers:\n    - {id: CVE-2020-1, package: zlib, reason: none, owner: me, "
        f"until: '{today - dt.timedelta(days=1)}'}}\n"
    )
    site.edit("catalog/tiny/recipe.yaml", "deploy:\n", waiver + "deploy:\n")
    then = today - dt.timedelta(days=3)
    site.good("plan", "tiny", "--as-of", str(then), "--out", out(site))
    shutil.copy(out(site), site.folder / "now.plan.json")
    reseal(out(site), lambda value: value["made"].update(at=value["made"]["at"] - 3 * 86400))
    ended = site.run("apply", out(site))
    assert ended.code == 1
    assert "STALE tiny@1.0:gate [linux/amd64]: the waivers in force changed" in ended.err
    states = site.states()
    assert (states["tiny@1.0:build"], states["tiny@1.0:publish"]) == ("done", "stale")
    site.good("apply", str(site.folder / "now.plan.json"))


def test_show_needs_no_workspace_and_shows_stale_plans(site: Site, tmp_path: Path) -> None:
    shown = site.good("plan", "tiny", "--out", out(site)).out
    away = tmp_path / "away"
    away.mkdir()
    shutil.copy(out(site), away / "x")
    shutil.rmtree(site.workspace)
    elsewhere = Site(tmp_path)
    (tmp_path / "workspace").mkdir()
    ended = elsewhere.good("show", str(away / "x"))
    assert ended.out.rstrip().endswith(shown.rstrip())
    plan_id = read_saved(out(site))[1]
    assert str(plan_id) in ended.out
    assert "asked for  tiny" in ended.out
    told = json.loads(elsewhere.good("show", str(away / "x"), "--json").out)
    assert told["plan_id"] == str(plan_id)
    assert [s["node"] for s in told["steps"]][:2] == ["tiny@1.0:metadata", "tiny@1.0:build"]


def test_show_of_a_release_is_what_it_was(site: Site) -> None:
    (site.workspace / "ground").write_text("#!/bin/sh\n")
    assert site.good("show", "ground").out.startswith("ground@1.0 (r1)")


@pytest.mark.parametrize(
    "words",
    [
        ["ground"],
        ["--platform", "linux/amd64"],
        ["--as-of", "2030-01-01"],
        ["--fetch"],
        ["--rerun", "tiny"],
        ["--retry"],
        ["--lock"],
    ],
)
def test_wishes_beside_a_saved_plan_are_refused(
    warm: Site, tmp_path: Path, words: list[str]
) -> None:
    path = str(tmp_path / "x.plan.json")
    Path(path).write_text("{}")
    check_error(warm.run("apply", path, *words), "E125", words[0])


def test_bad_files_are_refused_by_apply_and_show(site: Site, tmp_path: Path) -> None:
    site.good("plan", "tiny", "--out", out(site))
    data = Path(out(site)).read_bytes()
    bad = {
        "empty": b"",
        "cut": data[: len(data) // 2],
        "edited": data.replace(b"tiny@1.0", b"tony@1.0"),
        "newer": data.replace(b'"format_version":"1.0"', b'"format_version":"1.7"'),
        "foreign": b'{"format_version":"1.0"}',
        "binary": bytes(range(256)) * 10,
    }
    codes = {"cut": "E123", "edited": "E123", "newer": "E122"}
    for name, content in bad.items():
        path = tmp_path / f"{name}.plan.json"
        path.write_bytes(content)
        for verb in ("apply", "show"):
            check_error(site.run(verb, str(path)), codes.get(name, "E121"))
    for verb in ("apply", "show"):
        check_error(site.run(verb, str(tmp_path / "none.plan.json")), "E120")
    assert not (site.workspace / ".ssds/last-apply.json").exists()


def test_a_plan_of_another_workspace_is_refused(site: Site, tmp_path: Path) -> None:
    other = make_site(tmp_path / "other")
    other.recipe("stranger")
    path = str(tmp_path / "x.plan.json")
    other.good("plan", "--out", path)
    check_error(site.run("apply", path), "E124", "called 'workspace'")
    check_error(other.run("apply", path), "E082")


def test_a_plan_for_a_platform_that_is_not_here_is_refused(site: Site) -> None:
    site.edit(
        "catalog/tiny/recipe.yaml",
        "platforms: {linux/amd64: required}",
        "platforms: {linux/amd64: required}",
    )
    site.good("plan", "tiny", "--out", out(site))
    ended = site.run("apply", out(site), SSDS_SANDBOX="subuid", PATH="/nonexistent")
    if ended.code == 0:
        pytest.skip("this machine builds without helper programs")
    assert_no_traceback(ended)
    assert ended.code == 1


def test_the_settings_platforms_of_another_machine_change_nothing(site: Site) -> None:
    site.good("plan", "tiny", "--out", out(site))
    site.good("apply", out(site), SSDS_PLATFORMS="linux/arm64")
    assert "tiny@1.0:index" in site.executed()


def test_what_a_saved_plan_needs_survives_gc_as_long_as_its_file(site: Site) -> None:
    site.good("apply", "--yes", "tiny")
    config = site.lock("tiny")["variants"]["default"]["platforms"]["linux/amd64"]["release"][
        "actions"
    ]["build"]["outputs"]["config"]
    site.edit("catalog/tiny/recipe.yaml", "    run: tiny\n", "    run: tiny; true\n")
    site.good("plan", "tiny", "--out", out(site))
    (site.workspace / "lockfiles/tiny@1.0.lock.json").unlink()
    kept = site.folder / "kept"
    shutil.move(site.workspace / "catalog/tiny", kept)
    site.good("gc", "--keep-days", "0")
    assert site.blob(config).exists()
    Path(out(site)).unlink()
    site.good("gc", "--keep-days", "0")
    assert not site.blob(config).exists()


def test_a_plan_is_saved_from_a_workspace_that_cannot_be_written(site: Site) -> None:
    shutil.rmtree(site.workspace / ".ssds", ignore_errors=True)
    (site.workspace / ".ssds").write_text("in the way")
    ended = site.good("plan", "tiny", "--out", out(site))
    assert "Saved: " in ended.err
    assert read_saved(out(site))[0].steps


def test_a_place_that_cannot_be_written_is_told(site: Site) -> None:
    assert_no_traceback(site.run("plan", "--out", "/proc/none/x.plan.json"))
    assert site.run("plan", "--out", "/proc/none/x.plan.json").code == 1
    assert site.run("plan", "--out", str(site.folder)).code != 0


def test_a_kill_at_every_write_point_leaves_a_whole_file_or_the_old_one(site: Site) -> None:
    trace = site.folder / "trace"
    site.good("plan", "tiny", "--out", out(site), SSDS_FAULT_TRACE=str(trace))
    old = Path(out(site)).read_bytes()
    points = [p for p in trace.read_text().split() if p.startswith(("saved-plan", "plan-note"))]
    assert {p.partition(":")[0] for p in points} >= {"saved-plan.synced", "saved-plan.renamed"}
    for before in (None, old):
        for point in points:
            path = Path(out(site))
            path.unlink(missing_ok=True)
            if before is not None:
                path.write_bytes(before)
            ended = site.run("plan", "tiny", "--out", out(site), SSDS_FAULT_KILL=point)
            assert ended.code == -signal.SIGKILL, ended.text
            if path.exists():
                assert read_saved(str(path))[0].options.selectors == ("tiny",)
            else:
                assert before is None
    site.good("plan", "tiny", "--out", out(site))
    site.good("apply", out(site))


def test_full_lists_the_reused_nodes(site: Site) -> None:
    site.good("plan", "--full", "--out", out(site))
    saved, _ = read_saved(out(site))
    assert len(saved.reused.nodes) == saved.reused.count > 5
    assert copy.deepcopy(saved) == saved
    site.good("apply", out(site))


CHANNEL = "team: {kind: layout, location: out, move: [version, latest]}\n"


@pytest.fixture
def offered(site: Site) -> Site:
    """A site whose ``ground`` goes to a channel that was looked at and holds its first release."""
    site.write("catalog/channels.yaml", CHANNEL)
    for name in ("ground", "tiny"):
        site.edit(f"catalog/{name}/recipe.yaml", "deploy:\n", "publish: [team]\ndeploy:\n")
    site.good("apply", "--yes", "--refresh", "ground")
    return site


def tags(site: Site) -> dict[str, str]:
    """Returns tag → digest of the channel's layout folders."""
    found = {}
    for path in sorted((site.workspace / "out").rglob("index.json")):
        for entry in json.loads(path.read_bytes())["manifests"]:
            name = entry.get("annotations", {}).get("org.opencontainers.image.ref.name")
            if name:
                found[f"{path.parent.name}:{name}"] = entry["digest"]
    return found


def test_what_a_plan_releases_is_pushed_as_by_a_plain_apply(offered: Site, tmp_path: Path) -> None:
    offered.edit("catalog/ground/recipe.yaml", "wc -l", "wc -c")
    plain = offered.copy(tmp_path / "plain")
    plain.good("apply", "--yes", "ground")
    offered.good("plan", "ground", "--out", out(offered))
    offered.good("apply", out(offered))
    assert tags(offered) == tags(plain)
    assert any(name.endswith("1.0-r2") for name in tags(offered)), tags(offered)
    offered.good("plan", "ground", "--refresh", "--detailed-exitcode")
    shown = offered.good("sync", "--json").out  # without --yes: there is nothing to write
    assert json.loads(shown)["channels"]["team"]["changes"] == []
    assert json.loads(shown)["channels"]["team"]["kept"] > 6  # what is attached too
    again = tags(offered)
    assert "done already" in offered.good("apply", out(offered)).out
    assert tags(offered) == again


def test_a_tag_that_another_moved_since_is_not_moved_again(offered: Site) -> None:
    offered.edit("catalog/ground/recipe.yaml", "wc -l", "wc -c")
    offered.good("plan", "ground", "--out", out(offered))
    (path,) = (
        p for p in (offered.workspace / "out").rglob("index.json") if b"latest" in p.read_bytes()
    )
    index = json.loads(path.read_bytes())
    index["manifests"] = [
        entry
        for entry in index["manifests"]
        if entry.get("annotations", {}).get("org.opencontainers.image.ref.name") != "ground:latest"
    ]
    path.write_text(json.dumps(index))
    before = tags(offered)
    ended = offered.run("apply", out(offered))
    assert ended.code == 1, ended.text
    assert "STALE ground@1.0:push/team: the channel holds something else" in ended.err
    assert tags(offered) == before
    offered.good("apply", "--yes", "--refresh", "ground")
    assert len(tags(offered)) > len(before)


def test_a_channel_that_nobody_looked_at_is_left_alone(site: Site) -> None:
    site.write("catalog/channels.yaml", CHANNEL)
    site.edit("catalog/tiny/recipe.yaml", "deploy:\n", "publish: [team]\ndeploy:\n")
    site.good("plan", "tiny", "--out", out(site))
    site.good("apply", out(site))
    assert not (site.workspace / "out").exists()
