"""Writes what was imported as a recipe of our format. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ssds.importers.model import MARK, Imported
from ssds.recipe.written.yaml_text import as_text, yaml_text

UNKNOWN_LICENSE = "LicenseRef-not-stated-yet"


def recipe_text(
    imported: Imported,
    *,
    name: str,
    version: str,
    base: str = "",
    header: str = "",
) -> str:
    """Returns the recipe's YAML.

    Args:
        base: a base of the catalog in place of the image.
        header: comment lines before all.
    """
    told = _guarded(dict(imported.metadata))
    stated = told.pop("version", "")
    whole: dict[str, Any] = {
        "name": name,
        "version": version or stated,
        "summary": told.pop("summary", f"{name}, in one line: what does it do?"),
        **told,
        "licenses": told.get("licenses", [UNKNOWN_LICENSE]),
        "base": base or {"image": imported.base},
    }
    if imported.sources:
        whole["sources"] = {key: _guarded(dict(value)) for key, value in imported.sources.items()}
    whole["build"] = [_guarded(step) for step in imported.build]
    if imported.commands:
        whole["deploy"] = {"commands": list(imported.commands)}
    whole["tests"] = [_guarded(test) for test in imported.tests]
    return f"{header}{yaml_text(whole)}"


def _guarded(value: Any) -> Any:
    """Returns ``value`` with two braces as text; only our own templates stay."""
    if isinstance(value, str):
        return re.sub(f"{MARK}(arch|platform){MARK}", r"{{ \1 }}", as_text(value))
    if isinstance(value, Mapping):
        return {key: _guarded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_guarded(item) for item in value]
    return value
