"""What others deployed becomes locks, where it is; nothing else changes, and nothing is guessed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from old_places import Place, moved
from old_tree import state_of

from ssds.adopt import memory
from ssds.lock.read import read_lock
from ssds.ship.fingerprint import Fingerprint


def lock_text(place: Place, name: str) -> dict[str, object]:
    lock = json.loads((place.workspace / "lockfiles" / f"{name}.lock.json").read_text())
    variant = lock["variants"]["default"]
    assert variant["origin"] == "adopted"
    (section,) = variant["platforms"].values()
    found: dict[str, object] = section["release"]
    return found


def rows(capsys: pytest.CaptureFixture[str], run: Callable[[], int]) -> dict[str, list[str]]:
    """Returns verb → what of an adoption that prints JSON."""
    capsys.readouterr()
    run()
    found: dict[str, list[str]] = {}
    for change in json.loads(capsys.readouterr().out)["changes"]:
        found.setdefault(change["verb"], []).append(change["what"])
    return found


def test_sixty_releases_become_locks_and_no_byte_of_the_tree_moves(
    old: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    before = state_of(old.tree)
    assert old.adopt("--dry-run") == 0
    assert not list((old.workspace / "lockfiles").iterdir())
    assert old.adopt("--fallback", "docker://example.org/{name}:{version}_{built}") == 0
    locks = state_of(old.workspace / "lockfiles")
    assert len(locks) == 60
    assert state_of(old.tree) == before
    one = old.releases[0]
    half = lock_text(old, f"{one.name}@{one.version}")
    categories = sorted({c for o in old.releases if o.name == one.name for c in o.categories})
    image = old.tree / "containers" / one.id / f"{one.id}.simg"
    assert half["evidence"] == "none"
    assert half["locations"] == [
        str(image),
        f"docker://example.org/{one.name}:{one.version}_{one.built}",
    ]
    assert half["commands"] == sorted(one.commands)
    assert half["about"] == {
        "built": one.built,
        "categories": categories,
        "applications": [{"name": n, "command": c} for n, c in one.windows],
    }
    for extra in ((), (f"tree={old.tree}",)):
        assert old.adopt(*extra) == 0  # again, and a second time: nothing changes
    assert state_of(old.workspace / "lockfiles") == locks
    capsys.readouterr()
    assert old.run("check") == 0
    assert old.run("plan", "--detailed-exitcode") == 0
    assert "0 run, 0 unknown, 0 remove" in capsys.readouterr().out
    assert state_of(old.tree) == before


def test_each_image_is_adopted_by_what_it_is(old: Place) -> None:
    old.adopt()
    folders, files = 0, 0
    for one in old.releases:
        lock = read_lock(str(old.workspace / "lockfiles" / f"{one.name}@{one.version}.lock.json"))
        assert lock is not None
        ((platform, section),) = lock.variants[""].platforms.items()
        assert section.adopted is not None
        assert platform == f"linux/{one.machine}"
        assert section.adopted.digest.algorithm == ("sha256" if one.sif else "blake3")
        folders, files = folders + (not one.sif), files + one.sif
    assert (folders, files) == (54, 6)


def test_what_is_known_is_not_walked_again(
    few: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert few.adopt() == 0

    def walked(root: str) -> Fingerprint:
        raise AssertionError(f"{root} was walked")

    real = memory.of_folder
    monkeypatch.setattr(memory, "of_folder", walked)
    assert few.adopt() == 0
    image = next(few.tree.glob("containers/afni*/*.simg"))
    (image / "opt" / "afni-1.0.0" / "bin" / "afni").unlink()  # too deep to be seen
    capsys.readouterr()
    assert few.adopt("--json") == 0
    (same,) = [c for c in json.loads(capsys.readouterr().out)["changes"] if "afni" in c["what"]]
    assert (same["verb"], same["reason"]) == ("keep", f"at {image}, not looked at again")
    monkeypatch.setattr(memory, "of_folder", real)
    assert few.adopt("--again", "--json") == 3
    (held,) = [c for c in json.loads(capsys.readouterr().out)["changes"] if c["verb"] == "refused"]
    assert "--accept" in held["reason"]
    before = lock_text(few, "afni@1.0.0")["digest"]
    assert few.adopt("--accept") == 0
    assert lock_text(few, "afni@1.0.0")["digest"] != before


def test_a_lost_or_damaged_memory_costs_time_only(few: Place) -> None:
    few.adopt()
    locks = state_of(few.workspace / "lockfiles")
    for text in ("", "{", '{"memory_version": 1, "places": {"/x": 3}}', "[" * 5000):
        (few.workspace / ".ssds" / "adopted.json").write_text(text)
        assert few.adopt() == 0
    assert state_of(few.workspace / "lockfiles") == locks


def test_of_two_builds_the_module_or_a_list_says_which_is_meant(
    few: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    one = few.releases[0]
    other = moved(few, "20990101", one)
    found = rows(capsys, lambda: few.adopt("--json"))
    assert found["unmanaged"] == [f"{few.tree}/containers/{other}/{other}.simg"]
    assert lock_text(few, f"{one.name}@{one.version}")["about"]["built"] == one.built  # type: ignore[index]


def test_where_nobody_says_which_build_is_meant_it_is_held_until_somebody_chooses(
    few: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    one = few.releases[0]
    moved(few, "20990101", one)
    (few.tree / "containers/modules" / one.name / f"{one.version}.lua").unlink()
    tree = f"tree={few.tree}"
    assert few.run("adopt", tree) == 3
    said = capsys.readouterr().out
    assert f"--choose {one.name}/{one.version}={one.built}" in said
    assert not (few.workspace / f"lockfiles/{one.name}@{one.version}.lock.json").exists()
    assert few.run("adopt", tree, "--choose", f"{one.name}/{one.version}=20990101") == 0
    half = lock_text(few, f"{one.name}@{one.version}")
    assert half["about"] == {"built": "20990101"}


def test_lists_that_disagree_with_each_other_or_with_the_tree_hold_a_release(
    few: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    one = few.releases[0]
    log = few.lists / "cvmfs" / "log.txt"
    log.write_text(log.read_text().replace(one.id, f"{one.name}_{one.version}_20110101"))
    found = rows(capsys, lambda: few.adopt("--json"))
    assert found["refused"] == [f"{one.name}/{one.version} [linux/amd64]"]
    (few.workspace / "other.txt").write_text(f"{one.name}_{one.version}_20110101 categories:a,\n")
    words = ("adopt", f"tree={few.tree}", f"lists={few.workspace}/other.txt", "--json")
    found = rows(capsys, lambda: few.run(*words))
    assert found["refused"] == [f"{one.name}/{one.version} [linux/amd64]"]


def test_what_is_listed_and_not_there_and_what_is_there_and_no_image_are_told(
    few: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    one = few.releases[0]
    few.adopt()
    shutil.rmtree(few.tree / "containers" / one.id / f"{one.id}.simg")  # as a disabled container
    (few.tree / "containers" / "notes.txt").write_text("theirs")
    found = rows(capsys, lambda: few.adopt("--json"))
    assert found["waiting"] == [f"{one.name}/{one.version}"]
    assert found["refused"] == [f"{one.name}/{one.version} [linux/amd64]"]  # its place is gone
    assert found["unmanaged"] == [f"{few.tree}/containers/{n}" for n in (one.id, "notes.txt")]
    assert (few.workspace / f"lockfiles/{one.name}@{one.version}.lock.json").exists()


def test_the_lists_of_what_was_adopted_say_what_they_said_before(
    old: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old.adopt()
    capsys.readouterr()
    words = ("export", "neurodesk", "--to", str(tmp_path / "lists"))
    assert old.run(*words, "--against", str(old.lists)) == 0
    assert "0 differences" in capsys.readouterr().out
    theirs = json.loads((old.lists / "cvmfs" / "applist.json").read_text())["list"]
    ours = json.loads((tmp_path / "lists" / "applist.json").read_text())["list"]
    assert {entry["application"] for entry in ours} == {entry["application"] for entry in theirs}


def test_each_difference_of_lists_has_a_row_and_a_reason(
    few: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few.adopt()
    one, two, three, _ = few.releases
    log = few.lists / "cvmfs" / "log.txt"
    log.write_text(log.read_text().replace(one.id, f"{one.name}_{one.version}_20110101"))
    apps = few.lists / "neurodesk" / "apps.json"
    document = json.loads(apps.read_text())
    document[two.name]["categories"].append("other things")
    del document[three.name]
    apps.write_text(json.dumps(document))
    with log.open("a") as file:
        file.write("more_1_20210101 categories:x,\n")
    capsys.readouterr()
    words = ("export", "neurodesk", "--to", str(tmp_path / "lists"), "--json")
    assert few.run(*words, "--against", str(few.lists)) == 2
    found = json.loads(capsys.readouterr().out)["differences"]
    assert {(row["release"], row["field"]) for row in found} == {
        (f"{one.name}/{one.version}", "built"),
        (f"{two.name}/{two.version}", "categories"),
        ("more/1", "entry"),
    }
    assert all(row["reason"] for row in found)
    assert few.run("export", "ducc", "--to", str(tmp_path / "d"), "--against", "x") == 1


def test_pages_that_lists_offer_are_kept_and_listed_again(
    few: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = few.releases[0]
    page = {"title": "T", "startup_command": "run it", "port": 80, "module": one.name}
    good = {**page, "version": one.version, "additional_proxies": [{"path": "a", "port": 1}]}
    bad = {"module": one.name, "version": one.version, "title": "no command"}
    path = few.lists / "neurodesk/webapps.json"
    path.write_text(json.dumps({"version": "1.0", "webapps": {one.name: good, "b": bad}}, indent=1))
    assert few.adopt() == 1
    assert f"{path}:{len(path.read_text().splitlines()) - 6}" in capsys.readouterr().err
    for hostile in ("\ud800", float("nan")):
        lists = {"version": "1.0", "webapps": {one.name: {**good, "title": hostile}}}
        path.write_text(json.dumps(lists))
        assert few.adopt() == 1
        assert "valid Unicode" in capsys.readouterr().err
    path.write_text(json.dumps({"version": "1.0", "webapps": {one.name: good}}))
    assert few.adopt() == 0
    words = ["neurodesk", "--to", str(tmp_path / "out"), "--against", str(few.lists)]
    assert few.run("export", *words) == 0
    ours = json.loads((tmp_path / "out/webapps.json").read_text())
    assert ours == json.loads(path.read_text())
    path.write_text(json.dumps({"version": "1.0", "webapps": {one.name: {**good, "port": 8}}}))
    capsys.readouterr()
    assert few.run("export", *words) == 2
    assert "webapp" in capsys.readouterr().out
