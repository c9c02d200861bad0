"""What recipes of a checkout read beside their own: macros, templates, other recipes, each once."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any

from ssds.core.diagnostics import Collector, Span
from ssds.core.records import dataclass
from ssds.recipe.codes import diagnostic
from ssds.recipe.formats.neurocontainers.grammar import check, check_directive
from ssds.recipe.formats.neurocontainers.presets import FOLDER
from ssds.recipe.formats.neurocontainers.values import load
from ssds.recipe.formats.scope import Report
from ssds.recipe.generators import neurodocker
from ssds.recipe.generators.model import ExpansionProblem
from ssds.recipe.schema import Schema, schema
from ssds.recipe.shared import plain_relative
from ssds.recipe.yamlmarks import Document, lies_in, read_file

MACROS = "macros"
RECIPES = "recipes"
SHARED = (MACROS, FOLDER)
"""Folders of a checkout whose files recipes may read."""


@functools.cache
def _macro_schema() -> Schema:
    """Returns what a macro may hold: the directives of a recipe."""
    whole = schema("neurocontainers", "N").document
    directives = whole["properties"]["build"]["properties"]["directives"]
    return Schema(
        {"$defs": whole["$defs"], "type": "object", "properties": {"directives": directives}}, "N"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Macro:
    """A file of directives; ``problem`` says why it cannot be used."""

    data: dict[str, Any]
    report: Report
    problem: str = ""


class Checkout:
    """One checkout.

    Args:
        root: the workspace's folder.
        folder: the checkout's, relative to the workspace or absolute.
        collector: takes problems of shared files.
    """

    def __init__(self, root: str, folder: str, collector: Collector) -> None:
        self._root = root
        self._folder = folder
        self._collector = collector
        self._macros: dict[str, Macro] = {}
        self._recipes: dict[str, Mapping[str, Any] | None] = {}
        self._presets: dict[str, dict[str, Any] | None] = {}

    def macro(self, name: str) -> Macro:
        """Returns the macro that an ``include`` names (``macros/openrecon/neurodocker.yaml``)."""
        if name not in self._macros:
            self._macros[name] = self._macro(name)
        return self._macros[name]

    def _macro(self, name: str) -> Macro:
        path = f"{self._folder}/{name}"
        nothing = Report(Document(data={}, path=path, text=b""), self._collector)
        if not plain_relative(name) or not name.startswith(f"{MACROS}/"):
            return Macro(data={}, report=nothing, problem=f"not a file below {MACROS}/")
        if not lies_in(self._place(MACROS), self._place(name)):
            return Macro(data={}, report=nothing, problem=f"a link out of {MACROS}/")
        own = Collector()
        document = self._load(name, own)
        if document is None or own.failed:
            self._collector.extend(own)
            return Macro(data={}, report=nothing, problem="it cannot be read")
        data = document.data
        items = data.get("directives") if isinstance(data, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            return Macro(data={}, report=nothing, problem="it has no list of directives")
        report = Report(document, own)
        if _macro_schema().check(document, own) is data:
            for index, item in enumerate(items):
                check_directive(item, report, ("directives", index))
        self._collector.extend(own)
        if own.failed:
            return Macro(data={}, report=nothing, problem="its directives are wrong")
        return Macro(data=data, report=Report(document, self._collector))

    def preset(self, name: str) -> dict[str, Any] | None:
        """Returns the file of a template, or None where there is none."""
        if name not in self._presets:
            plain = "/" not in name and name[:1] not in ("", ".")
            read = self._neurodocker if self._is_older else self._own_preset
            self._presets[name] = read(name) if plain else None
        return self._presets[name]

    @functools.cached_property
    def _is_older(self) -> bool:
        """Whether the checkout is older than its own templates; its builder had neurodocker's."""
        return not os.path.lexists(self._place(FOLDER))

    def _own_preset(self, name: str) -> dict[str, Any] | None:
        document = self._load(f"{FOLDER}/{name}.yaml", self._collector)
        return document.data if document is not None and isinstance(document.data, dict) else None

    def _neurodocker(self, name: str) -> dict[str, Any] | None:
        try:
            return dict(neurodocker.template(name))
        except ExpansionProblem:
            return None

    def recipe(self, name: str) -> Mapping[str, Any] | None:
        """Returns what ``recipes/NAME/build.yaml`` says; None where it is missing or wrong."""
        if name not in self._recipes:
            own = Collector()  # what is wrong with it is told when it is read itself
            plain = "/" not in name and name[:1] not in ("", ".")
            document = self._load(f"{RECIPES}/{name}/build.yaml", own) if plain else None
            value = None
            if document is not None:
                value = schema("neurocontainers", "N").check(document, own)
                if value is not None:
                    check(value, Report(document, own), name)
            self._recipes[name] = None if own.failed else value
        return self._recipes[name]

    def known_presets(self) -> str:
        """Returns which templates there are, for people."""
        try:
            names = neurodocker.templates() if self._is_older else self._own_presets()
        except ExpansionProblem:
            return (
                f"the checkout is older than {FOLDER}, and neurodocker, which had its templates, "
                "is not installed: pip install 'ssds[generators]'"
            )
        return f"known: {', '.join(names) or 'none'}"

    def _own_presets(self) -> list[str]:
        try:
            names = os.listdir(self._place(FOLDER))
        except OSError:
            return []
        return sorted(name[:-5] for name in names if name.endswith(".yaml"))

    def _place(self, name: str) -> str:
        return os.path.join(self._root, self._folder, name)

    def _load(self, name: str, collector: Collector) -> Document | None:
        place, shown = self._place(name), f"{self._folder}/{name}"
        if not os.path.lexists(place):
            return None
        if not lies_in(os.path.join(self._root, self._folder), place):
            collector.add(diagnostic("R072", Span(path=shown)))
            return None
        data = read_file(place, shown, collector)
        document = None if data is None else load(data, shown, collector)
        return document if document is not None and document.usable else None
