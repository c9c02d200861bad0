"""Bases that are images of registries, named in bases.yaml or by a recipe itself."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from ssds.core.model import NodeId
from ssds.core.pins import SharedPins
from ssds.graph.compile import compile_graph
from ssds.recipe.catalog import CatalogReading, read_catalog

RECIPE = """\
name: tool
version: "1"
variables: {release: "24.04"}
summary: s
description: d
homepage: https://example.org/
licenses: [MIT]
maintainers: [{name: A}]
base: BASE
build: [{run: "true"}]
tests: [{name: t, run: "true"}]
deploy: {commands: [sh]}
"""


def read(root: Path, base: str, bases: str = "{}\n") -> CatalogReading:
    (root / "catalog/tool").mkdir(parents=True, exist_ok=True)
    (root / "catalog/tool/recipe.yaml").write_text(RECIPE.replace("BASE", base))
    (root / "catalog/bases.yaml").write_text(bases)
    return read_catalog(str(root))


def base_of(reading: CatalogReading) -> str:
    reading.collector.raise_if_failed()
    (release,) = reading.catalog.releases.values()
    (target,) = release.targets.values()
    return target.base


def test_a_base_may_be_an_image_under_a_short_name(tmp_path: Path) -> None:
    reading = read(tmp_path, "noble", "noble: {image: 'ubuntu:24.04'}\n")
    assert base_of(reading) == "noble"
    assert reading.catalog.bases["noble"].image == "docker.io/library/ubuntu:24.04"


def test_a_recipe_may_name_an_image_itself(tmp_path: Path) -> None:
    reading = read(tmp_path, "{image: 'ubuntu:{{ release }}'}")
    name = "docker.io/library/ubuntu:24.04"
    assert base_of(reading) == name
    assert reading.catalog.bases[name].image == name


def test_an_image_that_is_not_locked_has_a_key_over_its_reference(tmp_path: Path) -> None:
    reading = read(tmp_path, "{image: 'ubuntu:24.04'}")
    graph = compile_graph(reading.catalog, SharedPins(), {}, dt.date(2026, 1, 1))
    name = "docker.io/library/ubuntu:24.04"
    node = graph.nodes[NodeId(name, "base", "linux/amd64")]
    assert node.unpinned == (f"base {name}",)
    assert dict(node.slice) == {"image": name}


BAD = {
    "two": ("x", "x: {suite: a, platforms: [linux/amd64], image: ubuntu}\n", "B013", "bases", 1),
    "none": ("x", "x: {platforms: [linux/amd64]}\n", "B002", "bases", 1),
    "no platforms": ("x", "x: {suite: a}\n", "B002", "bases", 1),
    "include": ("x", "x: {image: ubuntu, include: [a]}\n", "B002", "bases", 1),
    "no image": ("x", "x: {image: 'http://ubuntu'}\n", "B014", "bases", 1),
    "recipe and image": (
        "{image: a, recipe: b, version: '1'}", "{}\n", "R096", "recipe", 9,
    ),
    "neither": ("{}", "{}\n", "R096", "recipe", 9),
    "no image in recipe": ("{image: 'Ubuntu:1'}", "{}\n", "R095", "recipe", 9),
    "unknown variable": ("{image: 'ubuntu:{{ no }}'}", "{}\n", "R036", "recipe", 9),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_image_is_told_with_its_place(case: str, tmp_path: Path) -> None:
    base, bases, code, file, line = BAD[case]
    found = [d for d in read(tmp_path, base, bases).collector.sorted() if d.code == code]
    assert [(file in d.span.path, d.span.line) for d in found] == [(True, line)]
