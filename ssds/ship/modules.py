"""Module files for Lmod as pure functions of a release: the same lock gives the same bytes.

They run no program, hold no time and no absolute path: the tree's place follows from the module
file's own name, so that the tree may be mounted anywhere. Source: Lmod's documentation, "Lua
modulefile functions" (Lmod 8).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ssds.core.canonical import Json
from ssds.core.text import blanked
from ssds.ship.wrappers import fit_for_host

TEXT_LIMIT = 20_000
LINE_LIMIT = 1_000
_EXTENSION = re.compile(r"[A-Za-z0-9_.+-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleFacts:
    """Everything that a module file says.

    Attributes:
        name: of the software.
        version: ``VERSION[-VARIANT]``.
        revision: of the release.
        folder: the module's, relative to the site's: ``modules/samtools``.
        image: the manifest's digest.
        commands: wrapper names.
        environment: variables that the module sets.
        description: the fields of the metadata blob, or empty.
        identifiers: those of the lock.
        needs: the site's module that brings the container runtime, or empty.
        commands_in: the folder of its commands where it is not that of our wrappers.
    """

    name: str
    version: str
    revision: int
    image: str
    folder: str = ""
    commands: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    description: Mapping[str, Json] = field(default_factory=dict)
    identifiers: Mapping[str, str] = field(default_factory=dict)
    needs: str = ""
    commands_in: str = ""

    @property
    def full(self) -> str:
        """``VERSION[-VARIANT]-rN``, the hidden module's last part."""
        return f"{self.version}-r{self.revision}"

    @property
    def place(self) -> str:
        """The module's folder, with the default filled in."""
        return self.folder or f"modules/{self.name}"

    @property
    def programs(self) -> str:
        """The folder of its commands, relative to the site's folder."""
        return self.commands_in or f"wrappers/{self.name}/{self.full}/bin"

    @property
    def variables(self) -> list[tuple[str, str]]:
        """The variables that it may set in a user's shell, sorted; wrappers set the others."""
        pairs = sorted(self.environment.items())
        return [(name, value) for name, value in pairs if fit_for_host(name)]


def module_text(facts: ModuleFacts, *, hidden: bool) -> bytes:
    """Returns the module file: the public one, or the hidden one with the revision in its name."""
    full = facts.full
    own = f"/{facts.place}/{full if hidden else facts.version}.lua"
    rows = [
        f"-- {facts.name} {full}, {facts.image}; made by ssds, do not edit",
        f"local own = {lua_text(own)}",
        "local root = myFileName():sub(1, -#own - 1)",
        f"help({lua_long(help_text(facts))})",
        *(f"whatis({lua_text(f'{title}: {text}')})" for title, text in whatis_rows(facts)),
        f"family({lua_text(family_name(facts.name))})",
    ]
    others = set(facts.commands) - {facts.name}  # spider lists the module itself by its name
    found = sorted(c for c in others if _EXTENSION.fullmatch(c))
    version = re.sub(r"[^A-Za-z0-9_.+~-]", "_", facts.version)
    if found:
        names = ", ".join(f"{command}/{version}" for command in found)
        rows.append(f"extensions({lua_text(names)})")
    if facts.needs:
        rows.append(f"depends_on({lua_text(facts.needs)})")
    rows.append(f'prepend_path("PATH", pathJoin(root, {lua_text(facts.programs)}))')
    rows += [f"pushenv({lua_text(name)}, {lua_text(value)})" for name, value in facts.variables]
    return ("\n".join(rows) + "\n").encode()


def modulerc_text(hidden: Sequence[str], name: str, default: str = "") -> bytes:
    """Returns ``.modulerc.lua`` of one name: hides versions, and says which a bare name loads."""
    rows = [f"hide_version({lua_text(f'{name}/{version}')})" for version in sorted(hidden)]
    if default:
        rows.insert(0, f'module_version({lua_text(f"{name}/{default}")}, "default")')
    return ("\n".join(rows) + "\n").encode()


def opener_text(category: str, folder: str) -> bytes:
    """Returns the module that opens a category's modules (``naming: hierarchy``)."""
    own = f"/modules/{category}.lua"
    rows = [
        f"local own = {lua_text(own)}",
        "local root = myFileName():sub(1, -#own - 1)",
        f"whatis({lua_text(f'Description: opens the modules of {category}')})",
        f'prepend_path("MODULEPATH", pathJoin(root, {lua_text(folder)}))',
    ]
    return ("\n".join(rows) + "\n").encode()


def family_name(name: str) -> str:
    """Returns the family of all versions of one software: Lmod makes a variable of it."""
    return "ssds_" + re.sub(r"[^a-z0-9_]", "_", name.lower())


def category_of(description: Mapping[str, Json]) -> str:
    """Returns the first category as a file name; ``other`` where there is none."""
    found = _texts(description.get("categories", ""))
    slug = re.sub(r"[^a-z0-9]+", "-", found[0].lower()).strip("-") if found else ""
    return slug[:64] or "other"


def lua_text(text: str) -> str:
    """Returns one line of text as a Lua string in double quotes."""
    line = blanked(text).replace("\n", " ").replace("\t", " ")[:LINE_LIMIT]
    return '"' + line.replace("\\", "\\\\").replace('"', '\\"') + '"'


def lua_long(text: str) -> str:
    """Returns text as a Lua long string whose brackets the text cannot close."""
    clean = blanked(text)[:TEXT_LIMIT]
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


def whatis_rows(facts: ModuleFacts) -> list[tuple[str, str]]:
    """Returns title and text of each fact that ``module whatis`` shows."""
    about = facts.description
    rows = [("Name", facts.name), ("Version", facts.full)]
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


def help_text(facts: ModuleFacts) -> str:
    """Returns what ``module help`` shows."""
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
    parts += [f"More: {text}" for text in _texts(about.get("homepage", ""))[:1] if text.strip()]
    return "\n\n".join(parts)
