"""What a recipe may say beyond its schema: names, options, variants, kinds of directives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssds.recipe.address import Path
from ssds.recipe.codes import near
from ssds.recipe.formats.neurocontainers.choices import variant_name
from ssds.recipe.formats.neurocontainers.parts import KINDS, MORE_KEYS
from ssds.recipe.formats.scope import Report


def check(data: Mapping[str, Any], report: Report, folder: str) -> None:
    """Reports what is wrong in a recipe that its schema accepts.

    Args:
        folder: the name of the recipe's folder, which the recipe has too.
    """
    if str(data["name"]) != folder:
        report("R075", ("name",), ("name", str(data["name"])), ("folder", folder))
    if not isinstance(data["version"], str):
        report("N042", ("version",), ("read as", str(data["version"])))
    _check_variants(data, report)
    for index, item in enumerate(data["build"]["directives"]):
        check_directive(item, report, ("build", "directives", index))


def _check_variants(data: Mapping[str, Any], report: Report) -> None:
    options = data.get("options") or {}
    taken: dict[str, str] = {}
    for name, item in (data.get("variants") or {}).items():
        path: Path = ("variants", name)
        if name == "arm64" or name.endswith("_arm64"):
            report("N014", path, ("variant", name), key=True)
        ours = variant_name(name)
        if ours in taken or ours == "default":
            report("N015", path, ("variant", name), ("as", ours), key=True)
        taken[ours] = name
        if "architecture" in item and "architectures" in item:
            report("N007", path, ("found", "architecture and architectures"))
        wanted = item.get("architectures") or [item.get("architecture") or ""]
        for architecture in wanted:
            if architecture and architecture not in data["architectures"]:
                known = ", ".join(data["architectures"])
                report("N016", path, ("architecture", architecture), ("known", known))
        for option in item.get("options") or {}:
            if option not in options:
                known = ", ".join(options) or "none"
                facts = (("option", option), ("known", known))
                report("N017", (*path, "options", option), *facts, first=near(option, options))


def check_directive(item: Mapping[str, Any], report: Report, path: Path) -> None:
    """Reports a directive of no kind, and keys that nothing reads."""
    kinds = [kind for kind in KINDS if kind in item]
    if not kinds:
        keys = [key for key in item if key not in MORE_KEYS]
        first = near(keys[0], list(KINDS)) if keys else ""
        found = ", ".join(keys) or "nothing"
        report("N018", path, ("found", found), ("one of", ", ".join(KINDS)), first=first)
        return
    more = (
        kinds[1:] if kinds[0] != "include" else [*kinds[1:], *(("with",) if "with" in item else ())]
    )
    unknown = [key for key in item if key not in KINDS and key not in MORE_KEYS]
    for key in (*more, *unknown):
        report("N043", (*path, key), ("key", key), ("read as", kinds[0]), key=True)
    if "group" in item and kinds[0] == "group":
        for index, inner in enumerate(item["group"]):
            check_directive(inner, report, (*path, "group", index))
