"""Reads the files that a step takes under names of their own: inline, local, or a source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ssds.recipe.address import Path
from ssds.recipe.formats.scope import Scope
from ssds.recipe.shared import plain_relative
from ssds.recipe.steps import GivenFile

GIVEN = ("content", "local", "source")
"""Where such a file comes from; exactly one is given."""


class User(Protocol):
    """What is asked of the reader of a target."""

    scope: Scope

    def use(self, names: tuple[str, ...], path: Path) -> tuple[str, ...]:
        """Notes the named sources as used."""


def given_files(
    values: Mapping[str, Mapping[str, Any]], path: Path, user: User
) -> tuple[GivenFile, ...]:
    """Returns the files below ``path``; reports what is wrong with them."""
    found = [given_file(name, value, (*path, name), user) for name, value in values.items()]
    for name in values:
        if any(other.startswith(f"{name}/") for other in values):
            user.scope.report("R025", (*path, name), ("path", f"{name} is a folder of another"))
    return tuple(file for file in found if file is not None)


def given_file(
    name: str, value: Mapping[str, Any], path: Path, user: User, *, name_at: str = ""
) -> GivenFile | None:
    """Returns one file, or None after a problem.

    Args:
        name_at: the key of the name below ``path``; without it the name is the key at ``path``.
    """
    scope = user.scope
    if not plain_relative(name) or (name_at and "/" in name):
        scope.report("R025", (*path, name_at) if name_at else path, ("path", name))
        return None
    common: dict[str, Any] = {"name": name, "executable": value.get("executable", False)}
    if "content" in value:
        return GivenFile(content=scope.text(value["content"], (*path, "content")), **common)
    if "source" in value:
        source = scope.text(value["source"], (*path, "source"))
        return GivenFile(source=user.use((source,), (*path, "source"))[0], **common)
    tree = scope.tree(value["local"], (*path, "local"))
    if tree is None:
        return None
    if len(tree.entries) != 1 or tree.entries[0].digest is None:
        reason = ("reason", f"{value['local']} is not one file")
        scope.report("R028", (*path, "local"), reason)
        return None
    return GivenFile(local=tree, **common)
