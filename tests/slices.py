"""What every kind sees of a workspace, and which kinds see something else after an edit."""

from __future__ import annotations

import copy
import datetime as dt
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from full_workspace import answered

from ssds.core.digest import sha256_of
from ssds.graph.compile import Graph, compile_graph
from ssds.recipe.address import parse_address
from ssds.recipe.catalog import read_catalog

Sights = dict[str, tuple[str, object]]
WHEN = dt.date(2023, 11, 14)


def fields_of(
    part: Any, document: Any, path: str = "", seen: tuple[str, ...] = ()
) -> Iterator[str]:
    """Gives the address of every field of a schema; ``*`` stands for a free key."""
    if not isinstance(part, dict):
        return
    if "$ref" in part and part["$ref"] not in seen:
        target = document
        for step in part["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        yield from fields_of(target, document, path, (*seen, part["$ref"]))
    for word in ("oneOf", "anyOf", "allOf"):
        for choice in part.get(word, ()):
            yield from fields_of(choice, document, path, seen)
    for name, inner in part.get("properties", {}).items():
        here = f"{path}.{name}".lstrip(".")
        yield here
        yield from fields_of(inner, document, here, seen)
    if isinstance(part.get("additionalProperties"), dict):
        yield f"{path}.*"
        yield from fields_of(part["additionalProperties"], document, f"{path}.*", seen)
    yield from fields_of(part.get("items"), document, f"{path}[]", seen)


FOLLOWED = {"$ref", "oneOf", "anyOf", "allOf", "properties", "additionalProperties", "items"}
WITHOUT_FIELDS = {
    "$defs", "$id", "$schema", "title", "description", "type", "pattern", "enum", "const",
    "required", "default", "examples", "propertyNames", "contains", "minContains", "maxContains",
    "minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "minimum", "maximum",
    "minProperties", "maxProperties", "dependentRequired", "format", "deprecated",
}  # fmt: skip


def unknown_words(part: Any, where: str = "") -> set[str]:
    """Gives the words of a schema behind which ``fields_of`` could miss a field."""
    if not isinstance(part, dict):
        return set()
    found = {
        f"{where}/{word}"
        for word in part.keys() - FOLLOWED - WITHOUT_FIELDS
        if not word.startswith("x-")
    }
    closed = part.get("additionalProperties")
    if "properties" in part and closed is not False and not isinstance(closed, dict):
        found.add(f"{where} is open")
    for word in ("properties", "$defs"):
        for name, inner in part.get(word, {}).items():
            found |= unknown_words(inner, f"{where}/{word}/{name}")
    for word in ("oneOf", "anyOf", "allOf"):
        for number, inner in enumerate(part.get(word, ())):
            found |= unknown_words(inner, f"{where}/{word}/{number}")
    for word in ("items", "additionalProperties"):
        found |= unknown_words(part.get(word), f"{where}/{word}")
    return found


def put(holder: Any, address: str, value: Any) -> None:
    """Sets what stands at an address, making mappings on the way."""
    *path, last = parse_address(address)
    for part in path:
        holder = holder.setdefault(part, {}) if isinstance(holder, dict) else holder[part]
    holder[last] = copy.deepcopy(value)


def has(holder: Any, address: str) -> bool:
    """Whether something stands at an address."""
    for part in parse_address(address):
        try:
            holder = holder[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def sights(graph: Graph) -> Sights:
    """Gives for each node its kind and what it sees itself.

    That is its pre-image, as the product makes it, with the name of each input's maker in place of
    the digest; and its outputs, where a pin says them. So what comes after a node is not counted.
    """
    found: Sights = {}
    for node in graph.nodes.values():
        inputs = {
            i.role: sha256_of(f"{i.node.label}#{i.output}".encode()) if i.node else i.digest
            for i in node.inputs
        }
        action = node.resolve({r: d for r, d in inputs.items() if d}, graph.salt)
        gates = sorted(i.role for i in node.inputs if i.gate)
        fixed = {name: str(d) for name, d in node.fixed.items()}
        assert node.id.label not in found
        found[node.id.label] = (node.kind, (action.preimage_bytes, fixed, gates))
    return found


def graph_of(root: Path) -> Graph:
    """Gives the graph of a workspace's catalog, every request answered anew."""
    reading = read_catalog(str(root))
    reading.collector.raise_if_failed()
    shared, pins = answered(reading.catalog)
    graph = compile_graph(reading.catalog, shared, pins, WHEN)
    assert not any(node.unpinned for node in graph.nodes.values())
    return graph


def seen_by_kinds(root: Path, recipe: Mapping[str, Any] | str) -> Sights:
    """Gives what every kind sees when the full recipe is this document, or this text."""
    if isinstance(recipe, str):
        text, named = recipe, yaml.safe_load(recipe)["name"]
    else:
        text = yaml.dump(dict(recipe), Dumper=yaml.CSafeDumper, sort_keys=False)
        named = recipe["name"]
    folder = root / "catalog" / str(named)
    if not folder.exists():
        shutil.copytree(root / "catalog/full", folder)
    (folder / "recipe.yaml").write_bytes(text.encode())
    try:
        return sights(graph_of(root))
    finally:
        os.unlink(folder / "recipe.yaml")
        if folder.name != "full":
            shutil.rmtree(folder)


def differing(old: Sights, new: Sights) -> dict[str, set[str]]:
    """Gives the kinds that see something else, and the releases in which they do."""
    kinds: dict[str, set[str]] = {}
    for name in {*old, *new}:
        if old.get(name) != new.get(name):
            kinds.setdefault((new.get(name) or old[name])[0], set()).add(name.partition(":")[0])
    return kinds
