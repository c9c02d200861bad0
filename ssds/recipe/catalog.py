"""Reads a whole catalog folder: every file, every problem, one immutable value.

A recipe that is wrong hides nothing in the others: all diagnostics of all files are collected.
"""

from __future__ import annotations

import functools
import hashlib
import os
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from ssds.core.diagnostics import Collector, Diagnostic, Severity, Span
from ssds.core.model import ReleaseName
from ssds.core.records import dataclass, field, replace
from ssds.recipe.codes import diagnostic
from ssds.recipe.formats.scope import Report, Trees
from ssds.recipe.formats.ssds import Edge, Reading, read_recipe
from ssds.recipe.homes import FORMATS, Home, folders_with_recipes, homes, recipe_folders
from ssds.recipe.local import read_tree
from ssds.recipe.model import Base, Catalog, Policy, Release
from ssds.recipe.rules import check_releases
from ssds.recipe.schema import schema
from ssds.recipe.shared import Shared, read_shared
from ssds.recipe.yamlmarks import Document, Spans, load, read_file

if TYPE_CHECKING:
    from ssds.recipe.data_model import DataSets

RECIPE_FILE = FORMATS["ssds"].file
DATA_FOLDER = "data"
RESERVED_FOLDERS = FORMATS["ssds"].reserved


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogReading:
    """What a catalog folder gave.

    Attributes:
        catalog: the releases without errors, and the shared parts.
        spans: (path, address) → place, read when asked.
        collector: every problem of every file.
        edges: recipe → recipe, with their places (C16).
        looked: recipe → those whose versions decide what it is built on, there or not.
        site_errors: a site's file → what is wrong with it. Its site is not in the catalog, and
            nothing but its own deployment stops.
    """

    catalog: Catalog
    spans: Spans
    collector: Collector
    edges: tuple[Edge, ...] = ()
    looked: Mapping[str, frozenset[str]] = field(default_factory=dict)
    site_errors: Mapping[str, tuple[Diagnostic, ...]] = field(default_factory=dict)

    def raise_if_failed(self) -> None:
        """Raises InputError with every problem, where one is an error of more than a site."""
        errors = sum(d.severity is Severity.ERROR for d in self.collector.sorted())
        if errors > sum(map(len, self.site_errors.values())):
            self.collector.raise_if_failed()


class Documents(Protocol):
    """Remembers the checked value of recipes by the sha256 of their bytes."""

    def get(self, digest: bytes, /) -> Any:
        """Returns the value, or None where it is not known."""

    def add(self, digest: bytes, value: Any, /) -> None:
        """Keeps the value of a recipe that had no problem."""


def read_catalog(
    root: str,
    *,
    catalog: str = "catalog",
    checkouts: Mapping[str, str] = MappingProxyType({}),
    collector: Collector | None = None,
    only: Collection[str] | None = None,
    documents: Documents | None = None,
) -> CatalogReading:
    """Returns everything that the catalog folder says.

    Args:
        root: the workspace's folder.
        catalog: the catalog's folder below it.
        checkouts: format → the checkout of recipes of that format.
        collector: takes the problems; a new one stands in the reading otherwise. Nothing is
            raised: call ``reading.collector.raise_if_failed()``.
        only: read these recipes and those that they are built on, and nothing of the others;
            what sites select is then not checked.
        documents: gives recipes that were read and checked before.
    """
    collector = Collector() if collector is None else collector
    spans = Spans(root)
    shared = read_shared(root, catalog, spans, collector)
    readers = _Readers(root, spans, shared, collector, documents)
    places = _places(root, homes(catalog, checkouts), only, collector)
    releases, edges, bases, broken, looked = _read_recipes(readers, places)
    whole = shared if only is None else replace(shared, sites={})
    data: DataSets | None = None
    if only is None and has_data(root, catalog):
        data = _data_sets(root, catalog, (releases, broken), spans, collector)
    check_releases(releases, edges, whole, data, broken, spans, collector, catalog)
    if shared.debts and only is None:
        from ssds.recipe.debts import check_debts  # few catalogs owe anything

        check_debts(shared.debts, releases, places.known, broken, spans, collector, catalog)
    site_errors = _site_errors(collector, catalog)
    sound = {
        n: s for n, s in shared.sites.items() if f"{catalog}/sites/{n}.yaml" not in site_errors
    }
    chosen: dict[ReleaseName, Release] = {}
    for release in releases:
        chosen.setdefault(release.id, release)
    return CatalogReading(
        catalog=Catalog(
            releases=chosen,
            bases={**bases, **(shared.bases or {})},
            policies={"default": Policy(name="default"), **(shared.policies or {})},
            channels=shared.channels or {},
            sites=sound,
            advisories=shared.advisories or {},
            data=data.known if data else {},
            debts=shared.debts,
            salt=shared.salt,
        ),
        spans=spans,
        collector=collector,
        edges=tuple(edges),
        looked=looked,
        site_errors=site_errors,
    )


def _site_errors(collector: Collector, catalog: str) -> dict[str, tuple[Diagnostic, ...]]:
    found: dict[str, list[Diagnostic]] = {}
    for problem in collector.sorted():
        path = problem.span.path
        if problem.severity is Severity.ERROR and path.startswith(f"{catalog}/sites/"):
            found.setdefault(path, []).append(problem)
    return {path: tuple(problems) for path, problems in found.items()}


def has_data(root: str, catalog: str) -> bool:
    """Whether a catalog has a folder of reference data sets."""
    return os.path.isdir(os.path.join(root, catalog, DATA_FOLDER))


def _data_sets(
    root: str,
    catalog: str,
    recipes: tuple[list[Release], set[str]],
    spans: Spans,
    collector: Collector,
) -> DataSets:
    """Returns the reference data sets; the reader is imported only where there are any."""
    from ssds.recipe import data

    sets = data.read_data_sets(root, catalog, spans, collector)
    data.check_data_sets(sets.known, *recipes, spans, collector)
    return sets


class _Places:
    """Where recipes are: name → home, and those still to be read."""

    def __init__(
        self, root: str, found: tuple[Home, ...], collector: Collector, *, part: bool
    ) -> None:
        self._root = root
        self._homes = found
        self._collector = collector
        self._part = part
        self.known: dict[str, Home] = {}
        self.waiting: list[str] = []

    def all(self) -> None:
        """Adds every recipe."""
        for home in self._homes:
            folder = os.path.join(self._root, home.folder)
            if home.format == "ssds" and len(self._homes) > 1 and not os.path.isdir(folder):
                continue  # the checkout is the whole catalog
            self._add(home, recipe_folders(self._root, home, self._collector))

    def named(self, names: Iterable[str]) -> None:
        """Adds the recipes that are called so, where a part of the catalog is read."""
        wanted = [
            name
            for name in sorted(names)
            if self._part and name not in self.known and not name.startswith(".")
        ]
        for home in self._homes:
            here = [
                name
                for name in wanted
                if name not in home.reserved
                and os.path.isdir(os.path.join(self._root, home.folder, name))
            ]
            self._add(home, folders_with_recipes(self._root, home, here, self._collector))

    def _add(self, home: Home, names: list[str]) -> None:
        for name in names:
            if name in self.known:
                facts = (("recipe", name), ("also", self.known[name].path(name)))
                self._collector.add(diagnostic("K012", Span(path=home.path(name)), facts=facts))
                continue
            self.known[name] = home
        self.waiting += [name for name in reversed(names) if self.known[name] is home]


def _places(
    root: str, found: tuple[Home, ...], only: Collection[str] | None, collector: Collector
) -> _Places:
    places = _Places(root, found, collector, part=only is not None)
    if only is None:
        places.all()
    else:
        places.named(only)
    return places


def _read_recipes(
    readers: _Readers, places: _Places
) -> tuple[list[Release], list[Edge], dict[str, Base], set[str], dict[str, frozenset[str]]]:
    """Returns releases, edges, images, the names of those with errors, and who looked at whom."""
    releases: list[Release] = []
    bases: dict[str, Base] = {}
    edges: list[Edge] = []
    broken: set[str] = set()
    looked: dict[str, frozenset[str]] = {}
    while places.waiting:
        name = places.waiting.pop()
        home = places.known[name]
        reading = readers.of(home).read(f"{home.folder}/{name}", name)
        if reading is None:
            broken.add(name)
            continue
        releases += reading.releases
        edges += reading.edges
        bases.update((base.name, base) for base in reading.bases)
        if reading.looked:
            looked[name] = reading.looked
        places.named({edge.to.name for edge in reading.edges} | reading.looked)
    return releases, edges, bases, broken, looked


def local_trees(root: str) -> Trees:
    """Returns what reads local files below recipes' folders of a workspace; each is hashed once."""
    return functools.cache(functools.partial(read_tree, root))


class _Reader(Protocol):
    def read(self, folder: str, name: str) -> Reading | None:
        """Returns what the recipe in ``folder`` gives; None when it has errors."""


class _Readers:
    """The readers of the formats, each made when a recipe of its format is read."""

    def __init__(
        self,
        root: str,
        spans: Spans,
        shared: Shared,
        collector: Collector,
        documents: Documents | None,
    ) -> None:
        self._root = root
        self._spans = spans
        self._shared = shared
        self._collector = collector
        self._documents = documents
        self._known: dict[str, _Reader] = {}
        self._trees = local_trees(root)

    def of(self, home: Home) -> _Reader:
        """Returns the reader of a home's format."""
        if home.format not in self._known:
            self._known[home.format] = _MAKERS[home.format](self, home)
        return self._known[home.format]

    def own(self, _: Home) -> _Reader:
        """Returns the reader of our own format."""
        return RecipeReader(
            self._root,
            self._spans,
            self._shared,
            self._collector,
            self._documents,
            self._trees,
        )

    def neurocontainers(self, home: Home) -> _Reader:
        """Returns the reader of NeuroDesk's format, which is imported only here."""
        from ssds.recipe.formats.neurocontainers import reader

        return reader.RecipeReader(self._root, home.top, self._spans, self._trees, self._collector)


_MAKERS: Mapping[str, Callable[[_Readers, Home], _Reader]] = {
    "ssds": _Readers.own,
    "neurocontainers": _Readers.neurocontainers,
}
"""Format → what makes its reader; the formats are those of ``homes.FORMATS``."""


class RecipeReader:
    """Reads single recipes of our own format."""

    def __init__(
        self,
        root: str,
        spans: Spans,
        shared: Shared,
        collector: Collector,
        documents: Documents | None = None,
        trees: Trees | None = None,
    ) -> None:
        self._root = root
        self._documents = documents
        self._spans = spans
        self._shared = shared
        self._collector = collector
        self._trees = trees or local_trees(root)
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
            trees=self._trees,
            texts=self._text,
        )
        if collector.failed:
            self._spans.keep(document)
        return reading

    def _text(self, path: str, collector: Collector) -> bytes | None:
        return read_file(os.path.join(self._root, path), path, collector)

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


def _check_normal(data: bytes, path: str, collector: Collector) -> None:
    """Warns of the first line whose text is not in Unicode's normal form C."""
    lines: Sequence[str] = data.decode("utf-8").split("\n")
    for number, line in enumerate(lines, 1):
        if not line.isascii() and not unicodedata.is_normalized("NFC", line):
            collector.add(diagnostic("R056", Span(path=path, line=number, column=1)))
            return
