"""A recipe for what was adopted: what is built is its next revision, and what was adopted stays."""

from __future__ import annotations

import pytest
from old_places import Place
from old_tree import Old, state_of

from ssds.core.diagnostics import Collector
from ssds.core.model import ReleaseName
from ssds.core.pins import PlatformPins
from ssds.core.platform import Platform
from ssds.exports.entries import adopted_entries
from ssds.lock.merge import merge
from ssds.lock.model import Lock
from ssds.lock.quick import quick_lock
from ssds.lock.read import parse_lock_bytes, read_lock
from ssds.lock.write import lock_bytes, with_platform

AMD64 = Platform("linux/amd64")


def add_recipe(place: Place, one: Old) -> None:
    folder = place.workspace / "catalog" / one.name
    folder.mkdir()
    (folder / "recipe.yaml").write_text(
        f"name: {one.name}\nversion: {one.version}\nsummary: x\nlicenses: [MIT]\n"
        "platforms: {linux/amd64: required}\nbase: {image: example.org/x:1}\nbuild: []\n"
    )


def lock_of(place: Place, one: Old) -> Lock:
    lock = read_lock(str(place.workspace / f"lockfiles/{one.name}@{one.version}.lock.json"))
    assert lock is not None
    return lock


def test_a_recipe_may_have_the_version_of_what_was_adopted_and_nothing_of_it_changes(
    few: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert few.adopt() == 0
    one = few.releases[0]
    add_recipe(few, one)
    before = state_of(few.workspace / "lockfiles")
    capsys.readouterr()
    assert few.run("plan") == 0
    assert "not locked" in capsys.readouterr().out
    assert few.run("lock", "--check") == 2
    assert "L032" in "".join(capsys.readouterr())
    assert few.run("status") == 0
    assert few.adopt() == 0
    assert state_of(few.workspace / "lockfiles") == before


def test_a_recipe_that_was_never_built_stands_in_no_adoptions_way(few: Place) -> None:
    add_recipe(few, few.releases[0])
    assert few.adopt() == 0
    assert lock_of(few, few.releases[0]).variants[""].origin == "adopted"


def test_pins_beside_what_was_adopted_are_kept_by_every_reader_and_writer(few: Place) -> None:
    few.adopt()
    one = few.releases[0]
    name, was = ReleaseName(one.name, one.version, ""), lock_of(few, one)
    now = with_platform(was, name, AMD64, pins=PlatformPins(epoch=1))
    assert now.variants[""].origin == "built"
    assert now.platform(name, AMD64).adopted == was.platform(name, AMD64).adopted
    collector = Collector()
    data = lock_bytes(now)
    assert parse_lock_bytes(data, "x", collector) == now
    assert not collector.failed
    assert quick_lock(data) is None  # it leaves it to the reader that reads everything
    assert with_platform(was, name, AMD64) == was
    assert [e.built for e in adopted_entries([now])] == [one.built]  # still the one that is there
    assert merge(was, now, was) == merge(was, was, now) == now
    path = few.workspace / f"lockfiles/{now.file_name}"
    path.write_bytes(data)
    before = state_of(few.workspace / "lockfiles")
    assert few.adopt() == 0  # and adopting again changes nothing of it
    assert state_of(few.workspace / "lockfiles") == before
