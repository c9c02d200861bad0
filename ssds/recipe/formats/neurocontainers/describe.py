"""What describes a release and enters no image: every field of their recipe, nothing lost."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ssds.core.canonical import Json
from ssds.core.diagnostics import Collector
from ssds.core.model import ReleaseName
from ssds.recipe.formats.neurocontainers.context import Context, Failed
from ssds.recipe.formats.scope import Report
from ssds.recipe.yamlmarks import Document, lies_in, read_file

if TYPE_CHECKING:
    from ssds.recipe.formats.neurocontainers.targets import Chosen

_BUILT = frozenset(("build", "files", "variables", "name", "version", "architectures", "tests"))
"""What is no description."""
_RENDERED = frozenset(("apptainer_args", "categories", "gui_apps", "readme_url"))


class Beside:
    """Texts beside a recipe.

    Args:
        root: the workspace's folder.
        folder: the recipe's, relative to the workspace or absolute.
    """

    def __init__(self, root: str, folder: str) -> None:
        self._root = root
        self._folder = folder

    def text(self, name: str) -> tuple[str, str]:
        """Returns the path and the text of a file; the empty text where there is none."""
        path = f"{self._folder}/{name}"
        place = os.path.join(self._root, path)
        if not os.path.isfile(place) or not lies_in(os.path.join(self._root, self._folder), place):
            return path, ""
        data = read_file(place, path, Collector())
        return path, (data or b"").decode("utf-8", "replace")


def variant_name(name: str) -> str:
    """Returns our name of a variant: ``_`` becomes ``-``, a digit in front gets a ``v``."""
    plain = name.replace("_", "-")
    return f"v{plain}" if plain[:1].isdecimal() else plain


def metadata(
    data: Mapping[str, Any],
    chosen: Chosen,
    context: Context,
    report: Report,
    beside: Beside,
) -> dict[str, Json]:
    """Returns the canonical metadata of a release."""
    rest: dict[str, Any] = {}
    for key, value in data.items():
        if key in _BUILT:
            continue
        try:
            rest[key] = context.value(value, report, (key,)) if key in _RENDERED else value
        except Failed:
            continue
    found: dict[str, Any] = {}
    structured = data.get("structured_readme") or {}
    text = data.get("description") or structured.get("description")
    if text:
        found["description"] = str(text)
    if data.get("categories"):
        found["categories"] = rest.get("categories")
    licenses = [str(c["license"]) for c in data.get("copyright") or () if "license" in c]
    if licenses:
        found["licenses"] = licenses
    readme = _readme(data, beside, context, report)
    if readme:
        found["readme"] = readme
    arm = [p for p in chosen.platforms if p.architecture == "arm64"]
    if arm:
        name = "_".join(part for part in (str(data["name"]), chosen.variant, "arm64") if part)
        found["aliases"] = [name]
    if chosen.variant:
        found["variant"] = chosen.variant
    found["neurocontainers"] = rest
    return {key: _json(value) for key, value in found.items()}


def _readme(data: Mapping[str, Any], beside: Beside, context: Context, report: Report) -> str:
    """Returns the README of the first of their places that has one; an address is not asked."""
    try:
        text = context.text(str(data.get("readme") or ""), report, ("readme",))
        if text.strip():
            return text
        path, found = beside.text("README.md")
        if found.strip():
            document = Document(data={}, path=path, text=found.encode())
            text = context.text(found, Report(document, report.collector), ())
        if not text.strip():
            text = _sections(data, context, report)
    except Failed:
        return ""
    if not text.strip() and not data.get("readme_url"):
        report("N046", ("name",), key=True)
    return text


def _sections(data: Mapping[str, Any], context: Context, report: Report) -> str:
    """Returns the text of a structured readme."""
    given = data.get("structured_readme") or {}
    titles = {"description": "", "example": "Example", "documentation": "More", "citation": "Cite"}
    parts = []
    for key, title in titles.items():
        text = context.value(given.get(key), report, ("structured_readme", key))
        if str(text or "").strip():
            parts.append(f"{title}:\n{text}".lstrip(":\n").strip())
    return "\n\n".join(parts)


def software(data: Mapping[str, Any], identity: ReleaseName) -> dict[str, Json]:
    """Returns what the recipe itself installs, for the SBOM."""
    found: dict[str, Json] = {"name": identity.name, "version": identity.version}
    licenses: list[Json] = [
        str(c["license"]) for c in data.get("copyright") or () if "license" in c
    ]
    if licenses:
        found["licenses"] = licenses
    return found


def _json(value: Any) -> Json:
    """Returns a value in the canonical form's types: fractions and nothing become text."""
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    if value is None:
        return ""
    return str(value) if isinstance(value, float) else value
