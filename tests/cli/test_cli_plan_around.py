"""``ssds plan`` where recipes have errors: the others are planned, and the errors are told."""

from __future__ import annotations

import json

from e2e_workspace import Site, check_error

LEFT_OUT = "note: 1 recipe has errors and is not planned"


def broken(site: Site, name: str = "broken") -> None:
    place = site.workspace / "catalog" / name
    place.mkdir(exist_ok=True)
    base = "base: {recipe: ground, version: '1.0'}"
    (place / "recipe.yaml").write_text(f"name: {name}\n{base}\nversion: [\n")


def on_top(site: Site, below: str) -> None:
    text = (site.workspace / "catalog/tiny/recipe.yaml").read_text()
    place = site.workspace / "catalog/above"
    place.mkdir()
    base = f"base: {{recipe: {below}, version: '1.0'}}"
    lines = [base if line.startswith("base:") else line for line in text.splitlines()]
    (place / "recipe.yaml").write_text("\n".join(lines).replace("name: tiny", "name: above") + "\n")


def test_a_named_recipe_is_planned_though_another_has_errors(plain: Site) -> None:
    alone = plain.good("plan", "tiny", "--json")
    broken(plain)
    for more in ((), ("--no-index",)):
        ended = plain.run("plan", "tiny", "--json", *more)
        assert (ended.code, ended.err) == (0, "")
        found = json.loads(ended.out)
        assert found.pop("notes")[-1] == f"{LEFT_OUT.removeprefix('note: ')}: broken; ssds check"
        wanted = json.loads(alone.out)
        del wanted["notes"]
        assert found == wanted
    check_error(plain.run("plan", "broken"), "catalog/broken/recipe.yaml:")
    check_error(plain.run("apply", "--yes", "tiny"), "catalog/broken/recipe.yaml:")


def test_a_plan_of_all_shows_the_others_and_tells_the_errors(plain: Site) -> None:
    broken(plain)
    ended = plain.run("plan")
    check_error(ended, "catalog/broken/recipe.yaml:")
    assert "tiny@1.0:build" in ended.out
    assert f"{LEFT_OUT}: broken; ssds check" in ended.out
    assert "0 remove" in ended.out
    assert plain.run("plan", "--no-index").out == ended.out


def test_what_stands_on_a_recipe_with_errors_is_not_planned(plain: Site) -> None:
    broken(plain, "ground")
    on_top(plain, "ground")
    ended = plain.run("plan")
    assert f"{LEFT_OUT}, and 1 recipe on it: ground; ssds check" in ended.out
    assert "above@" not in ended.out
    check_error(plain.run("plan", "above"), "catalog/ground/recipe.yaml:")


def test_errors_that_concern_all_recipes_stop_the_plan(plain: Site) -> None:
    (plain.workspace / "catalog/bases.yaml").write_text("[")
    ended = plain.run("plan", "tiny")
    check_error(ended, "catalog/bases.yaml:")
    assert ended.out == ""


def test_errors_of_a_site_beside_them_are_told_and_change_nothing(plain: Site) -> None:
    broken(plain)
    plain.write("catalog/sites/lab.yaml", "modules: [")
    ended = plain.good("plan", "tiny")
    assert f"{LEFT_OUT}: broken; ssds check" in ended.out
    check_error(plain.run("plan"), "catalog/broken/recipe.yaml:", "catalog/sites/lab.yaml:")
