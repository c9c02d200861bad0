"""Reads what describes a release and enters no image (C13): one canonical map, and its files."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from ssds.core.canonical import Json
from ssds.core.patterns import pattern
from ssds.recipe.address import Path
from ssds.recipe.formats.scope import Report, Scope
from ssds.recipe.steps import LocalTree

DESCRIPTIVE = (
    "summary", "description", "homepage", "licenses", "citations", "identifiers", "edam",
    "categories", "maintainers", "hints", "gui", "webapp", "help", "runtime", "menu",
    "license_files", "aliases", "extra",
)  # fmt: skip
_LICENSE_REFERENCE = pattern(r"LicenseRef-[A-Za-z0-9.-]+")
MAX_FILE_BYTES = 1 << 20
_USUAL = "its usual form is "

USUAL_LICENSES = frozenset(
    (
        "AGPL-3.0-only", "AGPL-3.0-or-later", "Apache-2.0", "Artistic-2.0", "BSD-2-Clause",
        "BSD-3-Clause", "BSL-1.0", "CC-BY-4.0", "CC0-1.0", "GPL-2.0-only", "GPL-2.0-or-later",
        "GPL-3.0-only", "GPL-3.0-or-later", "ISC", "LGPL-2.1-only", "LGPL-2.1-or-later",
        "LGPL-3.0-only", "LGPL-3.0-or-later", "MIT", "MPL-2.0", "NOASSERTION", "PSF-2.0", "Zlib",
    )
)  # fmt: skip
"""Sound without asking the library of licences, which takes longer to load than a whole plan."""
_FILES = {"icon", "readme"}


def read_metadata(
    data: Mapping[str, Any],
    variant: Mapping[str, Any],
    deploy: tuple[Mapping[str, Any], Path],
    scope: Scope,
) -> tuple[dict[str, Json], dict[str, LocalTree]]:
    """Returns the canonical metadata of a release, and role → local file.

    ``deploy`` is the section that counts for this release, with its path: a version or a variant
    may state its own. Roles are the addresses of the fields (``icon``, ``gui[0].icon``,
    ``webapp.icon``, ``help.readme``); the map itself holds none of the files' names.
    """
    files: dict[str, LocalTree] = {}
    metadata: dict[str, Json] = {}
    for key in DESCRIPTIVE:
        if key in data:
            metadata[key] = _value(data[key], (key,), scope, None if key == "extra" else files)
    section, path = deploy
    environment = section.get("environment", {})
    if environment:
        place = (*path, "environment")
        metadata["deploy"] = {"environment": _value(environment, place, scope, files)}
    if "icon" in data:
        _value({"icon": data["icon"]}, (), scope, files)
    if "description" in variant:
        metadata["variant_description"] = scope.text(
            variant["description"], ("variants", scope.variant, "description")
        )
    return metadata, files


def _value(value: Any, path: Path, scope: Scope, files: dict[str, LocalTree] | None) -> Json:
    """Returns a field rendered; its files go into ``files``, where names are files at all."""
    if isinstance(value, str):
        return scope.text(value, path) if "{" in value else value
    if isinstance(value, list):
        return [_value(item, (*path, i), scope, files) for i, item in enumerate(value)]
    if isinstance(value, dict):
        result: dict[str, Json] = {}
        for key, item in value.items():
            if files is not None and key in _FILES and isinstance(item, str):
                _file(item, (*path, key), scope, files)
            else:
                result[key] = _value(item, (*path, key), scope, files)
        return result
    return value


def _file(name: str, path: Path, scope: Scope, files: dict[str, LocalTree]) -> None:
    if path[-1] == "icon" and not name.lower().endswith((".svg", ".png")):
        scope.report("R065", path, ("found", name))
        return
    tree = scope.tree(name, path)
    if tree is None:
        return
    if len(tree.entries) != 1 or tree.entries[0].digest is None:
        scope.report("R028", path, ("reason", f"{name} is not one file"))
        return
    if tree.entries[0].size_bytes > MAX_FILE_BYTES:
        facts = ("reason", f"{name} has more than {MAX_FILE_BYTES} bytes")
        scope.report("R028", path, facts)
    role = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".")
    files[role] = tree


def read_software(data: Mapping[str, Any], name: str, version: str) -> dict[str, Json]:
    """Returns what the recipe itself installs, for the SBOM."""
    software: dict[str, Json] = {"name": name, "version": version}
    for key in ("licenses", "homepage", "identifiers"):
        if key in data:
            software[key] = data[key]
    return software


def check_metadata(data: Mapping[str, Any], report: Report) -> None:
    """Reports licences that SPDX does not know and ORCIDs whose digits are wrong."""
    for index, text in enumerate(data.get("licenses", ())):
        reason = license_problem(text)
        if reason:
            report("R013", ("licenses", index), ("found", text), ("reason", reason))
    for index, person in enumerate(data.get("maintainers", ())):
        if "orcid" in person and not _orcid_holds(person["orcid"]):
            report("R060", ("maintainers", index, "orcid"), ("found", person["orcid"]))


@functools.cache
def license_problem(text: str) -> str:
    """Returns why ``text`` is no SPDX licence expression, or the empty string.

    Source: SPDX specification 2.3, annex D; LicenseRef- names are accepted.
    """
    if text in USUAL_LICENSES:
        return ""
    from license_expression import ExpressionError, get_spdx_licensing

    licensing = _licensing(get_spdx_licensing)
    try:
        info = licensing.validate(_LICENSE_REFERENCE.sub("MIT", text))
    except RecursionError:
        return "nested too deeply"
    except (ExpressionError, ValueError, TypeError, AttributeError, IndexError) as error:
        return str(error)[:200] or "it cannot be read"
    if info.errors:
        return str(info.errors[0])[:200]
    known = info.normalized_expression or ""
    if known.split() != _LICENSE_REFERENCE.sub("MIT", text).split():
        return "" if "(" in text else f"{_USUAL}{known}"
    return ""


def usual_license(text: str) -> str:
    """Returns the form in which SPDX writes this expression, or the empty string."""
    found = license_problem(text)
    return found.removeprefix(_USUAL) if found.startswith(_USUAL) else ""


@functools.cache
def _licensing(maker: Any) -> Any:
    return maker()


def _orcid_holds(text: str) -> bool:
    """Whether the last character is the checksum of the others (ISO 7064, MOD 11-2)."""
    digits = text.replace("-", "")
    total = 0
    for digit in digits[:-1]:
        total = (total + int(digit)) * 2
    check = (12 - total % 11) % 11
    return digits[-1] == ("X" if check == 10 else str(check))
