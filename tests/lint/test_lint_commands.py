"""Recipes that offer nothing to type, and commands that several recipes offer."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssds.lint.commands import offers_nothing, offers_what_others_offer
from ssds.recipe.catalog import CatalogReading, read_catalog

BASES = "debian-12: {suite: bookworm, platforms: [linux/amd64]}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog/bases.yaml").write_text(BASES)
    return tmp_path


def recipe(folder: Path, name: str, deploy: str, base: str = "debian-12") -> None:
    place = folder / "catalog" / name
    place.mkdir()
    (place / "recipe.yaml").write_text(
        f'name: {name}\nversion: "1.0"\nsummary: A tool.\nlicenses: [MIT]\n'
        f"platforms: {{linux/amd64: required}}\nbase: {base}\nbuild: [run: make]\n{deploy}"
    )


def reading(folder: Path) -> CatalogReading:
    found = read_catalog(str(folder))
    assert not found.collector.failed, list(found.collector)
    return found


def test_a_recipe_without_commands_and_paths_is_told(folder: Path) -> None:
    recipe(folder, "typed", "deploy: {commands: [typed]}\n")
    recipe(folder, "folder", "deploy: {paths: [/opt/bin]}\n")
    recipe(folder, "silent", "")
    found = list(offers_nothing(reading(folder)))
    assert [(d.code, d.span.path) for d in found] == [("R085", "catalog/silent/recipe.yaml")]


def test_a_recipe_that_others_are_built_on_may_offer_nothing(folder: Path) -> None:
    recipe(folder, "library", "")
    base = '{recipe: library, version: "1.0"}'
    recipe(folder, "typed", "deploy: {commands: [typed]}\n", base)
    assert not list(offers_nothing(reading(folder)))


def test_a_command_of_three_recipes_is_noted_once(folder: Path) -> None:
    for name in ("a", "b", "c"):
        recipe(folder, name, f"deploy: {{commands: [{name}, python]}}\n")
    (note,) = offers_what_others_offer(reading(folder))
    assert str(note.span) == "catalog/a/recipe.yaml:8:24"
    assert dict(note.facts) == {"command": "python", "also in": "b, c"}


def test_a_recipe_that_contains_another_is_a_bundle_that_may_offer_it_again(folder: Path) -> None:
    recipe(folder, "tool", "deploy: {commands: [tool]}\n")
    base = '{recipe: tool, version: "1.0"}'
    recipe(folder, "bundle", "deploy: {commands: [tool, more]}\n", base)
    assert not list(offers_what_others_offer(reading(folder)))
