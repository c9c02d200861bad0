"""Releases written as a recipe of ours, and read again: the same releases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from full_workspace import FULL, MORE, write_neighbours
from hypothesis import given
from hypothesis import strategies as st

from ssds.core.errors import UsageError
from ssds.core.records import replace
from ssds.recipe.catalog import CatalogReading, read_catalog
from ssds.recipe.formats.neurocontainers import shell
from ssds.recipe.model import Release
from ssds.recipe.written.moved import moved
from ssds.recipe.written.steps import unfolded
from ssds.recipe.written.yaml_text import yaml_text
from ssds.recipe.yamlmarks import load

TEXTS = (
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cf")), max_size=12)
    | st.lists(
        st.sampled_from(["a", "  b", "", "#x", "- y", "k: v", "\tz", "{{ x }}", "'", '"', "\\"]),
        max_size=5,
    ).map("\n".join)
    | st.sampled_from(["yes", "1.5", "0x1f", "1e3", "~", "", " a ", "a: b", "%x", "@x", "=", "..."])
    | st.sampled_from(["a\u2029b\n", "a\u0085\nb"])
)
KEYS = st.text("abc-_. 1", min_size=1, max_size=6) | st.sampled_from(["yes", "1", "a b", "#"])
VALUES = st.recursive(
    TEXTS | st.integers(-(10**9), 10**9) | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4))
def test_what_is_written_is_read_again(value: dict[str, Any]) -> None:
    text = yaml_text(value)
    assert load(text.encode(), "x").data == value, text


DEPLOY = {"commands": ["full"], "paths": ["/opt/bin"], "environment": {"FULL_DATA": "/data"}}


def read(root: Path, recipe: object) -> CatalogReading:
    (root / "catalog/full/recipe.yaml").write_text(
        recipe if isinstance(recipe, str) else yaml.safe_dump(recipe, sort_keys=False)
    )
    reading = read_catalog(str(root))
    assert not reading.collector.failed, "\n".join(d.render() for d in reading.collector)
    return reading


def of_full(reading: CatalogReading) -> list[Release]:
    return [r for r in reading.catalog.releases.values() if r.id.name == "full"]


def bare(release: Release) -> Release:
    """Returns a release without the places of its steps, and what a recipe says of itself only."""
    targets = {
        platform: replace(
            target,
            steps=tuple(replace(step, address="") for step in target.steps),
            sources=dict(sorted(target.sources.items())),
            policy="",
            waivers=(),
        )
        for platform, target in release.targets.items()
    }
    metadata = {k: v for k, v in release.metadata.items() if k != "deploy"}
    return replace(release, targets=targets, metadata=metadata, channels=(), resources={})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_neighbours(tmp_path)
    return tmp_path


def test_every_field_of_every_step_and_test_survives(root: Path) -> None:
    before = read(root, {**FULL, **MORE, "deploy": DEPLOY})
    written = moved(of_full(before), before.catalog.bases, "suite.yaml").written
    assert {tree.path for tree in written.trees.values()} == {
        f"catalog/full/{name}" for name in ("files", "files/a", "icon.svg", "more.eb", "README.md")
    }
    text = written.text
    for name, tree in written.trees.items():  # they lie beside the recipe under other names here
        text = text.replace(f": {name}\n", f": {tree.path.removeprefix('catalog/full/')}\n")
        text = text.replace(f": {name},", f": {tree.path.removeprefix('catalog/full/')},")
        text = text.replace(f": {name}}}", f": {tree.path.removeprefix('catalog/full/')}}}")
    after = read(root, text)
    assert list(map(bare, of_full(after))) == list(map(bare, of_full(before)))


@pytest.mark.parametrize("by", ["version", "variant"])
def test_what_differs_by_version_or_variant_stands_there(root: Path, by: str) -> None:
    path = f"/opt/x{{{{ {by} }}}}/bin"
    before = read(root, {**FULL, "deploy": {"commands": ["full"], "paths": [path]}})
    text = moved(of_full(before), before.catalog.bases).written.text
    after = read(root, text.replace("icon-2.svg", "icon.svg"))  # that name is for their own icon
    offered = [t.deploy for r in of_full(before) for t in r.targets.values()]
    assert [t.deploy for r in of_full(after) for t in r.targets.values()] == offered
    assert len(set(map(str, offered))) == 2


@pytest.mark.parametrize(
    ("script", "lines"),
    [
        ("a     && b && c", "a \\\n&& b \\\n&& c"),
        ("a && echo ' && ' && b", "a \\\n&& echo ' && ' \\\n&& b"),
        ('a && echo "it\\" && " && b', 'a \\\n&& echo "it\\" && " \\\n&& b'),
        ("a && b # c && d", "a && b # c && d"),
        ("cat <<E && b", "cat <<E && b"),
        ("a && echo 'open && b", "a && echo 'open && b"),
        ("a&&b", "a&&b"),
    ],
)
def test_joined_commands_stand_on_lines_of_their_own(script: str, lines: str) -> None:
    assert unfolded(script) == lines
    assert shell.folded(lines.replace("\\\n", "").split("\n")).split() == script.split()


def test_bases_that_no_recipe_can_name_are_refused(root: Path) -> None:
    reading = read(root, FULL)
    first, *others = of_full(reading)
    moved_base = {p: replace(t, base_recipe=None, base="d") for p, t in first.targets.items()}
    with pytest.raises(UsageError, match="bases"):
        moved([replace(first, targets=moved_base), *others], reading.catalog.bases)


def test_releases_without_a_common_set_of_platforms_are_refused(root: Path) -> None:
    reading = read(root, FULL)
    first, *others = of_full(reading)
    less = dict(list(first.targets.items())[:1])
    with pytest.raises(UsageError, match="platform"):
        moved([replace(first, targets=less), *others], reading.catalog.bases)
