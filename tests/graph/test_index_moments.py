"""The index and time: edits in one tick, edits under a running plan, other days, other clocks."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import time
from collections.abc import Callable
from types import SimpleNamespace

import index_bench
import laws_bench
import pytest
from index_bench import Bench
from index_edits import change, put_in_place
from laws_catalogs import dump

from ssds.cli import index_memory, indexed, planning
from ssds.graph.index import hot, keeping

ROUNDS = 200


def test_two_writes_of_one_size_in_one_tick_are_told_apart(bench: Bench) -> None:
    path = bench.path("catalog/cat12/one.conf")
    texts = (b"a = 1\n", b"a = 2\n")
    wanted = []
    for text in texts:
        path.write_bytes(text)
        wanted.append(bench.whole())
    assert wanted[0].plan != wanted[1].plan
    for number in range(ROUNDS):
        put_in_place(path, texts[number % 2])
        assert bench.plan() == wanted[number % 2], f"round {number}"


def test_recipes_written_twice_in_one_tick_are_told_apart(bench: Bench) -> None:
    path = bench.path("catalog/bwa/recipe.yaml")
    text = path.read_bytes()
    texts = (text, text.replace(b"script: make", b"script: mkdi"))
    wanted = []
    for text in texts:
        path.write_bytes(text)
        wanted.append(bench.whole())
    for number in range(ROUNDS // 4):
        path.write_bytes(texts[number % 2])
        assert bench.plan() == wanted[number % 2], f"round {number}"


# Edits under a running plan.


def local_file(bench: Bench) -> None:
    put_in_place(bench.path("catalog/cat12/one.conf"), b"a = 2\n")


def recipe_file(bench: Bench) -> None:
    path = bench.path("catalog/bwa/recipe.yaml")
    put_in_place(path, path.read_bytes().replace(b"script: make", b"script: mkdi"))


def new_recipe(bench: Bench) -> None:
    dump(bench.path("catalog/new/recipe.yaml"), index_bench.recipe("new"))


def lost_recipe(bench: Bench) -> None:
    shutil.rmtree(bench.path("catalog/dcm"))


def lost_lock(bench: Bench) -> None:
    bench.path("lockfiles/dcm@1.0.lock.json").unlink()


def new_file_in_a_copied_folder(bench: Bench) -> None:
    bench.path("catalog/ants/files/deep/new").write_text("new")


def base(bench: Bench) -> None:
    change(bench.path("catalog/bases.yaml"), "- zlib1g", "- zlib1g-dev")


def settings(bench: Bench) -> None:
    text = "store: {path: ../store}\njobs: 1\ncatalog: second\n"
    shutil.copytree(bench.path("catalog"), bench.path("second"), symlinks=True)
    shutil.rmtree(bench.path("second/dcm"))
    bench.path("ssds.yaml").write_text(text)


def pins_that_others_share(bench: Bench) -> None:
    path = bench.path("lockfiles/catalog.lock.json")
    value = json.loads(path.read_bytes())
    value["bases"] = {}
    put_in_place(path, json.dumps(value).encode())


Edit = Callable[[Bench], None]
UNDER: list[Edit] = [
    local_file,
    recipe_file,
    new_recipe,
    lost_recipe,
    lost_lock,
    new_file_in_a_copied_folder,
    base,
    settings,
    pins_that_others_share,
]


@pytest.mark.parametrize(
    "moment", ["before the look", "before reading", "after reading", "at last"]
)
@pytest.mark.parametrize("under", UNDER)
def test_an_edit_under_a_running_plan_is_seen_by_the_next_one(
    under: Edit, moment: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the first plan says: it saw the files before or after the edit, or some of both."""
    change(bench.path("catalog/cat12/recipe.yaml"), "summary: words", "summary: others")
    before = SimpleNamespace(waiting=True)

    def once() -> None:
        if before.waiting:
            before.waiting = False
            under(bench)

    real_make, real_save, real_open = planning.make, keeping.save, indexed.Session.open

    def make(*arguments: object, **named: object) -> object:
        if moment == "before reading":
            once()
        made = real_make(*arguments, **named)  # type: ignore[arg-type]
        if moment == "after reading":
            once()
        return made

    def save(*arguments: object, **named: object) -> object:
        if moment == "at last":
            once()
        return real_save(*arguments, **named)  # type: ignore[arg-type]

    def opened(session: indexed.Session) -> bool:
        if moment == "before the look":
            once()
        return real_open(session)

    with monkeypatch.context() as patch:
        patch.setattr(indexed.planning, "make", make)
        patch.setattr(indexed.keeping, "save", save)
        patch.setattr(indexed.Session, "open", opened)
        index_bench.assert_no_traceback(bench.plan())
    assert not before.waiting
    bench.check_calm()


# Days.


class Calendar:
    """Sets the day for plans, with and without the index."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.day = dt.date(2026, 11, 1)
        clock = SimpleNamespace(
            datetime=SimpleNamespace(now=lambda _: dt.datetime.combine(self.day, dt.time())),
            UTC=dt.UTC,
            date=dt.date,
        )
        monkeypatch.setattr(index_memory, "dt", clock)
        monkeypatch.setattr(hot, "time", SimpleNamespace(time=self.seconds))
        monkeypatch.setattr(planning, "parse_date", lambda text: self.day)

    def seconds(self) -> float:
        noon = dt.datetime.combine(self.day, dt.time(12), tzinfo=dt.UTC)
        return noon.timestamp()


def test_a_waiver_that_ends_is_noticed_and_a_clock_set_back_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    calendar = Calendar(monkeypatch)
    bench.index.unlink()
    said = {}
    for text in (
        "2036-06-29",
        "2036-06-30",
        "2036-07-01",
        "2040-01-01",
        "2026-11-01",
        "2036-07-01",
    ):
        calendar.day = dt.date.fromisoformat(text)
        said[text] = bench.check_calm()
    assert said["2036-06-29"] != said["2036-07-01"], "the case is about nothing"
    assert said["2026-11-01"] == said["2036-06-29"]


def test_on_another_day_the_shortest_way_answers_while_no_key_changes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    calendar = Calendar(monkeypatch)
    bench.index.unlink()
    bench.plan()
    bench.plan()
    assert bench.is_hot()
    calendar.day = dt.date(2036, 6, 1)
    assert bench.is_hot()
    calendar.day = dt.date(2036, 8, 1)
    assert not bench.is_hot()
    bench.check()


# Surroundings.


def test_user_settings_behind_links_are_followed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = bench.folder / "home"
    home.mkdir()
    (home / "dotfiles.yaml").write_text("jobs: 2\n")
    (home / "link").symlink_to("dotfiles.yaml")
    (home / "settings.yaml").symlink_to("link")
    monkeypatch.setenv("SSDS_USER_SETTINGS", str(home / "settings.yaml"))
    change(bench.path("catalog/bwa/recipe.yaml"), "script: make", "script: all")
    waits = bench.check_calm()
    put_in_place(home / "dotfiles.yaml", b"platforms: [linux/arm64]\n")
    assert bench.check_calm() != waits
    (home / "other.yaml").write_text("nonsense: 1\n")
    (home / "link").unlink()
    (home / "link").symlink_to("other.yaml")
    assert bench.check_calm().code == 1
    (home / "settings.yaml").unlink()
    assert bench.check_calm() == waits


def test_another_store_by_the_environment_is_another_plan(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.path("lockfiles/cat12@1.0.lock.json").unlink()
    here = bench.check_calm()
    monkeypatch.setenv("SSDS_STORE", str(bench.folder / "empty"))
    there = bench.check_calm()
    monkeypatch.delenv("SSDS_STORE")
    assert bench.check_calm() == here
    assert here is not there


def test_claims_that_another_workspace_makes_are_seen(bench: Bench) -> None:
    other = Bench(bench.folder / "other")
    shutil.copytree(bench.root, other.root, symlinks=True)
    other.path("ssds.yaml").write_text(f"store: {{path: {bench.folder}/store}}\n")
    for one in (bench, other):
        change(one.path("catalog/cat12/recipe.yaml"), "summary: words", "summary: others")
        change(one.path("catalog/bwa/recipe.yaml"), "script: make", "script: all")
    before = bench.check_calm()
    laws_bench.apply_plan(other.root)
    after = bench.check_calm()
    assert before.plan["summary"]["unknown"] > after.plan["summary"]["unknown"]
    other.check_calm()


def test_a_changed_ssds_is_a_miss_and_a_touched_one_is_none(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = keeping.code_files()
    program = bench.folder / "program.py"
    program.write_text("one")
    monkeypatch.setattr(keeping, "code_files", lambda: [real[0], str(program)])
    monkeypatch.setattr(index_bench, "CALM_S", 0.1)
    bench.index.unlink()
    bench.warm().warm()
    assert bench.is_hot()
    os.utime(program)
    assert bench.check_calm().warnings == []
    put_in_place(program, b"two")
    found = bench.plan()
    assert len(found.warnings) == 1
    assert "another version of ssds" in found.err
    bench.check_calm()


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_wrong_by_an_hour_deceives_no_plan(
    hours: int, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bench.path("catalog/cat12/one.conf")
    real = time.time_ns
    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: real() + hours * 3600 * 10**9)
        path.write_bytes(b"a = 2\n")
        bench.plan()
        assert any("one.conf" in row for row in index_bench.untrue_rows(bench)), "it was trusted"
        put_in_place(path, b"a = 3\n")
        bench.check()
    bench.check_calm()
