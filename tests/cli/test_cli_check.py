"""``ssds check``: safe changes, SARIF, and what is allowed but unwise."""

from __future__ import annotations

import json

import pytest
from e2e_workspace import Site, assert_no_traceback
from neurocontainers_checkout import recipe, write_checkout

from ssds.core.digest import sha256_of

CODE = b"an archive"
RECIPE = "catalog/tiny/recipe.yaml"


def with_source(site: Site, source: str) -> None:
    """Gives ``tiny`` a source without a checksum, which the settings have a mirror of."""
    mirror = site.workspace / "mirror"
    mirror.mkdir()
    (mirror / "code.tar").write_bytes(CODE)
    site.edit(RECIPE, "build:\n", f"sources:\n{source}build:\n")
    site.edit(RECIPE, "  - run: |", "  - copy: {source: code, to: /c/}\n  - run: |")
    settings = site.workspace / "ssds.yaml"
    text = settings.read_text() if settings.exists() else ""
    settings.write_text(f"{text}upstream: {{'https://example.org/': 'file://{mirror}/'}}\n")


@pytest.mark.parametrize(
    ("source", "mended"),
    [
        (
            "  code:\n    url: https://example.org/code.tar # ours\n",
            "  code:\n    url: https://example.org/code.tar # ours\n    sha256: SUM\n",
        ),
        (
            "  code: {url: https://example.org/code.tar}\n",
            "  code: {sha256: SUM, url: https://example.org/code.tar}\n",
        ),
        (
            "  code:\n    url: >-\n      https://example.org/code.tar\n",
            "  code:\n    sha256: SUM\n    url: >-\n      https://example.org/code.tar\n",
        ),
    ],
)
def test_a_checksum_is_added_once_the_lock_has_it(site: Site, source: str, mended: str) -> None:
    with_source(site, source)
    first = site.good("check", "--fix")
    assert "warning[R016]" in first.err
    assert "fixed" not in first.err  # nobody has seen the bytes yet
    digest = sha256_of(CODE)
    assert f"source code is {digest} from now on" in site.good("lock", "tiny").err
    assert "1 finding can be mended by: ssds check --fix" in site.good("check").err
    fixed = site.good("check", "--fix")
    assert f"fixed {RECIPE}:" in fixed.err
    assert mended.replace("SUM", f'"{digest.hex}"') in (site.workspace / RECIPE).read_text()
    assert "R016" not in site.good("check").err
    site.good("lock", "tiny")
    assert site.good("lock", "--check", "tiny").code == 0


def test_the_spelling_of_a_licence_is_mended_and_nothing_else(plain: Site) -> None:
    plain.edit(RECIPE, "licenses: [MIT]", "licenses: [mit, 'apache-2.0'] # apache-2.0")
    before = (plain.workspace / RECIPE).read_text()
    assert plain.run("check").code == 1
    told = json.loads(plain.good("check", "--fix", "--json").out)
    assert [d["code"] for d in told["fixed"]] == ["R013", "R013"]
    expected = before.replace("[mit, 'apache-2.0'] #", "[MIT, 'Apache-2.0'] #")
    assert (plain.workspace / RECIPE).read_text() == expected


def test_recipes_of_a_checkout_are_mended_where_they_are(plain: Site) -> None:
    text = recipe("- run: [make]").replace("license: MIT", "license: mit")
    theirs = write_checkout(plain.folder / "theirs", text)
    settings = plain.workspace / "ssds.yaml"
    own = settings.read_text().replace("catalog: catalog\n", "")
    settings.write_text(f"{own}catalog: {{neurocontainers: {theirs}}}\n")
    ended = plain.good("check", "--fix")
    assert "small/build.yaml:" in ended.err
    assert "[N052]" in ended.err
    assert "license: MIT" in (theirs / "recipes/small/build.yaml").read_text()
    assert "N052" not in plain.good("check").err


def test_sarif_names_place_rule_and_fix(plain: Site) -> None:
    plain.edit(RECIPE, "licenses: [MIT]", "licenses: [mit]")
    ended = plain.run("check", "--sarif")
    assert ended.code == 1
    assert_no_traceback(ended)
    told = json.loads(ended.out)
    assert told["version"] == "2.1.0"
    (run,) = told["runs"]
    rules = run["tool"]["driver"]["rules"]
    (result,) = [r for r in run["results"] if r["ruleId"] == "R013"]
    assert rules[result["ruleIndex"]]["id"] == "R013"
    assert result["level"] == "error"
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": RECIPE, "uriBaseId": "SRCROOT"}
    line = (plain.workspace / RECIPE).read_text().split("\n")[place["region"]["startLine"] - 1]
    assert line[place["region"]["startColumn"] - 1 :].startswith("mit")
    (change,) = result["fixes"][0]["artifactChanges"]
    assert change["replacements"][0]["insertedContent"] == {"text": "MIT"}


def test_sarif_of_a_clean_catalog_has_a_run_without_results(site: Site) -> None:
    told = json.loads(site.good("check", "--sarif").out)
    assert told["runs"][0]["results"] == []


def test_json_and_sarif_exclude_each_other(plain: Site) -> None:
    ended = plain.run("check", "--json", "--sarif")
    assert ended.code == 1
    assert "exclude each other" in ended.err


def test_many_findings_of_one_sort_are_counted(plain: Site) -> None:
    for number in range(12):
        plain.recipe(f"tool{number}", f"deploy:\n  commands: [tool{number}]\n")
    ended = plain.good("check")
    assert ended.err.count("note[R085]: recipe offers no command\n  -->") == 3
    assert "9 more: note[R085]: recipe offers no command\n12 notes\n" in ended.err
    assert "all of them: ssds check --all" in ended.text
    for every in ("--all", "--strict"):
        ended = plain.good("check", every)
        assert ended.err.count("note[R085]") == 12
        assert "more:" not in ended.text
