"""Reads reference data sets: ``catalog/data/<set>/<version>.yaml``.

Sources are written and checked as those of recipes are; what is wrong in all files is collected.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ssds.core.canonical import Json
from ssds.core.diagnostics import Collector, Span
from ssds.core.model import ReleaseName
from ssds.core.patterns import pattern
from ssds.recipe.address import Path
from ssds.recipe.catalog import DATA_FOLDER
from ssds.recipe.codes import diagnostic, near
from ssds.recipe.data_model import DataSet, DataSets, IndexStep, Placement
from ssds.recipe.formats.scope import ENVIRONMENT_NAME, Report, Scope, names_of
from ssds.recipe.formats.ssds_metadata import license_problem
from ssds.recipe.formats.ssds_steps import TargetReader
from ssds.recipe.model import Release
from ssds.recipe.schema import schema
from ssds.recipe.shared import plain_relative
from ssds.recipe.steps import LocalTree, SourceRequest
from ssds.recipe.work import TooMuch
from ssds.recipe.yamlmarks import Spans, lies_in, load, read_file

PATH = "{path}"
_ABOUT = ("title", "description", "licenses", "homepage", "categories", "citations")
_SET = pattern(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_VERSION = pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_BRACES = pattern(r"\{[^{}]*\}|[{}]")
_TIME_LIMIT_S = 3600


def read_data_sets(root: str, catalog: str, spans: Spans, collector: Collector) -> DataSets:
    """Returns the data sets of a catalog, by name and version; ``collector`` has their problems."""
    found: dict[ReleaseName, DataSet] = {}
    broken: set[str] = set()
    for path, name, version in _files(root, f"{catalog}/{DATA_FOLDER}", collector):
        own = Collector()
        data = read_file(os.path.join(root, path), path, own)
        document = None if data is None else load(data, path, own)
        if document is not None:
            spans.keep(document)
            value = schema("data", "G").check(document, own) if document.usable else None
            if value is not None:
                report = Report(document, own, whole=value is document.data)
                read = _Reader(value, report, ReleaseName(name, version), path).read()
                found[read.id] = read
        if own.failed:
            broken.add(name)
        collector.extend(own)
    return DataSets(known=found, broken=frozenset(broken))


def _files(root: str, folder: str, collector: Collector) -> Iterable[tuple[str, str, str]]:
    """Gives path, set and version of each file; reports what has no place there."""
    for name in _names(os.path.join(root, folder)):
        inner = os.path.join(root, folder, name)
        if not _SET.fullmatch(name) or not os.path.isdir(inner):
            collector.add(diagnostic("G010", Span(path=f"{folder}/{name}")))
            continue
        for file in _names(inner):
            path = f"{folder}/{name}/{file}"
            version = file.removesuffix(".yaml")
            if version in (file, "current") or not _VERSION.fullmatch(version):
                collector.add(diagnostic("G010", Span(path=path)))
            elif not lies_in(os.path.join(root, folder), os.path.join(root, path)):
                collector.add(diagnostic("R072", Span(path=path)))
            else:
                yield path, name, version


def _names(folder: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError:
        return []


def _no_tree(folder: str, name: str) -> LocalTree:
    raise AssertionError(f"a data set has no local files: {folder} {name}")


class _Reader:
    """Reads one file; what is wrong goes to ``report``."""

    def __init__(self, data: Mapping[str, Any], report: Report, name: ReleaseName, path: str):
        self.data = data
        self.report = report
        self.name = name
        self.path = path

    def read(self) -> DataSet:
        """Returns the set, of which nothing counts where there are errors."""
        data = self.data
        sources = self._sources()
        for index, text in enumerate(data.get("licenses", ())):
            reason = license_problem(text)
            if reason:
                self.report("R013", ("licenses", index), ("found", text), ("reason", reason))
        for name in data.get("environment", {}):
            if not ENVIRONMENT_NAME.fullmatch(name) or name == "PATH":
                self.report("R033", ("environment", name), ("name", name), key=True)
        self._braces(data.get("environment", {}), ("environment",))
        self._braces(data.get("loc", {}), ("loc",))
        self._columns()
        about: dict[str, Json] = {key: data[key] for key in _ABOUT if key in data}
        return DataSet(
            id=self.name,
            path=self.path,
            about=about,
            sources=sources,
            unpack=self._unpack(sources),
            index=self._index(),
            environment=data.get("environment", {}),
            loc=data.get("loc", {}),
            resources=data.get("resources", {}),
        )

    def _sources(self) -> dict[str, SourceRequest]:
        scope = Scope(
            self.report,
            names_of(self.name.name, self.name.version, "", None),
            platform="",
            variant="",
            version=self.name.version,
            trees=_no_tree,
            folder="",
        )
        items = self.data.get("sources", {}).items()
        try:
            return TargetReader(scope, {n: (i, ("sources", n)) for n, i in items}).read_sources()
        except TooMuch:
            return {}  # it was reported

    def _unpack(self, sources: Mapping[str, SourceRequest]) -> tuple[Placement, ...]:
        found = []
        for index, item in enumerate(self.data.get("unpack", ())):
            for key in ("path", "to"):
                if key in item and not plain_relative(item[key]):
                    self.report("G011", ("unpack", index, key), ("found", item[key]))
            source = sources.get(item["source"])
            if source is None:
                facts = (("source", item["source"]), ("known", ", ".join(sources) or "none"))
                place = ("unpack", index, "source")
                self.report("R020", place, *facts, first=near(item["source"], list(sources)))
            elif "path" in item and not source.unpack:
                self.report("G012", ("unpack", index, "path"), ("source", source.name))
            found.append(Placement(**item, address=f"unpack[{index}]"))
        return tuple(found) or tuple(Placement(source=name) for name in sources)

    def _index(self) -> tuple[IndexStep, ...]:
        found: dict[str, IndexStep] = {}
        for index, item in enumerate(self.data.get("index", ())):
            if item["name"] in found:
                self.report("G013", ("index", index, "name"), ("name", item["name"]))
            found[item["name"]] = IndexStep(
                name=item["name"],
                recipe=item["with"],
                script=item["run"],
                time_limit_s=item.get("time_limit_s", _TIME_LIMIT_S),
            )
        return tuple(found.values())

    def _braces(self, value: Any, path: Path) -> None:
        if isinstance(value, str):
            for brace in _BRACES.findall(value):
                if brace != PATH:
                    self.report("G014", path, ("found", brace), first=near(brace, [PATH]))
            if any(not c.isprintable() for c in value):
                self.report("G015", path)
        elif isinstance(value, Mapping):
            for key, item in value.items():
                self._braces(item, (*path, key))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self._braces(item, (*path, index))

    def _columns(self) -> None:
        for table, rows in self.data.get("loc", {}).items():
            for index, row in enumerate(rows):
                if list(row) != list(rows[0]):
                    facts = (("first row", ", ".join(rows[0])), ("found", ", ".join(row)))
                    self.report("G016", ("loc", table, index), *facts)


def check_data_sets(
    sets: Mapping[ReleaseName, DataSet],
    releases: Sequence[Release],
    broken: set[str],
    spans: Spans,
    collector: Collector,
) -> None:
    """Reports index steps in images that no recipe gives, and sets that are called as a recipe."""
    known = {str(release.id): release for release in releases}
    names = {release.id.name for release in releases} | broken
    for found in sets.values():
        if found.id.name in names:
            facts = (("recipe", found.id.name),)
            collector.add(diagnostic("G018", Span(path=found.path), facts=facts))
        for index, step in enumerate(found.index):
            if step.recipe in known or step.recipe.partition("@")[0] in broken:
                continue
            address = f"index[{index}].with"
            span = spans(found.path, address)
            facts = (("release", step.recipe),)
            first = near(step.recipe, list(known))
            collector.add(diagnostic("G017", span, address, facts, first=first))
