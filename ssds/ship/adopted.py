"""Modules of what others deployed: their names load from a site's modules too.

``NAME/VERSION`` is the adopted release until one of ours has that name and version; then ours is,
and the adopted one stays loadable and hidden as ``NAME/VERSION-r0``. A module that others wrote is
taken as it is, where it is that of the adopted build; else one is made, to their wrappers::

    wrappers/<name>/<version>-r0/bin -> ../../../…/containers/<name>_<version>_<YYYYMMDD>
"""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from ssds.core.errors import InvalidValue
from ssds.core.text import blanked
from ssds.host import local
from ssds.recipe.model import Site
from ssds.recipe.selectors import about, hits
from ssds.ship import modules, tcl
from ssds.ship.generation import Entry
from ssds.ship.modules import ModuleFacts, lua_text
from ssds.ship.naming import module_folder, runtime_module
from ssds.ship.sites import Resident
from ssds.ship.withdrawing import judged

ADOPTED_REVISION = 0
THEIR_MODULES = "containers/modules"
_LIMIT_BYTES = 1 << 20
_PATH = re.compile(
    rb'^prepend_path\(\s*"PATH"\s*,\s*"([^"\n]{1,4096})"|^prepend-path\s+PATH\s+(\S{1,4096})',
    re.MULTILINE,
)
_SETENV = re.compile(rb'^setenv\(\s*"([A-Za-z_]\w*)"\s*,\s*"([^"\\\n]*)"\s*\)\s*$', re.MULTILINE)
_UP = 8
"""How deep below the tree a part's ``wrappers/<name>/<full>`` stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """What a site gets of one of them: a record's entry, and what its part holds, by path."""

    entry: Entry
    files: Mapping[str, bytes]
    links: Mapping[str, str]


def guests_of(
    site: Site, residents: Iterable[Resident], folder: str, ours: Container[tuple[str, str]]
) -> Iterator[Guest]:
    """Gives what a site gets of adopted releases.

    Args:
        folder: the tree; ours: names and modules that a release of ours has.
    """
    for one in residents:
        yield _guest(site, one, _their_modules(folder, one), current=one.release not in ours)


def _their_modules(folder: str, one: Resident) -> dict[str, bytes]:
    """Returns ``.lua`` or the empty string → a module that others wrote for just this build."""
    found = {}
    for suffix in (".lua", ""):
        path = f"{THEIR_MODULES}/{one.id.name}/{one.id.version}{suffix}"
        try:
            data = local.read_below(folder, path, _LIMIT_BYTES) or b""
        except (OSError, InvalidValue):
            continue
        places = [a or b for a, b in _PATH.findall(data)]
        if places and os.path.basename(places[-1].rstrip(b"/")) == os.path.basename(
            one.folder
        ).encode("utf-8", "surrogateescape"):
            found[suffix] = data
    return found


def _guest(site: Site, one: Resident, theirs: Mapping[str, bytes], *, current: bool) -> Guest:
    known = one.adoption
    description = {"categories": list(known.about.categories)}
    pairs = _SETENV.findall(theirs.get(".lua", b""))
    facts = ModuleFacts(
        name=one.id.name,
        version=one.id.tag,
        revision=ADOPTED_REVISION,
        image=str(known.digest),
        commands=tuple(c for c in known.commands if not c.startswith(".") and "/" not in c),
        environment={n.decode(): v.decode("utf-8", "replace") for n, v in pairs},
        description={**description, "summary": f"as others deployed it in {one.folder}"},
        needs=runtime_module(site),
    )
    facts = replace(facts, folder=module_folder(site, facts))
    entry = Entry(
        name=one.id.name,
        version=one.id.version,
        variant=one.id.variant,
        revision=ADOPTED_REVISION,
        module=one.id.tag,
        images={},
        commands=tuple(facts.commands),
        folder=facts.place,
        current=current,
        hidden=hits(site.hidden, one.id, about(description, {})),
        withdrawn=one.withdrawn is not None,
    )
    files: dict[str, bytes] = {}
    for hidden in (True, False) if current else (True,):
        files |= _module_files(site, facts, theirs, hidden=hidden)
    links = {f"wrappers/{entry.name}/{entry.full}/bin": f"{'../' * _UP}{one.folder}"}
    if current:
        links[f"wrappers/{entry.name}/{entry.module}"] = entry.full
    return Guest(entry=entry, files=judged(files, one.said), links=links)


def _module_files(
    site: Site, facts: ModuleFacts, theirs: Mapping[str, bytes], *, hidden: bool
) -> dict[str, bytes]:
    """Returns path → bytes of its module in each system of the site."""
    path = f"{facts.place}/{facts.full if hidden else facts.version}"
    found = {}
    if site.modules != "tcl":
        made = theirs.get(".lua")
        head = f"-- {_title(facts)}\n"
        if facts.needs:
            head += f"depends_on({lua_text(facts.needs)})\n"
        found[f"{path}.lua"] = (
            modules.module_text(facts, hidden=hidden) if made is None else head.encode() + made
        )
    if site.modules != "lmod":
        made = theirs.get("")
        text = f"{tcl.COOKIE}\n# {_title(facts)}\n".encode()
        found[path] = tcl.module_text(facts, hidden=hidden) if made is None else text + made
    return found


def _title(facts: ModuleFacts) -> str:
    return blanked(f"{facts.name} {facts.full}: the module that others wrote").replace("\n", " ")
