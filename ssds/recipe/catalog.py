"""Reads a whole catalog folder: every file, every problem, one immutable value.

A recipe that is wrong hides nothing in the others: all diagnostics of all files are collected.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Protocol

from ssds.core.diagnostics import Collector, Span
from ssds.core.model import ReleaseName
from ssds.core.records import dataclass, replace
from ssds.recipe.codes import diagnostic
from ssds.recipe.formats.scope import Report
from ssds.recipe.formats.ssds import Edge, Reading, read_recipe
from ssds.recipe.local import read_tree
from ssds.recipe.model import Base, Catalog, Policy, Release
from ssds.recipe.rules import check_releases
from ssds.recipe.schema import schema
from ssds.recipe.shared import Shared, read_shared
from ssds.recipe.steps import LocalTree
from ssds.recipe.yamlmarks import Document, Spans, lies_in, load, read_file

RECIPE_FILE = "recipe.yaml"
RESERVED_FOLDERS = frozenset({"sites", "advisories"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogReading:
    """What a catalog folder gave.

    Attributes:
        catalog: the releases without errors, and the shared parts.
        spans: (path, address) → place, read when asked.
        collector: every problem of every file.
        edges: recipe → recipe, with their places (C16).
    """

    catalog: Catalog
    spans: Spans
    collector: Collector
    edges: tuple[Edge, ...] = ()


class Documents(Protocol):
    """Remembers the checked value of recipes by the sha256 of their bytes."""

    def get(self, digest: bytes, /) -> Any:
        """Returns the value, or None where it is not known."""

    def add(self, digest: bytes, value: Any, /) -> None:
        """Keeps the value of a recipe that had no problem."""


def recipe_folders(root: str, catalog: str, collector: Collector) -> list[str]:
    """Returns the sorted names of the folders that hold recipes; warns of those without one."""
    top = os.path.join(root, catalog)
    try:
        with os.scandir(top) as entries:
            names = sorted(
                e.name
                for e in entries
                if not e.name.startswith(".") and e.name not in RESERVED_FOLDERS and e.is_dir()
            )
    except OSError as error:
        facts = (("folder", catalog), ("reason", os.strerror(error.errno or 0)))
        collector.add(diagnostic("K010", Span(path=catalog), facts=facts))
        return []
    return _with_recipe(top, catalog, names, collector)


def _with_recipe(top: str, catalog: str, names: Iterable[str], collector: Collector) -> list[str]:
    found = []
    for name in names:
        path = os.path.join(top, name, RECIPE_FILE)
        shown = f"{catalog}/{name}/{RECIPE_FILE}"
        if not os.path.lexists(path):
            collector.add(diagnostic("R062", Span(path=f"{catalog}/{name}")))
        elif not _inside(top, os.path.join(top, name), path):
            collector.add(diagnostic("R072", Span(path=shown)))
        else:
            found.append(name)
    return found


def _inside(home: str, folder: str, path: str) -> bool:
    """Whether a recipe file lies in the catalog ``home`` whatever links there are."""
    if not os.path.islink(folder) and not os.path.islink(path):
        return True
    return lies_in(home, path)


def read_catalog(
    root: str,
    *,
    catalog: str = "catalog",
    collector: Collector | None = None,
    only: Collection[str] | None = None,
    documents: Documents | None = None,
) -> CatalogReading:
    """Returns everything that the catalog folder says.

    Args:
        root: the workspace's folder.
        catalog: the catalog's folder below it.
        collector: takes the problems; a new one stands in the reading otherwise. Nothing is
            raised: call ``reading.collector.raise_if_failed()``.
        only: read these recipes and those that they are built on, and nothing of the others;
            what sites select is then not checked.
        documents: gives recipes that were read and checked before.
    """
    collector = Collector() if collector is None else collector
    spans = Spans(root)
    shared = read_shared(root, catalog, spans, collector)
    reader = RecipeReader(root, spans, shared, collector, documents)
    releases, edges, bases, broken = _read_recipes(reader, root, catalog, only, collector)
    whole = shared if only is None else replace(shared, sites={})
    check_releases(releases, edges, whole, broken, spans, collector, catalog)
    chosen: dict[ReleaseName, Release] = {}
    for release in releases:
        chosen.setdefault(release.id, release)
    return CatalogReading(
        catalog=Catalog(
            releases=chosen,
            bases={**bases, **(shared.bases or {})},
            policies={"default": Policy(name="default"), **(shared.policies or {})},
            channels=shared.channels or {},
            sites=shared.sites,
            advisories=shared.advisories or {},
            salt=shared.salt,
        ),
        spans=spans,
        collector=collector,
        edges=tuple(edges),
    )


def _read_recipes(
    reader: RecipeReader,
    root: str,
    catalog: str,
    only: Collection[str] | None,
    collector: Collector,
) -> tuple[list[Release], list[Edge], dict[str, Base], set[str]]:
    """Returns releases, edges and images of the recipes, and the names of those with errors."""
    releases: list[Release] = []
    bases: dict[str, Base] = {}
    edges: list[Edge] = []
    broken: set[str] = set()
    if only is None:
        waiting = recipe_folders(root, catalog, collector)[::-1]
    else:
        waiting = _named_folders(root, catalog, only, collector)[::-1]
    seen = set(waiting)
    while waiting:
        name = waiting.pop()
        reading = reader.read(f"{catalog}/{name}", name)
        if reading is None:
            broken.add(name)
            continue
        releases += reading.releases
        edges += reading.edges
        bases.update((base.name, base) for base in reading.bases)
        below = {edge.to.name for edge in reading.edges} - seen if only is not None else set()
        if below:
            waiting += _named_folders(root, catalog, below, collector)
            seen |= below
    return releases, edges, bases, broken


def _named_folders(
    root: str, catalog: str, names: Iterable[str], collector: Collector
) -> list[str]:
    """Returns those of ``names`` that are folders with a recipe, sorted."""
    top = os.path.join(root, catalog)
    folders = [
        name
        for name in sorted(names)
        if not name.startswith(".")
        and name not in RESERVED_FOLDERS
        and os.path.isdir(os.path.join(top, name))
    ]
    return _with_recipe(top, catalog, folders, collector)


class RecipeReader:
    """Reads single recipes of one workspace; local files are hashed once."""

    def __init__(
        self,
        root: str,
        spans: Spans,
        shared: Shared,
        collector: Collector,
        documents: Documents | None = None,
    ) -> None:
        self._root = root
        self._documents = documents
        self._spans = spans
        self._shared = shared
        self._collector = collector
        self._trees: dict[tuple[str, str], LocalTree] = {}
        self._schema = schema("recipe", "R")

    def read(self, folder: str, name: str) -> Reading | None:
        """Returns the releases of ``folder/recipe.yaml``; None when it has errors."""
        path = f"{folder}/{RECIPE_FILE}"
        own = Collector()
        data = read_file(os.path.join(self._root, path), path, own)
        reading = None if data is None else self._read(data, path, folder, name, own)
        self._collector.extend(own)
        return None if own.failed else reading

    def _read(
        self, data: bytes, path: str, folder: str, name: str, collector: Collector
    ) -> Reading | None:
        document, value = self._document(data, path, collector)
        if value is None:
            return None
        report = Report(document, collector, whole=value is document.data)
        if value["name"] != name:
            report("R075", ("name",), ("name", value["name"]), ("folder", name))
        reading = read_recipe(
            value,
            report,
            folder=folder,
            shared=self._shared,
            trees=self._tree,
        )
        if collector.failed:
            self._spans.keep(document)
        return reading

    def _document(self, data: bytes, path: str, collector: Collector) -> tuple[Document, Any]:
        """Returns the document and its checked value; the value is None for an unusable one."""
        digest = b"" if self._documents is None else hashlib.sha256(data).digest()
        known = None if self._documents is None else self._documents.get(digest)
        if known is not None:
            return Document(data=known, path=path, text=data), known
        document = load(data, path, collector)
        if not document.usable:
            return document, None
        if not data.isascii():
            _check_normal(data, path, collector)
        value = self._schema.check(document, collector)
        if self._documents is not None and value is document.data and not len(collector):
            self._documents.add(digest, value)
        return document, value

    def _tree(self, folder: str, name: str) -> LocalTree:
        key = (folder, name)
        if key not in self._trees:
            self._trees[key] = read_tree(self._root, folder, name)
        return self._trees[key]


def _check_normal(data: bytes, path: str, collector: Collector) -> None:
    """Warns of the first line whose text is not in Unicode's normal form C."""
    lines: Sequence[str] = data.decode("utf-8").split("\n")
    for number, line in enumerate(lines, 1):
        if not line.isascii() and not unicodedata.is_normalized("NFC", line):
            collector.add(diagnostic("R056", Span(path=path, line=number, column=1)))
            return
