"""Their YAML: version 1.1 as PyYAML's safe loader resolves it, with places, without bombs.

Numbers with a fraction, dates and nothing are values here; anchors, aliases and tags stay refused.
Keys become text, as their builder makes them.
"""

from __future__ import annotations

import functools
from typing import Any

import yaml

from ssds.core.diagnostics import Collector
from ssds.recipe.yaml_events import Reader
from ssds.recipe.yamlmarks import Document

_TAG = "tag:yaml.org,2002:"
_LONGEST_NUMBER = 400
"""Longer ones stay text, as all do that are only ever shown."""


def load(data: bytes, path: str, collector: Collector) -> Document:
    """Returns the document in ``data``; not usable where it could not be read to its end."""
    usable, value = _Reader(path, collector).read(data)
    return Document(data=value, path=path, text=data, usable=usable)


@functools.cache
def _resolvers() -> dict[str, tuple[tuple[str, Any], ...]]:
    """Returns first character → (kind, pattern) of plain scalars that are no text."""
    table = yaml.SafeLoader.yaml_implicit_resolvers
    return {
        first: tuple((tag.removeprefix(_TAG), form) for tag, form in found)
        for first, found in table.items()
    }


class _Reader(Reader):
    special = frozenset(yaml.SafeLoader.yaml_implicit_resolvers) - {"="}

    def scalar(self, text: str, event: Any, is_key: bool) -> Any:
        """Returns the value of a plain scalar that may be more than text."""
        found = (kind for kind, form in _resolvers().get(text[:1], ()) if form.match(text))
        kind = next(found, "")
        if kind == "merge":
            raise self.stop("Y009", event.start_mark, text)
        value: Any = text
        try:
            if kind in ("int", "float") and len(text) > _LONGEST_NUMBER:
                kind = ""  # 1:1:1: of a megabyte is a number in base 60, and a day of work
            if kind in ("int", "float", "bool", "null"):
                node = yaml.ScalarNode(_TAG + kind, text)
                constructor: Any = _constructor()
                value = getattr(constructor, f"construct_yaml_{kind}")(node)
        except (ValueError, OverflowError):
            self.problem("Y017", event.start_mark, text[:60])
        if isinstance(value, int) and abs(value) >= 1 << 53:
            value = text  # it is only ever shown
        return str(value) if is_key else value


@functools.cache
def _constructor() -> Any:
    return yaml.constructor.SafeConstructor()
