"""Lmod module files as pure functions of a release: the same lock gives the same bytes.

They run no program, hold no time and no absolute path: the tree's place follows from the module
file's own name, so that the tree may be mounted anywhere. Source: Lmod's documentation, "Lua
modulefile functions" (Lmod 8).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ssds.core.canonical import Json
from ssds.ship.wrappers import good_variable

TEXT_LIMIT = 20_000
LINE_LIMIT = 1_000
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_EXTENSION = re.compile(r"[A-Za-z0-9_.+-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleFacts:
    """Everything that a module file says.

    Attributes:
        name: of the software.
        version: ``VERSION[-VARIANT]``.
        revision: of the release.
        image: the manifest's digest.
        commands: wrapper names.
        environment: variables that the module sets.
        description: the fields of the metadata blob, or empty.
        identifiers: those of the lock.
    """

    name: str
    version: str
    revision: int
    image: str
    commands: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    description: Mapping[str, Json] = field(default_factory=dict)
    identifiers: Mapping[str, str] = field(default_factory=dict)


def module_text(facts: ModuleFacts, *, hidden: bool) -> bytes:
    """Returns the module file: the public one, or the hidden one with the revision in its name."""
    full = f"{facts.version}-r{facts.revision}"
    own = f"/modules/{facts.name}/{full if hidden else facts.version}.lua"
    rows = [
        f"-- {facts.name} {full}, {facts.image}; made by ssds, do not edit",
        f"local own = {lua_text(own)}",
        "local root = myFileName():sub(1, -#own - 1)",
        f"help({lua_long(_help(facts))})",
        *(f"whatis({lua_text(f'{title}: {text}')})" for title, text in _whatis(facts, full)),
        "conflict(myModuleName())",
    ]
    found = sorted(c for c in facts.commands if _EXTENSION.fullmatch(c))
    version = re.sub(r"[^A-Za-z0-9_.+~-]", "_", facts.version)
    if found:
        names = ", ".join(f"{command}/{version}" for command in found)
        rows.append(f"extensions({lua_text(names)})")
    folder = f"wrappers/{facts.name}/{full}/bin"
    rows.append(f'prepend_path("PATH", pathJoin(root, {lua_text(folder)}))')
    rows += [
        f"setenv({lua_text(name)}, {lua_text(value)})"
        for name, value in sorted(facts.environment.items())
        if good_variable(name) and name != "PATH"
    ]
    return ("\n".join(rows) + "\n").encode()


def modulerc_text(hidden: Sequence[str], name: str) -> bytes:
    """Returns ``.modulerc.lua`` of one name: hides the modules with a revision."""
    rows = [f"hide_version({lua_text(f'{name}/{version}')})" for version in sorted(hidden)]
    return ("\n".join(rows) + "\n").encode()


def printable(text: str) -> str:
    """Returns ``text`` without control characters: it comes from outside and reaches terminals."""
    return _CONTROL.sub(" ", text)


def lua_text(text: str) -> str:
    """Returns one line of text as a Lua string in double quotes."""
    line = printable(text).replace("\n", " ").replace("\t", " ")[:LINE_LIMIT]
    return '"' + line.replace("\\", "\\\\").replace('"', '\\"') + '"'


def lua_long(text: str) -> str:
    """Returns text as a Lua long string whose brackets the text cannot close."""
    clean = printable(text)[:TEXT_LIMIT]
    level = 1
    while f"]{'=' * level}]" in clean or clean.endswith(f"]{'=' * level}"):
        level += 1
    return f"[{'=' * level}[\n{clean}\n]{'=' * level}]"


def _texts(value: Json) -> list[str]:
    """Returns the texts of a field that is a text or a list of texts."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list | tuple):
        return [item for item in value if isinstance(item, str)]
    return []


def _dois(description: Mapping[str, Json]) -> list[str]:
    found = description.get("citations", [])
    citations = found if isinstance(found, list | tuple) else []
    return [str(c["doi"]) for c in citations if isinstance(c, Mapping) and c.get("doi")]


def _whatis(facts: ModuleFacts, full: str) -> list[tuple[str, str]]:
    about = facts.description
    rows = [("Name", facts.name), ("Version", full)]
    for title, field_name in (
        ("Description", "summary"),
        ("URL", "homepage"),
        ("Category", "categories"),
        ("Keywords", "keywords"),
        ("License", "licenses"),
    ):
        texts = [text for text in _texts(about.get(field_name, "")) if text.strip()]
        if texts:
            rows.append((title, ", ".join(texts)))
    rows += [("DOI", doi) for doi in _dois(about)]
    rows += [(key, value) for key, value in sorted(facts.identifiers.items())]
    rows.append(("Image", facts.image))
    return rows


def _help(facts: ModuleFacts) -> str:
    about = facts.description
    parts = [f"{facts.name} {facts.version}"]
    for field_name in ("summary", "description"):
        parts += [text.strip() for text in _texts(about.get(field_name, "")) if text.strip()]
    given = about.get("help", {})
    if isinstance(given, Mapping):
        parts += [
            f"{title.capitalize()}:\n{text.strip()}"
            for title, text in sorted(given.items())
            if isinstance(text, str) and text.strip()
        ]
    if facts.commands:
        parts.append("Commands: " + " ".join(sorted(facts.commands)))
    if dois := _dois(about):
        parts.append("Please cite: " + " ".join(f"https://doi.org/{doi}" for doi in dois))
    if homepage := _texts(about.get("homepage", "")):
        parts.append(f"More: {homepage[0]}")
    return "\n\n".join(parts)
