"""``ssds plan --shadow``: what the old scripts did and ssds would have done; it changes nothing."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from old_places import Place, moved
from old_tree import make_lists, make_tree, state_of

from ssds.adopt.shadow import Build, State, report
from ssds.adopt.shadow_state import keep_state, read_state

Output = pytest.CaptureFixture[str]


def shadow(place: Place, out: Output, *words: str) -> tuple[int, dict[str, Any]]:
    """Returns the exit code and the report as data."""
    out.readouterr()
    sources = ("--shadow", f"tree={place.tree}", "--shadow", f"lists={place.lists}")
    code = place.run("plan", *sources, "--json", "--detailed-exitcode", *words)
    return code, json.loads(out.readouterr().out)


def rows(found: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    return {r["release"]: (r["they"], r["we"], r["verdict"]) for r in found["rows"]}


def listed(place: Place, several: list[Any]) -> None:
    shutil.rmtree(place.lists)
    make_lists(place.lists, several)


@pytest.fixture
def beside(few: Place, capsys: Output) -> Place:
    """Four adopted releases, of which a first report was made."""
    assert few.adopt() == 0
    code, found = shadow(few, capsys)
    assert (code, found["since"], found["rows"]) == (0, "", [])
    assert found["verdicts"] == {"both": 4}
    return few


def test_a_day_of_the_old_scripts_is_told_and_nothing_is_changed(
    beside: Place, capsys: Output
) -> None:
    one, two, three, four = beside.releases
    new = replace(one, version="9.0", built="20260101")
    make_tree(beside.tree, [new])
    shutil.rmtree(beside.tree / "containers" / two.id)
    program = next((beside.tree / "containers" / three.id).rglob(f"bin/{three.commands[0]}"))
    program.write_text("#!/bin/sh\necho another, longer program\n")
    os.utime(beside.tree / "containers" / three.id / f"{three.id}.simg")
    coming = replace(four, version="8.0", built="20260102")
    listed(beside, [one, three, four, new, coming])
    locks = state_of(beside.workspace / "lockfiles")
    before = state_of(beside.tree)
    code, found = shadow(beside, capsys)
    assert code == 2
    assert rows(found) == {
        f"{one.name}/9.0": ("added", "", "theirs only"),
        f"{two.name}/{two.version}": ("removed", "", "gone"),
        f"{three.name}/{three.version}": ("changed", "", "other bytes"),
        f"{four.name}/8.0": ("", "", "listed"),
    }
    assert found["they"] == {"added": 1, "changed": 1, "removed": 1}
    assert found["ssds"] == {"added": 0, "changed": 0, "removed": 0}
    assert (state_of(beside.tree), state_of(beside.workspace / "lockfiles")) == (before, locks)
    why = {row["release"]: row["reason"] for row in found["rows"]}
    assert "ssds removes nothing of others" in why[f"{two.name}/{two.version}"]
    assert "`ssds adopt` would take it" in why[f"{one.name}/9.0"]

    assert beside.adopt("--accept") in (0, 3)
    code, found = shadow(beside, capsys)
    assert rows(found)[f"{one.name}/9.0"] == ("", "added", "both")
    assert rows(found)[f"{three.name}/{three.version}"] == ("", "changed", "both")
    _, found = shadow(beside, capsys)
    assert f"{one.name}/9.0" not in rows(found)
    assert f"{one.name}/9.0" in rows(shadow(beside, capsys, "--full")[1])


def test_another_day_of_the_same_version_is_told(beside: Place, capsys: Output) -> None:
    one = beside.releases[0]
    moved(beside, "20300101", one)
    _, found = shadow(beside, capsys)
    row = found["rows"][0]
    assert (row["they"], row["verdict"]) == ("changed", "other day")
    assert row["theirs"] == f"{one.built}, 20300101"
    assert "they also have 20300101" in row["reason"]


def test_both_did_the_same_agrees(beside: Place, capsys: Output) -> None:
    new = replace(beside.releases[0], version="9.0", built="20260101")
    make_tree(beside.tree, [new])
    listed(beside, [*beside.releases, new])
    assert beside.adopt() == 0
    code, found = shadow(beside, capsys)
    assert code == 0
    assert rows(found) == {f"{new.name}/9.0": ("added", "added", "both")}


def test_others_that_write_are_noticed_and_the_report_is_not_kept(
    beside: Place, tmp_path: Path, capsys: Output
) -> None:
    lock = tmp_path / "ISRUNNING.lock"
    lock.touch()
    make_tree(beside.tree, [replace(beside.releases[0], version="9.0", built="20260101")])
    code, found = shadow(beside, capsys, "--respect", str(lock))
    assert (code, found["kept"]) == (3, False)
    assert found["foreign"][0]["lock"] == str(lock)
    assert lock.exists()
    lock.unlink()
    code, found = shadow(beside, capsys, "--respect", str(lock))
    assert (code, found["kept"]) == (2, True)
    assert found["they"]["added"] == 1


def test_an_open_transaction_of_the_repository_is_noticed(
    beside: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    repository = beside.tree.name
    monkeypatch.setenv("SSDS_CVMFS_MOUNT", str(beside.tree.parent))
    monkeypatch.setenv("SSDS_CVMFS_SPOOL", str(tmp_path / "spool"))
    assert shadow(beside, capsys)[0] == 0
    flag = tmp_path / "spool" / repository / "in_transaction.lock"
    flag.parent.mkdir(parents=True)
    flag.touch()
    code, found = shadow(beside, capsys)
    assert (code, found["foreign"][0]["lock"]) == (3, str(flag))


def test_a_source_that_cannot_be_read_whole_is_an_error_and_keeps_the_last_report(
    beside: Place, capsys: Output
) -> None:
    state = (beside.workspace / ".ssds/shadow.json").read_bytes()
    (beside.lists / "neurodesk/apps.json").write_text("{")
    code, found = shadow(beside, capsys)
    assert (code, found["kept"]) == (1, False)
    assert (beside.workspace / ".ssds/shadow.json").read_bytes() == state


def test_the_report_for_people_and_for_a_forge(beside: Place, capsys: Output) -> None:
    one = beside.releases[0]
    shutil.rmtree(beside.tree / "containers" / one.id)
    words = ("plan", "--shadow", f"tree={beside.tree}")
    assert beside.run(*words, "--markdown") == 0
    text = capsys.readouterr().out
    assert "# What ssds would have done" in text
    assert f"| `{one.name}/{one.version}` |" in text
    assert beside.run(*words) == 0
    assert "4 releases: 3 agree, 1 do not. Since then they have 0 added" in capsys.readouterr().out
    assert beside.run("plan", "--respect", "x") == 1
    assert "error[E351]" in capsys.readouterr().err


def test_a_built_release_is_compared_by_its_day_and_never_by_bytes_of_another_kind() -> None:
    build = Build(name="fsl", version="7", built="20260101", platform="linux/amd64")
    other = build._replace(built="20260105")
    tree, image = f"blake3:{'1' * 64}", f"sha256:{'2' * 64}"
    for theirs, ours, verdict in (
        ({build: tree}, {build: image}, "both"),
        ({build: image}, {build: image}, "both"),
        ({build: image}, {build: f"sha256:{'3' * 64}"}, "other bytes"),
        ({build: tree}, {other: image}, "other day"),
        ({build: tree}, {build: tree, other: image}, "other day"),
        ({}, {build: image}, "ours only"),
    ):
        found = report(State(theirs=theirs, ours=ours), State())
        assert [row.verdict for row in found] == [verdict]
    would = {("fsl", "7"): "fsl@7:gate is held: it failed"}
    found = report(State(theirs={build: tree}), State(), would=would)
    assert found[0].reason == "ssds: fsl@7:gate is held: it failed"
    said = report(State(theirs={build: tree}), State(), withdrawn={("fsl", "7"): "withdrawn"})
    assert (said[0].verdict, said[0].reason) == ("theirs only", "ssds: withdrawn")


def test_the_state_comes_back_as_it_was_and_a_broken_one_is_none(tmp_path: Path) -> None:
    build = Build(name="fsl", version="7", built="", platform="linux/amd64")
    state = State(at="2026-01-01T00:00:00Z", theirs={build: "sha256:x"}, listed=frozenset({build}))
    path = str(tmp_path / ".ssds/shadow.json")
    keep_state(path, ("tree=a",), state)
    assert read_state(path, ("tree=a",)) == state
    assert read_state(path, ("tree=b",)) == State()
    Path(path).write_text('{"shadow_version": 1, "sources": ["tree=a"], "theirs": [1]}')
    assert read_state(path, ("tree=a",)) == State()


class Walked(dict[Build, str]):
    """Counts how often all builds are gone through."""

    walks = 0

    def items(self) -> Any:
        self.walks += 1
        return super().items()


def test_each_side_is_gone_through_once_however_many_releases_there_are() -> None:
    def side(built: str) -> Walked:
        names = (Build(f"tool{n}", "1", built, "linux/amd64") for n in range(40))
        return Walked(dict.fromkeys(names, f"sha256:{'0' * 64}"))

    sides = [side(day) for day in ("20260101", "20260101", "20260102", "20260101")]
    now = State(at="2026-01-02", theirs=sides[0], ours=sides[1])
    last = State(at="2026-01-01", theirs=sides[2], ours=sides[3])
    found = report(now, last)
    assert {(row.they, row.we) for row in found} == {("changed", "")}
    assert [one.walks for one in sides] == [1, 1, 1, 1]
