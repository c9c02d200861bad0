"""One name and version is built here or adopted, never both."""

from __future__ import annotations

import pytest
from old_places import Place
from old_tree import Old, state_of

from ssds.core.errors import Refused
from ssds.core.model import ReleaseName
from ssds.core.pins import PlatformPins
from ssds.core.platform import Platform
from ssds.lock.make import Found, make_variant
from ssds.lock.read import read_lock
from ssds.lock.write import with_platform

AMD64 = Platform("linux/amd64")


def add_recipe(place: Place, one: Old) -> None:
    folder = place.workspace / "catalog" / one.name
    folder.mkdir()
    (folder / "recipe.yaml").write_text(
        f"name: {one.name}\nversion: {one.version}\nsummary: x\nlicenses: [MIT]\n"
        "platforms: {linux/amd64: required}\nbase: {image: example.org/x:1}\nbuild: []\n"
    )


def test_a_release_that_is_built_here_is_not_adopted(few: Place) -> None:
    one = few.releases[0]
    add_recipe(few, one)
    assert few.adopt() == 3
    assert not (few.workspace / f"lockfiles/{one.name}@{one.version}.lock.json").exists()


def test_a_recipe_for_what_was_adopted_is_refused_with_its_line_and_no_lock_changes(
    few: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert few.adopt() == 0
    one = few.releases[0]
    add_recipe(few, one)
    before = state_of(few.workspace / "lockfiles")
    for words in (["check"], ["lock"], ["lock", "--check"], ["plan"], ["status"], ["apply"]):
        capsys.readouterr()
        assert few.run(*words) == 1, words
        said = "".join(capsys.readouterr())
        assert "L034" in said, words
        assert f"catalog/{one.name}/recipe.yaml:2:1" in said, words
        assert f"lockfiles/{one.name}@{one.version}.lock.json" in said, words
    assert few.adopt() == 3  # held: the recipe is in the way
    assert state_of(few.workspace / "lockfiles") == before
    (few.workspace / "catalog" / one.name / "recipe.yaml").unlink()
    (few.workspace / "catalog" / one.name).rmdir()
    assert few.run("plan", "--detailed-exitcode") == 0


def test_no_writer_puts_something_built_into_an_adopted_lock(few: Place) -> None:
    few.adopt()
    one = few.releases[0]
    lock = read_lock(str(few.workspace / f"lockfiles/{one.name}@{one.version}.lock.json"))
    assert lock is not None
    name = ReleaseName(one.name, one.version, "")
    with pytest.raises(Refused, match="was adopted"):
        with_platform(lock, name, AMD64, pins=PlatformPins(epoch=1))
    found = Found(claims={}, read=lambda _: None)
    with pytest.raises(Refused, match="was adopted"):
        make_variant(name, (AMD64,), lock.variant(name), found)
