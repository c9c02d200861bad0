"""Writes out steps of others' generators while a recipe is read; see ``ssds.recipe.generators``.

The steps that come of it are those that every kind knows, so a key follows them and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssds.recipe.address import Path
from ssds.recipe.formats.scope import Scope
from ssds.recipe.generators.model import Expansion, ExpansionProblem, Request
from ssds.recipe.generators.table import expander
from ssds.recipe.steps import SourceRequest


def written_out(
    kind: str,
    value: Mapping[str, Any],
    path: Path,
    scope: Scope,
    sources: Mapping[str, SourceRequest],
    common: Mapping[str, Any],
) -> Expansion | None:
    """Returns the steps that stand for one of type ``kind``, or None after a problem."""
    scope.failed = False
    request = Request(
        value=_rendered(value, path, scope),
        platform=scope.platform,
        sources=sources,
        common={**common, "address": f"{common['address']}.{kind}"},
        trees={"file": scope.tree(value["file"], (*path, "file"))} if "file" in value else {},
    )
    scope.dependent = True  # what comes out may differ between platforms
    if scope.failed:
        return None
    try:
        found = expander(kind)(request)
    except ExpansionProblem as only:
        found = Expansion(steps=(), problems=(only,))
    for problem in found.problems:
        place = (*path, *problem.path)
        scope.report(problem.code, place, *problem.facts, first=problem.first, key=problem.key)
    return None if found.problems else found


def _rendered(value: Any, path: Path, scope: Scope) -> Any:
    """Returns ``value`` with each text filled in."""
    if isinstance(value, str):
        return scope.text(value, path)
    if isinstance(value, Mapping):
        return {key: _rendered(item, (*path, key), scope) for key, item in value.items()}
    if isinstance(value, list):
        return [_rendered(item, (*path, index), scope) for index, item in enumerate(value)]
    return value
