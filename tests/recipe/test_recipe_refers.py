"""Which recipes name which others: more than there are is allowed, fewer never."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e_workspace import ROOT

from ssds.recipe.catalog import read_catalog
from ssds.recipe.homes import homes
from ssds.recipe.refers import References


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    return tmp_path / "catalog"


def write(catalog: Path, name: str, text: str) -> None:
    (catalog / name).mkdir(parents=True)
    (catalog / name / "recipe.yaml").write_text(text)


def of(catalog: Path, name: str) -> frozenset[str] | None:
    return References(str(catalog.parent), homes("catalog", {})).of(name)


def test_the_starter_catalogs_edges_are_all_seen() -> None:
    references = References(str(ROOT), homes("catalog", {}))
    edges = read_catalog(str(ROOT)).edges
    assert edges
    for edge in edges:
        named = references.of(edge.release.name)
        assert named is not None
        assert edge.to.name in named
    assert references.above("samtools") == {"samtools", "variant-calling"}
    assert references.below(frozenset({"variant-calling"})) == {
        "variant-calling",
        "samtools",
        "bwa",
    }


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("name: x\n", set()),
        ("# recipe: other\nname: x\n", set()),
        ("base: {recipe: other, version: '1'}\n", {"other"}),
        ("build:\n  - copy: {\"recipe\": other}\n  - copy: {'recipe' : more}\n", {"other", "more"}),
        ('base: {"rec\\u0069pe": other}\n', {"other"}),
        ("a: {b: [{c: {recipe: deep}}]}\n", {"deep"}),
        ("recipe: [a]\n", set()),
    ],
)
def test_a_reference_is_seen_however_it_is_written(
    text: str, named: set[str], catalog: Path
) -> None:
    write(catalog, "x", text)
    assert of(catalog, "x") == named


@pytest.mark.parametrize(
    "text", ["base: {recipe: '{{ other }}'}\n", "recipe: [\n", "recipe: &a b\n"]
)
def test_what_cannot_be_said_is_not_guessed(text: str, catalog: Path) -> None:
    write(catalog, "x", text)
    write(catalog, "y", "name: y\n")
    references = References(str(catalog.parent), homes("catalog", {}))
    assert references.of("x") is None
    assert references.above("y") is None
    assert references.below(frozenset({"x", "y"})) is None
    assert references.below(frozenset({"y"})) == {"y"}


def test_users_are_found_however_far(catalog: Path) -> None:
    for name, below in (("a", ""), ("b", "a"), ("c", "b"), ("d", "d"), ("e", "gone")):
        write(catalog, name, f"base: {{recipe: {below}}}\n" if below else "name: a\n")
    references = References(str(catalog.parent), homes("catalog", {}))
    assert references.above("a") == {"a", "b", "c"}
    assert references.below(frozenset({"c"})) == {"a", "b", "c"}
    assert references.above("d") == {"d"}
    assert references.below(frozenset({"e"})) == {"e"}
