"""Whether a path of an image can be used by everybody, and stays inside the image.

Whoever runs a deployed program is neither its owner nor root: a folder on the way must be
traversable by others, a file readable by them, a program executable. Sources: path_resolution(7);
the binds of container runtimes as the Apptainer user guide lists them ("Bind Paths and Mounts").
"""

from __future__ import annotations

from ssds.core.text import shown
from ssds.oci.flatten import LINK_LIMIT, Entry, FlatTree

HIDDEN = ("dev", "proc", "sys", "tmp", "var/tmp")
"""Folders that every runtime replaces by the host's."""


class Access:
    """Looks at paths of one image; each real path is judged once."""

    def __init__(self, tree: FlatTree) -> None:
        self.tree = tree
        self._known: dict[str, tuple[Entry | None, tuple[str, ...]]] = {}

    def follow(self, path: str) -> tuple[Entry | None, tuple[str, ...]]:
        """Returns what a path means, and what hinders others on the way to it.

        None with one problem where it means nothing.
        """
        known = self._known.get(path)
        if known is None:
            known = self._known[path] = self._follow(path)
        return known

    def _follow(self, path: str) -> tuple[Entry | None, tuple[str, ...]]:
        rest = _parts(path)
        where, links = "", 0
        problems: dict[str, None] = {}
        while rest:
            name = rest.pop()
            if name == "..":
                if not where:
                    problems[f"a link on its way leaves the image: {shown(path)}"] = None
                where = where.rpartition("/")[0]
                continue
            step = f"{where}/{name}" if where else name
            entry = self.tree.get(step)
            if entry is None:
                return None, (_missing(path, step, links),)
            if entry.type == "symlink":
                links += 1
                if links > LINK_LIMIT:
                    return None, (f"{shown(path)} goes round in symbolic links",)
                if entry.target.startswith("/"):
                    where = ""
                rest += _parts(entry.target)
                continue
            if entry.type == "folder" and not entry.mode & 0o001:
                mode = f"{entry.mode & 0o7777:04o}"
                problems[f"others cannot enter the folder /{shown(step)} (mode {mode})"] = None
            elif entry.type != "folder" and rest:
                return None, (_missing(path, f"{step}/{rest[-1]}", links),)
            where = step
        problems.update(dict.fromkeys(_hidden(where)))
        return self.tree.get(where), tuple(problems)


def _parts(path: str) -> list[str]:
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def _missing(path: str, step: str, links: int) -> str:
    if links:
        return f"the link {shown(path)} leads to /{shown(step)}, which is not in the image"
    return f"{shown(path)} is not in the image"


def _hidden(path: str) -> list[str]:
    return [
        f"it stands in /{folder}, which runtimes replace by the host's"
        for folder in HIDDEN
        if path == folder or path.startswith(f"{folder}/")
    ]


def mode_problems(entry: Entry, bits: int) -> list[str]:
    """Returns what others may not do with a file; ``bits``: 4 to read it, 1 to run it."""
    words = [w for bit, w in ((4, "read"), (1, "execute")) if bits & bit and not entry.mode & bit]
    if not words:
        return []
    mode = f"{entry.mode & 0o7777:04o}"
    return [f"others cannot {' or '.join(words)} /{shown(entry.path)} (mode {mode})"]
