"""Reads a ``conda`` step of the ssds format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssds.core.patterns import pattern
from ssds.recipe.address import Path
from ssds.recipe.formats.scope import Scope
from ssds.recipe.steps import CondaStep

_CHANNEL = pattern(
    r"[A-Za-z0-9][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*(?:/[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)*"
)
_CONDA = pattern(
    r"([a-z0-9_][a-z0-9_.-]*)(?: ?(?:[=<>!~]=?|~=) ?[A-Za-z0-9.*_+!-]+"
    r"(?:[,|](?:[=<>!~]=?)?[A-Za-z0-9.*_+!-]+)*(?:=[A-Za-z0-9_.+*]+)?)?"
)
_PREFIX = pattern(
    r"(?=.{2,100}$)(?!/(?:dev|proc|run|sys|tmp|var/tmp)(?:/|$))(?:/[A-Za-z0-9_.+@=-]+)+"
)
DEFAULT_PREFIX = "/opt/conda"


def conda_step(
    value: Mapping[str, Any],
    path: Path,
    scope: Scope,
    prefixes: set[str],
    common: Mapping[str, Any],
) -> CondaStep:
    """Returns the step; its prefix is added to ``prefixes``, where none may stand twice."""
    channels = scope.texts(value["channels"], (*path, "channels"))
    packages = scope.texts(value["packages"], (*path, "packages"))
    for index, text in enumerate(channels):
        if not _CHANNEL.fullmatch(text):
            scope.report("R091", (*path, "channels", index), ("found", text))
    seen: set[str] = set()
    for index, text in enumerate(packages):
        match = _CONDA.fullmatch(text)
        name = match[1] if match else ""
        if not match:
            scope.report("R090", (*path, "packages", index), ("found", text))
        elif name in seen:
            scope.report("R073", (*path, "packages", index), ("package", name))
        seen.add(name)
    where: Path = (*path, "prefix") if "prefix" in value else path
    prefix = scope.absolute(value.get("prefix", DEFAULT_PREFIX), where).rstrip("/")
    if prefix in prefixes:
        scope.report("R093", where, ("prefix", prefix))
    elif prefix.startswith("/") and not _PREFIX.fullmatch(prefix):
        scope.report("R092", where, ("prefix", prefix))
    prefixes.add(prefix)
    return CondaStep(channels=channels, packages=packages, prefix=prefix, **common)
