"""The shortest way to a plan: nothing changed since the last one, and then nothing was to do.

Only what the index itself says and one look at each file; whatever is unusual is left to the long
way, which gives the same answer and goes on with what was seen here. Imports nothing that costs
time.
"""

from __future__ import annotations

import os
import sys
import time

from ssds.graph.index import rows
from ssds.graph.index.groups import Groups, words
from ssds.graph.index.layout import NOTHING_TO_DO, BadIndex, IndexFile, open_index

_VARIABLES = ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
_DAY_S = 86_400


def surroundings() -> str:
    """Returns what settings come from beside files, and which Python and ssds run, as one text."""
    found = [f"{name}={os.environ.get(name, '')}" for name in _VARIABLES]
    found += sorted(
        f"{name}={text}"
        for name, text in os.environ.items()
        if name.startswith("SSDS_") and not name.startswith("SSDS_FAULT_")
    )
    return "\n".join([sys.version, sys.prefix, os.path.dirname(__file__), *found])


class Glance:
    """What the shortest way saw.

    Attributes:
        path: of the index file.
        file, groups: the index, None where it was not read so far.
        changed: number of a group → what ``rows.changed`` found there, for those looked at.
    """

    __slots__ = ("changed", "file", "groups", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self.file: IndexFile | None = None
        self.groups: Groups | None = None
        self.changed: dict[int, list[tuple[int, bytes]]] = {}


def printed(root: str, path: str, *, as_json: bool, glance: Glance | None = None) -> str | None:
    """Returns what the last plan printed where it still holds, else None.

    Args:
        root: the workspace.
        path: the index file.
        as_json: what ``--json`` prints.
        glance: gets what was seen on the way.
    """
    glance = glance or Glance(path)
    try:
        file = glance.file = open_index(path)
        if file is None:
            return None
        first, until, notes_until_s, flags = file.head
        now_s = time.time()
        if not flags & NOTHING_TO_DO or now_s >= notes_until_s:
            return None
        if not first <= now_s // _DAY_S < until:
            return None
        text, json_text, around = words(file, "printed")
        if around != surroundings():
            return None
        groups = glance.groups = Groups.load(file)
        for number, base in enumerate(groups.bases):
            folder, names = os.path.join(root, base), groups.paths[number]
            found = glance.changed[number] = rows.changed(folder, names, groups.rows[number])
            if found:
                return None
    except (BadIndex, OSError, ValueError):
        return None  # the long way says what is wrong
    return json_text if as_json else text
