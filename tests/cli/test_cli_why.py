"""``ssds why A B``: paths, no dependency, the other way round, and what is not locked yet."""

from __future__ import annotations

import json

import pytest
from e2e_workspace import Site, check_error, recipe

APP = """\
name: app
version: "1.0"
summary: Stands on two others.
licenses: [MIT]
platforms: {linux/amd64: required}
base: {recipe: tiny, version: "1.0"}
build:
  - copy: {recipe: ground, version: "1.0", paths: [/opt/ground], to: /opt/ground/}
"""


@pytest.fixture
def site(plain: Site) -> Site:
    plain.write("catalog/app/recipe.yaml", APP)
    return plain


def test_the_shortest_path_says_what_is_taken(site: Site) -> None:
    assert site.good("why", "app", "tiny").out == (
        "app@1.0:build [linux/amd64]\n"
        "  base: config of tiny@1.0:build [linux/amd64]\n"
        "\n"
        "There are more paths: --all shows them.\n"
    )


def test_all_paths_are_shown_to_a_limit(site: Site) -> None:
    out = site.good("why", "app", "ground", "--all").out
    assert "recipe/0: config of ground@1.0:build [linux/amd64]" in out
    assert "gate/ground@1.0: verdict of ground@1.0:gate [linux/amd64]" in out
    assert "test/ground@1.0: verdict of ground@1.0:test [linux/amd64]" in out
    assert out.endswith("\n4 paths.\n")
    cut = site.good("why", "app", "ground", "--all", "--limit", "1").out
    assert cut.endswith("The 1 shortest path; there are more: --limit shows them.\n")


def test_nodes_and_bases_have_paths_too(site: Site) -> None:
    out = site.good("why", "app:index", "debian-12:base").out
    assert out.splitlines()[:5] == [
        "app@1.0:index",
        "  manifest/linux/amd64: manifest of app@1.0:publish [linux/amd64]",
        "    config: config of app@1.0:build [linux/amd64]",
        "      recipe/0: config of ground@1.0:build [linux/amd64]",
        "        base: layer of debian-12:base [linux/amd64]",
    ]
    assert "The only path." in site.good("why", "tiny:sbom", "tiny:build").out


def test_no_dependency_ends_with_1_and_offers_the_reverse(site: Site) -> None:
    ended = site.run("why", "tiny", "app")
    assert (ended.code, ended.err) == (1, "")
    assert ended.out == (
        "tiny does not depend on app.\n  It is the other way round: `ssds why app tiny`.\n"
    )
    ended = site.run("why", "tiny", "ground")
    assert (ended.code, ended.out) == (1, "tiny does not depend on ground.\n")


def test_programs_get_json(site: Site) -> None:
    told = json.loads(site.good("why", "app", "tiny", "--json").out)
    assert (told["depends"], told["reverse"], told["more"]) == (True, False, True)
    assert told["paths"] == [
        [
            {
                "node": "app@1.0:build",
                "platform": "linux/amd64",
                "uses": "tiny@1.0:build",
                "uses_platform": "linux/amd64",
                "takes": [{"role": "base", "output": "config"}],
            }
        ]
    ]
    ended = site.run("why", "tiny", "app", "--json")
    assert ended.code == 1
    told = json.loads(ended.out)
    assert (told["depends"], told["reverse"], told["paths"]) == (False, True, [])


def test_a_range_that_is_not_locked_is_told(site: Site) -> None:
    site.edit("catalog/app/recipe.yaml", 'tiny, version: "1.0"', 'tiny, version: ">=1,<2"')
    ended = site.run("why", "app", "tiny")
    assert ended.code == 1
    assert "app@1.0:build [linux/amd64] asks for tiny, and that is not locked yet" in ended.out
    assert "`ssds lock`" in ended.out


def test_what_makes_no_question_is_refused(site: Site) -> None:
    check_error(site.run("why", "tiny:build", "tiny"), "E146", "a part of it")
    check_error(site.run("why", "app", "tinny"), "E032", 'Did you mean "tiny"?')
    check_error(site.run("why", "app:biuld", "tiny"), "there is no kind 'biuld'")
    check_error(site.run("why", "app", "tiny", "--platform", "linux/arm64"), "E038")


def test_other_recipes_may_be_broken(site: Site) -> None:
    site.write("catalog/broken/recipe.yaml", "name: [\n")
    assert site.good("why", "app", "debian-12").out
    site.write("catalog/ground/recipe.yaml", recipe("ground") + "oops: 1\n")
    check_error(site.run("why", "app", "tiny"), "catalog/ground/recipe.yaml")
