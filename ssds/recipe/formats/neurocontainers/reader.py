"""Reads recipes of one checkout: ``build.yaml`` → releases, and the images that they start from."""

from __future__ import annotations

import os

from ssds.core.diagnostics import Collector, Span
from ssds.core.records import replace
from ssds.recipe.codes import diagnostic
from ssds.recipe.formats.neurocontainers.checkout import Checkout
from ssds.recipe.formats.neurocontainers.choices import choices
from ssds.recipe.formats.neurocontainers.describe import Beside, check_licenses
from ssds.recipe.formats.neurocontainers.fulltest import FILE, FullTest, read_fulltest
from ssds.recipe.formats.neurocontainers.grammar import check
from ssds.recipe.formats.neurocontainers.targets import TargetReader
from ssds.recipe.formats.neurocontainers.values import load
from ssds.recipe.formats.scope import Report, Trees
from ssds.recipe.formats.ssds import Reading
from ssds.recipe.model import Base, Release
from ssds.recipe.schema import schema
from ssds.recipe.work import TooMuch
from ssds.recipe.yamlmarks import Spans, lies_in, read_file

RECIPE_FILE = "build.yaml"


class RecipeReader:
    """Reads single recipes of one checkout; macros and templates are read once.

    Args:
        root: the workspace's folder.
        checkout: the checkout's folder, relative to the workspace or absolute.
        trees: reads local files.
    """

    def __init__(
        self, root: str, checkout: str, spans: Spans, trees: Trees, collector: Collector
    ) -> None:
        self._root = root
        self._spans = spans
        self._trees = trees
        self._collector = collector
        self._checkout = Checkout(root, checkout, collector)
        self._schema = schema("neurocontainers", "N")

    def read(self, folder: str, name: str) -> Reading | None:
        """Returns the releases of ``folder/build.yaml``; None when it has errors."""
        path = f"{folder}/{RECIPE_FILE}"
        own = Collector()
        data = read_file(os.path.join(self._root, path), path, own)
        reading = None if data is None else self._read(data, path, folder, name, own)
        self._collector.extend(own)
        return None if own.failed else reading

    def _read(
        self, data: bytes, path: str, folder: str, name: str, collector: Collector
    ) -> Reading | None:
        document = load(data, path, collector)
        value = self._schema.check(document, collector) if document.usable else None
        if collector.failed or len(collector):
            self._spans.keep(document)
        if value is None:
            return None
        report = Report(document, collector, whole=value is document.data)
        check(value, report, name)
        check_licenses(value, report)
        if collector.failed:
            return None
        reader = TargetReader(
            value,
            report,
            folder=folder,
            checkout=self._checkout,
            trees=self._trees,
            beside=Beside(self._root, folder),
        )
        try:
            releases = [r for r in map(reader.release, choices(value)) if r is not None]
        except TooMuch:
            return None
        tests = self._tests(folder, name, str(value["version"]), collector)
        if tests is not None:
            releases = [_tested(release, tests) for release in releases]
        names = dict.fromkeys(t.base for r in releases for t in r.targets.values() if t.base)
        return Reading(
            releases=tuple(releases),
            edges=tuple(reader.edges),
            bases=tuple(Base(name=name, image=name) for name in names),
            looked=frozenset(reader.looked),
        )

    def _tests(self, folder: str, name: str, version: str, collector: Collector) -> FullTest | None:
        """Returns the suite beside a recipe; None where there is none, or where it has errors."""
        path = f"{folder}/{FILE}"
        place = os.path.join(self._root, path)
        if not os.path.lexists(place):
            return None
        if not lies_in(os.path.join(self._root, folder), place):
            collector.add(diagnostic("R072", Span(path=path)))
            return None
        data = read_file(place, path, collector)
        if data is None:
            return None
        return read_fulltest(data, path, collector, name=name, version=version)


def _tested(release: Release, tests: FullTest) -> Release:
    """Returns a release whose targets have the suite, and the sources of its data."""
    targets = {platform: tests.given_to(target) for platform, target in release.targets.items()}
    return replace(release, targets=targets)
