"""What describes a release and enters no image: every field of their recipe, nothing lost."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ssds.core.canonical import Json
from ssds.core.diagnostics import Collector
from ssds.core.model import ReleaseName
from ssds.core.patterns import pattern
from ssds.core.records import replace
from ssds.recipe.formats.neurocontainers.context import Context, Failed
from ssds.recipe.formats.scope import Report, Trees
from ssds.recipe.formats.ssds_metadata import MAX_FILE_BYTES, license_problem, usual_license
from ssds.recipe.local import LocalProblem
from ssds.recipe.shared import plain_relative
from ssds.recipe.steps import LocalTree
from ssds.recipe.yamlmarks import Document, lies_in, read_file

if TYPE_CHECKING:
    from ssds.recipe.formats.neurocontainers.choices import Chosen

_BUILT = frozenset(("build", "files", "variables", "name", "version", "architectures", "tests"))
"""What is no description."""
_RENDERED = frozenset(("apptainer_args", "categories", "gui_apps", "readme_url"))
_NOT_REFERENCE = pattern(r"[^A-Za-z0-9.]+")
_PAGE = {
    "title": "title", "startup_command": "command", "port": "port", "start_page": "start_page",
    "description": "description", "startup_timeout": "startup_timeout_s", "category": "category",
    "additional_proxies": "proxies",
}  # fmt: skip
"""Their field of a web application → ours."""


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


def metadata(
    data: Mapping[str, Any],
    chosen: Chosen,
    context: Context,
    report: Report,
    beside: Beside,
    files: Mapping[str, LocalTree],
) -> dict[str, Json]:
    """Returns the descriptive fields of a recipe of ours; the rest is below ``extra`` as it is.

    ``files`` are the roles of those that are files.
    """
    rest: dict[str, Any] = {}
    for key, value in data.items():
        if key in _BUILT:
            continue
        try:
            rest[key] = context.value(value, report, (key,)) if key in _RENDERED else value
        except Failed:
            continue
    readme = _readme(data, beside, context, report)
    found: dict[str, Any] = {**_words(rest, readme, str(data["name"])), **_programs(rest, files)}
    found["licenses"] = licenses_of(data)
    variant = (data.get("variants") or {}).get(chosen.variant) or {}
    if variant.get("description"):
        found["variant_description"] = str(variant["description"])
    if any(p.architecture == "arm64" for p in chosen.platforms):
        name = "_".join(part for part in (str(data["name"]), chosen.variant, "arm64") if part)
        found["aliases"] = [name]
    found["extra"] = {"neurocontainers": rest}
    return {key: _json(value) for key, value in found.items()}


def _words(rest: dict[str, Any], readme: str, name: str) -> dict[str, Any]:
    """Returns what is said to people, and takes it out of ``rest``."""
    found: dict[str, Any] = {}
    structured = {k: str(v) for k, v in (rest.get("structured_readme") or {}).items() if v}
    text = str(rest.pop("description", None) or structured.get("description") or readme)
    found["summary"] = _first_line(text) or name
    if text.strip() and text != readme:
        found["description"] = text
    sections = ("description", "example", "documentation", "citation")
    if structured and set(structured) <= set(sections) and not rest.get("readme"):
        found["help"] = {key: structured[key] for key in sections if key in structured}
        del rest["structured_readme"]
    elif readme.strip():
        found["help"] = {"description": readme}
        rest.pop("readme", None)
    categories = list(dict.fromkeys(str(c) for c in rest.pop("categories", None) or () if c))
    if categories:
        found["categories"] = categories
    return found


def _programs(rest: dict[str, Any], files: Mapping[str, LocalTree]) -> dict[str, Any]:
    """Returns what menus, web pages and runtimes use, and takes it out of ``rest``."""
    found: dict[str, Any] = {}
    apps = rest.get("gui_apps") or []
    if apps and all(set(app) == {"name", "exec"} for app in apps):
        found["gui"] = [{"name": str(app["name"]), "command": str(app["exec"])} for app in apps]
        del rest["gui_apps"]
    if rest.get("apptainer_args"):
        found["runtime"] = {"arguments": [str(a) for a in rest.pop("apptainer_args")]}
    menu = {
        ours: rest.pop(theirs)
        for ours, theirs in (("show", "show_in_menu"), ("list", "show_in_applist"))
        if isinstance(rest.get(theirs), bool)
    }
    if menu:
        found["menu"] = menu
    deploy = dict(rest.pop("deploy", None) or {})
    page = deploy.pop("webapp", None)
    if isinstance(page, Mapping) and {"title", "startup_command", "port"} <= set(page):
        found["webapp"] = {_PAGE[key]: value for key, value in page.items() if key in _PAGE}
        icon = files.get("webapp.icon")
        done = {*_PAGE, "icon"} if icon is not None and icon.entries else set(_PAGE)
        page = {key: value for key, value in page.items() if key not in done}
    if page:
        deploy["webapp"] = page
    for key in ("bins", "path"):  # they are what the targets offer
        deploy.pop(key, None)
    if deploy:
        rest["deploy"] = deploy
    return found


def files(data: Mapping[str, Any], folder: str, trees: Trees) -> dict[str, LocalTree]:
    """Returns the local files of descriptive fields by their role.

    One that cannot be used has no entries: it is no part of the description, but one day it may be.
    """
    page = (data.get("deploy") or {}).get("webapp")
    name = page.get("icon") if isinstance(page, Mapping) else None
    if not isinstance(name, str) or not name.lower().endswith((".svg", ".png")):
        return {}
    try:
        tree = trees(folder, name)
    except LocalProblem:
        if not plain_relative(name):
            return {}
        tree = LocalTree(path=f"{folder}/{name}", entries=())
    good = len(tree.entries) == 1 and tree.entries[0].digest is not None
    good = good and tree.entries[0].size_bytes <= MAX_FILE_BYTES
    return {"webapp.icon": tree if good else replace(tree, entries=())}


def _first_line(text: str) -> str:
    """Returns the first sentence that is no heading and has three words, cut at 200 characters."""
    for line in text.split("\n"):
        words = line.strip()
        if words[:1] not in ("#", "=", "-", "*", "`", "<", "[") and len(words.split()) > 2:
            end = words.find(". ")
            return words[: end + 1 if end > 0 else None][:200].strip()
    return ""


def check_licenses(data: Mapping[str, Any], report: Report) -> None:
    """Warns of licences that SPDX does not know, or writes otherwise."""
    for index, entry in enumerate(data.get("copyright") or ()):
        text = entry.get("license")
        problem = license_problem(str(text)) if text else ""
        if problem:
            facts = (("found", str(text)), ("reason", problem))
            report("N052", ("copyright", index, "license"), *facts)


def licenses_of(data: Mapping[str, Any]) -> list[str]:
    """Returns SPDX expressions; what SPDX does not know gets a ``LicenseRef-`` name."""
    found = []
    for entry in data.get("copyright") or ():
        text = str(entry.get("license") or entry.get("name") or "").strip()
        if not text:
            continue
        problem = license_problem(text) if "license" in entry else "a free text"
        usual = usual_license(text) if problem and "license" in entry else ""
        name = _NOT_REFERENCE.sub("-", text).strip("-.")[:100] or "other"
        found.append(usual or (f"LicenseRef-{name}" if problem else text))
    return list(dict.fromkeys(found)) or ["NOASSERTION"]


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
    licenses: list[Json] = [text for text in licenses_of(data) if text != "NOASSERTION"]
    found: dict[str, Json] = {"name": identity.name, "version": identity.version}
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
