"""Releases of another format as one recipe of ours, nothing lost."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from ssds.core.canonical import Json
from ssds.core.records import dataclass, replace
from ssds.recipe.formats.ssds_metadata import DESCRIPTIVE
from ssds.recipe.model import Base, Release
from ssds.recipe.uses import build_sources
from ssds.recipe.written.recipe import Written, write_recipe
from ssds.recipe.written.yaml_text import as_text

_ICONS = {"image/svg+xml": "icon.svg", "image/png": "icon.png"}
_MAX_ICON_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A recipe of ours.

    Attributes:
        written: its text, and local files and folders.
        files: name → content of files that are made from fields.
    """

    written: Written
    files: Mapping[str, bytes]


def moved(releases: Sequence[Release], bases: Mapping[str, Base], suite: str = "") -> Moved:
    """Returns the recipe that gives ``releases``, all of one name.

    Args:
        suite: the name of the file of their tests beside the recipe, where they have one.

    Raises:
        UsageError: they have no common recipe.
    """
    releases = [_without_suite(release) for release in releases]
    fields = releases[0].metadata
    description = {key: _escaped(fields[key]) for key in DESCRIPTIVE if key in fields}
    variants = {
        r.id.variant: str(text)
        for r in releases
        if (text := r.metadata.get("variant_description")) and r.id.variant
    }
    icons = _take_icon(description)
    if icons:
        description["icon"] = next(iter(icons))
    if suite:
        description["suite"] = suite
    written = write_recipe(releases, description, bases, variants)
    return Moved(written=written, files=icons)


def _without_suite(release: Release) -> Release:
    """Returns a release without the tests that have a file of their own, and their sources."""
    targets = {
        platform: replace(
            target,
            suite=None,
            sources={
                name: source
                for name, source in target.sources.items()
                if name in build_sources(target) or any(name in t.sources for t in target.tests)
            },
        )
        for platform, target in release.targets.items()
    }
    return replace(release, targets=targets)


def _escaped(value: Json) -> Any:
    if isinstance(value, str):
        return as_text(value)
    if isinstance(value, Mapping):
        return {key: _escaped(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_escaped(item) for item in value]
    return value


def _take_icon(description: dict[str, Any]) -> dict[str, bytes]:
    """Returns the icon of a ``data:`` address as a file, and takes the field out."""
    extra: dict[str, Any] = description.get("extra", {})
    for origin, fields in extra.items():
        text = fields.get("icon") if isinstance(fields, dict) else None
        found = _icon(text) if isinstance(text, str) else None
        if found is not None:
            kept = {key: value for key, value in fields.items() if key != "icon"}
            description["extra"] = {**extra, origin: kept}
            if not kept:
                del description["extra"]
            return dict([found])
    return {}


def _icon(text: str) -> tuple[str, bytes] | None:
    """Returns the file of a ``data:`` address (RFC 2397) that holds an SVG or PNG image."""
    head, comma, body = text.partition(",")
    kind, *parameters = head.removeprefix("data:").split(";")
    if not text.startswith("data:") or not comma or kind not in _ICONS:
        return None
    try:
        data = (
            base64.b64decode("".join(body.split()), validate=True)
            if "base64" in parameters
            else unquote_to_bytes(body)
        )
    except (binascii.Error, ValueError):
        return None
    return (_ICONS[kind], data) if 0 < len(data) <= _MAX_ICON_BYTES else None
