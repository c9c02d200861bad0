"""Reads recipes of one checkout: ``build.yaml`` → releases, and the images that they start from."""

from __future__ import annotations

import os

from ssds.core.diagnostics import Collector
from ssds.recipe.formats.neurocontainers.checkout import Checkout
from ssds.recipe.formats.neurocontainers.describe import Beside
from ssds.recipe.formats.neurocontainers.grammar import check
from ssds.recipe.formats.neurocontainers.targets import TargetReader, choices
from ssds.recipe.formats.neurocontainers.values import load
from ssds.recipe.formats.scope import Report, Trees
from ssds.recipe.formats.ssds import Reading
from ssds.recipe.model import Base
from ssds.recipe.schema import schema
from ssds.recipe.yamlmarks import Spans, read_file

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
        releases = [r for r in map(reader.release, choices(value)) if r is not None]
        names = dict.fromkeys(t.base for r in releases for t in r.targets.values())
        return Reading(
            releases=tuple(releases), bases=tuple(Base(name=name, image=name) for name in names)
        )
