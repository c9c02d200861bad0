"""A release whose recipe is gone: ``-`` in the plan, and out of the locks once it is allowed."""

from __future__ import annotations

import shutil

import pytest
from e2e_workspace import Site, check_error

pytestmark = [pytest.mark.component(name) for name in ("apt", "sandbox", "mmdebstrap")]


def test_a_lock_without_a_recipe_goes_only_when_that_is_allowed(site: Site) -> None:
    shutil.rmtree(site.workspace / "catalog/ground")
    before = site.locks()
    assert site.plan()["ground@1.0:lock"] == ("remove", "no longer in the catalog")
    check_error(site.run("apply", "--yes", "--no-push"), "E083", "--allow-remove 1")
    assert site.locks() == before

    site.good("apply", "--yes", "--no-push", "--allow-remove", "1")
    assert before.keys() - site.locks().keys() == {"ground@1.0.lock.json"}
    assert not any(verb == "remove" for verb, _ in site.plan().values())


def test_a_selection_removes_nothing_else(site: Site) -> None:
    shutil.rmtree(site.workspace / "catalog/ground")
    assert "ground@1.0:lock" not in site.plan("tiny")
    site.good("apply", "--yes", "--no-push", "tiny")
    assert "ground@1.0.lock.json" in site.locks()


def test_a_lock_keeps_its_other_variants(site: Site) -> None:
    recipe = site.workspace / "catalog/tiny/recipe.yaml"
    text = recipe.read_text()
    recipe.write_text(text + "\nvariants: {default: {}, fat: {}}\n")
    site.good("lock")
    recipe.write_text(text)
    assert site.plan()["tiny@1.0+fat:lock"][0] == "remove"
    site.good("apply", "--yes", "--no-push", "--allow-remove", "1")
    assert list(site.lock("tiny")["variants"]) == ["default"]


def test_locked_and_lock_exclude_each_other(site: Site) -> None:
    check_error(site.run("apply", "--yes", "--lock", "--locked"), "E030", "exclude each other")
