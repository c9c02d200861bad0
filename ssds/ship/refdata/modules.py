"""Modules of data sets, in Lua and in Tcl: they set the variables that programs read. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ssds.core.canonical import Json
from ssds.core.records import replace
from ssds.lock.data import DataLock
from ssds.recipe.model import Site
from ssds.ship import tcl
from ssds.ship.modules import ModuleFacts, family_name, help_text, lua_long, lua_text, whatis_rows
from ssds.ship.naming import module_folder
from ssds.ship.refdata.entry import DataEntry
from ssds.ship.wrappers import fit_for_host

PATH = "{path}"
_SHOWN = ("description", "licenses", "homepage", "categories", "citations")


def data_facts(site: Site, lock: DataLock, digest: str) -> ModuleFacts:
    """Returns what a data set's module says, as far as it is what all modules say."""
    about: dict[str, Json] = {key: lock.about[key] for key in _SHOWN if key in lock.about}
    about["summary"] = lock.about.get("title", "")
    facts = ModuleFacts(
        name=lock.id.name,
        version=lock.id.version,
        revision=0,
        image=digest,
        environment=lock.environment,
        description=about,
    )
    return replace(facts, folder=module_folder(site, facts))


def data_module_files(site: Site, facts: ModuleFacts, entry: DataEntry) -> dict[str, bytes]:
    """Returns path → bytes of a set's public module and of the one that names its content."""
    files = {}
    for last in (entry.module, entry.full):
        own = f"/{entry.folder}/{last}"
        if site.modules != "tcl":
            files[f"{own[1:]}.lua"] = _lua(facts, entry, f"{own}.lua")
        if site.modules != "lmod":
            files[own[1:]] = _tcl(facts, entry, own)
    return files


def _rows(facts: ModuleFacts, entry: DataEntry) -> list[tuple[str, str]]:
    rows = [row for row in whatis_rows(facts) if row[0] not in ("Version", "Image")]
    return [rows[0], ("Version", entry.full), *rows[1:], ("Data", str(entry.digest))]


def _variables(environment: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Returns name → the texts between which the folder's path stands."""
    pairs = sorted(environment.items())
    return [(name, value.split(PATH)) for name, value in pairs if fit_for_host(name)]


def _lua(facts: ModuleFacts, entry: DataEntry, own: str) -> bytes:
    rows = [
        f"-- {facts.name} {entry.full}, {entry.digest}; made by ssds, do not edit",
        f"local own = {lua_text(own)}",
        "local root = myFileName():sub(1, -#own - 1)",
        f"local path = pathJoin(root, {lua_text(entry.place)})",
        f"help({lua_long(help_text(facts))})",
        *(f"whatis({lua_text(f'{title}: {text}')})" for title, text in _rows(facts, entry)),
        f"family({lua_text(family_name(facts.name))})",
    ]
    for name, parts in _variables(facts.environment):
        value = " .. path .. ".join(lua_text(part) for part in parts)
        rows.append(f"pushenv({lua_text(name)}, {value})")
    return ("\n".join(rows) + "\n").encode()


def _tcl(facts: ModuleFacts, entry: DataEntry, own: str) -> bytes:
    name = facts.place.partition("/")[2] if facts.place.startswith("modules/") else facts.name
    rows = [
        "#%Module1.0",
        f"# {facts.name} {entry.full}, {entry.digest}; made by ssds, do not edit",
        f"set root [string range $ModulesCurrentModulefile 0 end-{len(own)}]",
        f"set path $root/{tcl.tcl_word(entry.place)}",
        "proc ModulesHelp {} {",
        f"    puts stderr {tcl.tcl_text(help_text(facts), lines=True)}",
        "}",
        *(
            f"module-whatis {tcl.tcl_text(f'{title}: {text}')}"
            for title, text in _rows(facts, entry)
        ),
        f"conflict {tcl.tcl_text(name)}",
    ]
    for variable, parts in _variables(facts.environment):
        value = "${path}".join(tcl.tcl_text(part)[1:-1] for part in parts)
        rows.append(f'setenv {variable} "{value}"')
    return ("\n".join(rows) + "\n").encode()


def older_modules(entry: DataEntry) -> tuple[str, str]:
    """Returns the paths of the modules that name an earlier content, in Lua and in Tcl."""
    assert re.fullmatch(r"[^/]+", entry.full)
    return f"{entry.folder}/{entry.full}.lua", f"{entry.folder}/{entry.full}"
