"""Which recipes name which others, without reading whole recipes.

An over-estimate is allowed: it is used to leave out what a question cannot concern.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Collection, Sequence

from ssds.core.diagnostics import Collector
from ssds.core.patterns import pattern
from ssds.recipe.homes import Home, recipe_folders
from ssds.recipe.yamlmarks import load, read_file

_KEY = pattern(rb"recipe[\"']?\s*:|\\[xuU]")
"""What a text has that refers to another recipe; an escape may hide the word."""
_TEMPLATE = "{{"
_PUBLISHED = pattern(rb"(?:vnmd|neurodesk)(?:/caid)?/([a-z0-9.-]*)(\{?)|\\[xuU]")
"""What a text has that may name an image of another recipe of its checkout."""
_COMPOSED = pattern(rb"base-image[\"']?\s*+:\s*+(?:[>|][-+0-9]*+\s*+)?[^\n:]*\{\{")
"""A base whose place is a template (``{{ context.owner }}/fsl_6.0``), not its tag alone."""


class References:
    """The references of a workspace's recipes; each file is looked at once, when it is asked for.

    Args:
        root: the workspace's folder.
        homes: the folders of recipes.
        without: recipes that are not read: what they refer to does not matter.
    """

    def __init__(
        self, root: str, homes: Sequence[Home], without: Collection[str] = frozenset()
    ) -> None:
        self._root = root
        self._homes = homes
        self._known: dict[str, frozenset[str] | None] = dict.fromkeys(without, frozenset())

    def of(self, name: str) -> frozenset[str] | None:
        """Returns the names that a recipe refers to; None where that cannot be said cheaply."""
        if name not in self._known:
            self._known[name] = self._read(name)
        return self._known[name]

    def below(self, names: frozenset[str]) -> frozenset[str] | None:
        """Returns ``names`` and all that they stand on, however deep; None as above."""
        found: set[str] = set()
        stack = list(names)
        while stack:
            name = stack.pop()
            if name in found or name not in self.names:
                continue
            found.add(name)
            named = self.of(name)
            if named is None:
                return None
            stack += named
        return frozenset(found)

    def above(self, name: str) -> frozenset[str] | None:
        """Returns ``name`` and all that stand on it, however far; None as above."""
        if self._users is None:
            return None
        found: set[str] = set()
        stack = [name]
        while stack:
            used = stack.pop()
            if used not in found:
                found.add(used)
                stack += self._users.get(used, ())
        return frozenset(found)

    @functools.cached_property
    def _users(self) -> dict[str, set[str]] | None:
        """Name → those that refer to it; None where one cannot be said cheaply."""
        users: dict[str, set[str]] = {}
        for user in self.names:
            named = self.of(user)
            if named is None:
                return None
            for used in named:
                users.setdefault(used, set()).add(user)
        return users

    @functools.cached_property
    def names(self) -> frozenset[str]:
        """The names of all recipes."""
        found = (recipe_folders(self._root, home, Collector()) for home in self._homes)
        return frozenset(name for names in found for name in names)

    def _read(self, name: str) -> frozenset[str] | None:
        found: set[str] = set()
        for home in self._homes:
            path = home.path(name)
            data = read_file(os.path.join(self._root, path), path, Collector())
            if data is None:
                continue
            named = _own(data, path) if home.format == "ssds" else _published(data)
            if named is None:
                return None
            found |= named
        return frozenset(found)


def _published(data: bytes) -> frozenset[str] | None:
    """Returns whose images a text may name; None where that is a template, or hidden."""
    if _COMPOSED.search(data):
        return None
    found = set()
    for match in _PUBLISHED.finditer(data):
        if match[1] is None or match[2]:
            return None
        found.add(match[1].decode())
    return frozenset(found)


def _own(data: bytes, path: str) -> frozenset[str] | None:
    """Returns the recipes that a recipe of our own format names."""
    if not _KEY.search(data):
        return frozenset()
    document = load(data, path, Collector())
    return _named(document.data) if document.usable else None


def _named(data: object) -> frozenset[str] | None:
    """Returns every text under a key ``recipe``; None where one is a template."""
    found: set[str] = set()
    stack = [data]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            stack += value.values()
            text = value.get("recipe")
            if isinstance(text, str):
                if _TEMPLATE in text:
                    return None
                found.add(text)
        elif isinstance(value, list):
            stack += value
    return frozenset(found)
