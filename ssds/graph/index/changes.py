"""Which recipes must be looked at again: files, folders, shared parts that are not as before."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from ssds.graph.index import rows
from ssds.graph.index.edit import Editor
from ssds.graph.index.files import Notes, refreshed
from ssds.graph.index.table import CATALOG, CODE, DIGEST_BYTES, FOLDER, LOCKS, SETTINGS, STORE
from ssds.recipe.homes import Home

LOCK_SUFFIX = ".lock.json"
SHARED_LOCK = "catalog.lock.json"


class Changes:
    """What is not as it was.

    Attributes:
        recipes: names of recipes whose own files changed, appeared or went.
        relocked: those of them whose locks did: what they pin may matter to others.
        ground: something that all recipes share changed.
        relisted: the folder of the locks has other names.
        store, code: the claims, or ssds itself, may have changed.
        other: any row that is no recipe's is another one.
    """

    def __init__(self) -> None:
        self.recipes: set[str] = set()
        self.relocked: set[str] = set()
        self.ground = self.relisted = self.store = self.code = self.other = False


def find_changes(
    editor: Editor,
    notes: Notes,
    *,
    homes: Sequence[Home],
    locks: str,
    seen: Mapping[int, Sequence[tuple[int, bytes]]],
) -> Changes:
    """Returns what changed; files that were only touched get their new rows at once.

    Args:
        editor: the index.
        notes: of this plan.
        homes, locks: the folders of recipes, and of the locks, relative to the workspace.
        seen: number of a group → what ``rows.changed`` found there just now, where it was asked.
    """
    changes = Changes()
    groups, table = editor.groups, editor.table
    start = 0
    for group, base in enumerate(groups.bases):
        folder = os.path.join(notes.root, base)
        paths = groups.paths[group]
        found = seen.get(group)
        if found is None:
            found = rows.changed(folder, paths, groups.rows[group])
        for at, row in found:
            place = start + at
            owner = table.owners[place]
            path = os.path.join(os.fsencode(folder), paths[at])
            changes.other |= owner < 0
            known = bytes(table.digests[place * DIGEST_BYTES : (place + 1) * DIGEST_BYTES])
            same = refreshed(path, row, known, notes.clock_ns)
            if same is not None:
                editor.set_row(group, at, same)
            elif owner == CATALOG:
                _list_catalog(changes, editor, notes.root, homes)
            elif owner == LOCKS:
                changes.relisted = True
                _list_locks(changes, editor, notes.root, locks)
            elif owner >= 0:
                name = table.names[owner]
                changes.recipes.add(name)
                if base == locks:
                    changes.relocked.add(name)
            else:
                changes.store |= owner == STORE
                changes.code |= owner == CODE
                changes.ground |= owner not in (STORE, CODE, SETTINGS)
        start += len(paths)
    return changes


def _list_catalog(changes: Changes, editor: Editor, root: str, homes: Sequence[Home]) -> None:
    now: set[str] = set()
    try:
        for home in homes:
            if home.format == "ssds" and not os.path.isdir(os.path.join(root, home.folder)):
                continue
            with os.scandir(os.path.join(root, home.folder)) as entries:
                for entry in entries:
                    name = entry.name
                    if not name.startswith(".") and name not in home.reserved and entry.is_dir():
                        now.add(name)
                        if entry.is_symlink():
                            changes.recipes.add(name)
    except OSError:
        changes.ground = True
        return
    table = editor.table
    before = {name for name, flags in zip(table.names, table.flags, strict=True) if flags & FOLDER}
    changes.recipes |= now ^ before


def _list_locks(changes: Changes, editor: Editor, root: str, locks: str) -> None:
    try:
        now = os.listdir(os.fsencode(os.path.join(root, locks)))
    except FileNotFoundError:
        now = []
    except OSError:
        changes.ground = True
        return
    groups = editor.groups
    known = set(groups.paths[groups.bases.index(locks)]) if locks in groups.bases else set()
    for name in now:
        if name not in known and name.endswith(LOCK_SUFFIX.encode()):
            recipe = os.fsdecode(name).partition("@")[0]
            changes.recipes.add(recipe)
            changes.relocked.add(recipe)
