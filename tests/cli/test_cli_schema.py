"""Editors complete and check by the schemas: every field is described, and every file has one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from e2e_workspace import Site, check_error

from ssds.cli.verb_schema import FILES
from ssds.recipe.schema import schema_bytes

RECIPE = json.loads(schema_bytes("recipe"))


def properties(part: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Gives every property of a schema with its place."""
    if isinstance(part, dict):
        for name, inner in part.get("properties", {}).items():
            yield f"{path}/{name}", inner
        for key, inner in part.items():
            yield from properties(inner, f"{path}/{key}")
    elif isinstance(part, list):
        for index, inner in enumerate(part):
            yield from properties(inner, f"{path}/{index}")


def described(inner: dict[str, Any]) -> bool:
    while "description" not in inner and "$ref" in inner:
        target: Any = RECIPE
        for key in inner["$ref"].removeprefix("#/").split("/"):
            target = target[key]
        inner = target
    return bool(inner.get("description"))


def test_every_field_of_a_recipe_is_described() -> None:
    found = dict(properties(RECIPE))
    assert len(found) > 150
    assert [place for place, inner in found.items() if not described(inner)] == []


def test_a_field_without_description_is_found() -> None:
    bare = {"properties": {"a": {"$ref": "#/$defs/names"}, "b": {"type": "string"}}}
    assert [p for p, inner in properties(bare) if not described(inner)][-1:] == ["/b"]


@pytest.mark.parametrize("name", FILES)
def test_a_schema_is_printed_as_it_is(name: str, plain: Site) -> None:
    assert json.loads(plain.good("schema", name).out) == json.loads(schema_bytes(name))


def test_a_new_recipe_names_the_schema_that_stands_there(plain: Site) -> None:
    plain.good("new", "seqtk", "--from", "apt:seqtk", "--version", "1.3")
    recipe = plain.workspace / "catalog/seqtk/recipe.yaml"
    line = recipe.read_text().partition("\n")[0]
    assert line.startswith("# yaml-language-server: $schema=")
    schema = recipe.parent / line.partition("=")[2]
    assert schema.read_bytes() == schema_bytes("recipe")
    assert "wrote" not in plain.good("schema", "--write").out  # they are as they should be
    schema.write_text("{}")
    assert "wrote .ssds/schemas/recipe.schema.json" in plain.good("schema", "--write").out


def test_what_there_is_is_listed_and_a_wrong_name_told(plain: Site) -> None:
    assert "recipe      catalog/*/recipe.yaml" in plain.good("schema").out
    check_error(plain.run("schema", "recipes"), 'Did you mean "recipe"?')
