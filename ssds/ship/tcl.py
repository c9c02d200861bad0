"""Module files in Tcl, for Environment Modules and for Lmod: pure functions of a release.

They hold what the Lua files hold, as far as both systems know a word for it. Source: the manual of
Environment Modules 5, "modulefile(4)"; the Tcl language, "Tcl(n)".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ssds.core.text import blanked
from ssds.ship.modules import (
    LINE_LIMIT,
    TEXT_LIMIT,
    ModuleFacts,
    help_text,
    whatis_rows,
)

COOKIE = "#%Module1.0"
_SPECIAL = re.compile(r'[\\"$\[\]{}]')


def module_text(facts: ModuleFacts, *, hidden: bool) -> bytes:
    """Returns the module file: the public one, or the hidden one with the revision in its name."""
    full = facts.full
    own = f"/{facts.place}/{full if hidden else facts.version}"
    rows = [
        COOKIE,
        f"# {facts.name} {full}, {facts.image}; made by ssds, do not edit",
        *_root(own),
        "proc ModulesHelp {} {",
        f"    puts stderr {tcl_text(help_text(facts), lines=True)}",
        "}",
        *(f"module-whatis {tcl_text(f'{title}: {text}')}" for title, text in whatis_rows(facts)),
    ]
    if facts.commands:
        names = ", ".join(sorted(facts.commands))
        rows.append(f"module-whatis {tcl_text(f'Commands: {names}')}")
    rows.append(f"conflict {tcl_text(_name(facts))}")
    if facts.needs:
        need = tcl_text(facts.needs)
        rows += [
            'if {[info commands depends-on] ne ""} {',
            f"    depends-on {need}",
            "} else {",
            f"    module load {need}",
            "}",
        ]
    rows.append(f"prepend-path PATH $root/{tcl_word(facts.programs)}")
    rows += [f"setenv {name} {tcl_text(value)}" for name, value in facts.variables]
    return ("\n".join(rows) + "\n").encode()


def modulerc_text(hidden: Sequence[str], name: str, default: str) -> bytes:
    """Returns ``.modulerc`` of one name: hides versions, and says which a bare name loads."""
    rows = [COOKIE]
    if default:
        rows.append(f"module-version {tcl_text(f'{name}/{default}')} default")
    if hidden:
        words = " ".join(tcl_text(f"{name}/{version}") for version in sorted(hidden))
        rows += [
            'if {[info commands module-hide] ne ""} {',
            f"    module-hide {words}",
            "} else {",
            f"    foreach version [list {words}] {{ hide-version $version }}",
            "}",
        ]
    return ("\n".join(rows) + "\n").encode()


def opener_text(category: str, folder: str) -> bytes:
    """Returns the module that opens a category's modules (``naming: hierarchy``)."""
    rows = [
        COOKIE,
        *_root(f"/modules/{category}"),
        f"module-whatis {tcl_text(f'Description: opens the modules of {category}')}",
        f"prepend-path MODULEPATH $root/{tcl_word(folder)}",
    ]
    return ("\n".join(rows) + "\n").encode()


def tcl_text(text: str, *, lines: bool = False) -> str:
    """Returns text as one quoted word of Tcl; nothing in it is obeyed.

    What is not ASCII is written as an escape: the systems read files in the locale's encoding.

    Args:
        lines: keeps line ends.
    """
    clean = blanked(text)[: TEXT_LIMIT if lines else LINE_LIMIT]
    clean = _SPECIAL.sub(lambda found: "\\" + found[0], clean)
    clean = clean.replace("\t", " ").replace("\n", "\\n" if lines else " ")
    return '"' + "".join(c if c.isascii() else _escape(c) for c in clean) + '"'


def tcl_word(text: str) -> str:
    """Returns text as a part of a word; what is special in Tcl stands behind a backslash."""
    return "".join(c if re.fullmatch(r"[A-Za-z0-9_./-]", c) else f"\\{c}" for c in text)


def _escape(character: str) -> str:
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else "?"


def _root(own: str) -> list[str]:
    """Returns the lines that find the site's folder from the file's own name."""
    end = len(own)
    return [f"set root [string range $ModulesCurrentModulefile 0 end-{end}]"]


def _name(facts: ModuleFacts) -> str:
    """Returns the name under which the system knows the software: ``category/name`` or ``name``."""
    return facts.place.partition("/")[2] if facts.place.startswith("modules/") else facts.name
