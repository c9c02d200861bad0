"""Makes an index of a plan, and writes it: one file, replaced as a whole."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import PathFinder

from ssds.core.errors import SsdsError
from ssds.core.records import replace
from ssds.graph.index.changes import LOCK_SUFFIX
from ssds.graph.index.edit import Editor, Row
from ssds.graph.index.entries import local_trees
from ssds.graph.index.files import Notes
from ssds.graph.index.groups import HOT_SECTIONS, join
from ssds.graph.index.hot import surroundings
from ssds.graph.index.layout import NOTHING_TO_DO, SLOT_BYTES, BadIndex, Head, IndexFile, pack
from ssds.graph.index.rows import ABSENT, UNKNOWN
from ssds.graph.index.table import (
    CATALOG,
    CODE,
    DIGEST_BYTES,
    GONE,
    GROUND,
    LOCKS,
    NEVER_DAY,
    SETTINGS,
    STORE,
    Documents,
)
from ssds.host.files import grow, replacing
from ssds.recipe.catalog import DATA_FOLDER
from ssds.recipe.generators.model import PACKAGES
from ssds.recipe.homes import Home
from ssds.recipe.model import Release

_ROOM = 1 << 16


def note_recipe(
    notes: Notes, name: str, *, homes: Iterable[Home], locks: str, known: Iterable[bytes]
) -> None:
    """Takes note of everything of one recipe, before it is read.

    Args:
        known: names of its lock files.
    """
    for home in homes:
        notes.walk(f"{home.folder}/{name}")
    notes.look(os.fsencode(locks) + b"/" + file for file in known)


def recipe_rows(
    notes: Notes,
    name: str,
    releases: Iterable[Release],
    *,
    homes: Sequence[Home],
    locks: str,
    lock_files: Iterable[bytes],
) -> tuple[list[Row], bool]:
    """Returns the rows of one recipe, and whether they tell all that its plan rests on.

    A symbolic link among its files is not followed here, so they do not.
    """
    there = [home for home in homes if is_there(notes, home, name)] or homes[:1]
    releases = tuple(releases)
    rows: list[Row] = []
    sure = True
    for home in there:
        more, told = _rows_below(notes, home, name, releases)
        rows += more
        sure = sure and told
    rows += [notes.row(locks, os.fsencode(locks) + b"/" + file) for file in sorted(lock_files)]
    return rows, sure


def is_there(notes: Notes, home: Home, name: str) -> bool:
    """Whether a folder of recipes has one called ``name``, as it was noted."""
    folder = os.fsencode(f"{home.folder}/{name}")
    return folder in notes.folders or folder in notes.links


def _rows_below(
    notes: Notes, where: Home, name: str, releases: Sequence[Release]
) -> tuple[list[Row], bool]:
    """Returns the rows of a recipe's files in one folder of recipes, and whether they tell all."""
    home = os.fsencode(f"{where.folder}/{name}")
    paths = dict.fromkeys(map(os.fsencode, where.files(name)))
    for path in paths:
        notes.seen.setdefault(path, ABSENT)
    sure = home not in notes.links
    for tree in local_trees(releases):
        top = os.fsencode(tree.path)
        if not top.startswith(home + b"/"):
            continue  # a recipe of this name stands in another folder too, which is an error
        below = top[len(home) + 1 :].split(b"/")
        on_the_way = [home + b"/" + b"/".join(below[:depth]) for depth in range(1, len(below))]
        for path in (*on_the_way, top):
            if not tree.entries:  # it is not there, and its folder may not be
                notes.seen.setdefault(path, ABSENT)
            paths[path] = None
        if top in notes.folders:
            paths.update({top + b"/" + os.fsencode(e.path): None for e in tree.entries})
    sure = sure and not any(path in notes.links or path not in notes.seen for path in paths)
    return [notes.row(where.folder, path) for path in paths], sure


def shared_files(root: str, homes: Iterable[Home]) -> list[str]:
    """Returns the folders and files of checkouts that any recipe there may read."""
    found = []
    for shared in (folder for home in homes for folder in home.shared()):
        found.append(shared)
        for folder, folders, files in os.walk(os.path.join(root, shared)):
            folders.sort()
            below = os.path.relpath(folder, os.path.join(root, shared))
            inside = os.path.normpath(os.path.join(shared, below))
            found += [f"{inside}/{name}" for name in sorted((*folders, *files))]
    return found


def ground_files(root: str, catalog: str, locks: str, state: str) -> list[str]:
    """Returns the files that all recipes share, relative to the workspace."""
    names = ("catalog", "bases", "policies", "debts", "channels", "advisories")
    found = [f"{catalog}/{name}.yaml" for name in names]
    found.append(f"{locks}/catalog.lock.json")
    for folder in (f"{catalog}/sites", f"{state}/observed"):
        found.append(folder)
        try:
            found += [f"{folder}/{name}" for name in sorted(os.listdir(os.path.join(root, folder)))]
        except OSError:
            continue
    return found + data_files(root, catalog, locks)


def data_files(root: str, catalog: str, locks: str) -> list[str]:
    """Returns the files and folders of reference data sets and of their locks, where there are any.

    Any change of them has the whole catalog planned.
    """
    found = []
    for top in (f"{catalog}/{DATA_FOLDER}", f"{locks}/{DATA_FOLDER}"):
        if not os.path.isdir(os.path.join(root, top)):
            continue  # when it comes the row of the folder above changes
        for folder, folders, files in os.walk(os.path.join(root, top)):
            folders.sort()
            inside = os.path.normpath(os.path.join(top, os.path.relpath(folder, f"{root}/{top}")))
            found += [inside, *(f"{inside}/{name}" for name in sorted((*folders, *files)))]
    return list(dict.fromkeys(found))


def note_ground(
    notes: Notes,
    *,
    homes: Sequence[Home],
    locks: str,
    state: str,
    settings: Iterable[str],
    store: str,
) -> None:
    """Takes note of what all recipes share, of the settings, the claims and ssds itself."""
    notes.look([*(os.fsencode(home.folder) for home in homes), os.fsencode(locks)])
    ground = ground_files(notes.root, homes[0].folder, locks, state)
    ground += shared_files(notes.root, homes)
    for path in (*ground, *settings, *claim_files(store)):
        notes.follow(os.fsencode(path))
    notes.look(os.fsencode(path) for path in (*code_files(), *package_files()))


def put_ground(
    editor: Editor,
    notes: Notes,
    *,
    homes: Sequence[Home],
    locks: str,
    state: str,
    settings: Iterable[str],
    store: str,
    more: Iterable[str],
) -> None:
    """Sets the rows that are no recipe's.

    Args:
        more: files that were there, whatever they hold (advisory sets: locks pin their content).
    """

    def rows(paths: Iterable[str], *, content: bool = True) -> list[Row]:
        return [
            notes.row(".", hop, content=content)
            for path in paths
            for hop in notes.follow(os.fsencode(path))
        ]

    home = os.path.dirname(_package())
    editor.set_rows(
        {
            CATALOG: rows([home.folder for home in homes], content=False),
            LOCKS: rows([locks], content=False),
            GROUND: [
                *rows(ground_files(notes.root, homes[0].folder, locks, state)),
                *rows(shared_files(notes.root, homes)),
                *(
                    row if row.row != ABSENT else replace(row, row=UNKNOWN)
                    for row in rows(more, content=False)
                ),
            ],
            SETTINGS: rows(settings),
            STORE: rows(claim_files(store), content=False),
            CODE: [
                notes.row(home, os.fsencode(p), content=False)
                for p in (*code_files(), *package_files())
            ],
        }
    )


def claim_files(store: str) -> tuple[str, str]:
    """Returns the files of the store's claims; see ``ssds.store.claims``."""
    path = os.path.join(store, "claims.sqlite")
    return path, f"{path}-wal"


def _package() -> str:
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def code_files() -> list[str]:
    """Returns the files of ssds, and of the YAML reader, whose change makes an index useless."""
    found = [os.path.abspath(_yaml_file())]
    for folder, folders, files in os.walk(_package()):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        found += [os.path.join(folder, f) for f in sorted(files) if f.endswith((".py", ".json"))]
    return found


def package_files() -> list[str]:
    """Returns a file of each generator's package, there or not; another may give other steps."""
    home = os.path.dirname(os.path.dirname(os.path.abspath(_yaml_file())))
    return [_first_file(name) or os.path.join(home, name, "__init__.py") for name in PACKAGES]


def _yaml_file() -> str:
    """Returns the file of PyYAML, which is not imported for that."""
    if found := _first_file("yaml"):
        return found
    import yaml  # some other finder has it

    return yaml.__file__


def _first_file(package: str) -> str:
    spec = PathFinder.find_spec(package)
    return (spec.origin or "") if spec is not None else ""


def code_digest() -> str:
    """Returns a digest of ssds itself, of the YAML reader's version and of Python's."""
    import hashlib

    import yaml

    whole = hashlib.sha256(f"{yaml.__version__} {sys.version_info[:2]}".encode())
    for name in filter(_first_file, PACKAGES):
        from importlib.metadata import version

        whole.update(f"{name} {version(name)}\0".encode())
    for path in code_files()[1:]:
        with open(path, "rb") as file:
            whole.update(os.path.relpath(path, _package()).encode() + b"\0")
            whole.update(hashlib.sha256(file.read()).digest())
    return whole.hexdigest()


def first_change(editor: Editor) -> int:
    """Returns the first day on which the key of any recipe changes."""
    table = editor.table
    days = (d for d, f in zip(table.until, table.flags, strict=True) if not f & GONE)
    return min(days, default=NEVER_DAY)


def save(
    path: str,
    editor: Editor,
    documents: Documents,
    *,
    before: IndexFile | None,
    from_day: int,
    notes_until_s: int,
    printed: tuple[str, str] | None,
) -> bool:
    """Writes the index; False where nothing changed or nothing can be written.

    A workspace that cannot be written costs only time.

    Args:
        before: the index as it is.
        from_day: since when the keys hold.
        notes_until_s: until when the notes say the same.
        printed: the plan as text and as JSON where nothing is to do, else None.
    """
    words = join((*(printed or ("", "")), surroundings()))
    flags = NOTHING_TO_DO if printed is not None else 0
    head = (from_day, first_change(editor), notes_until_s, flags)
    try:
        if before is not None and before.live_bytes + _ROOM > os.stat(path).st_size // 2:
            return _grow(path, before, editor, documents, words, head)
        return _replace(path, editor, documents, words, head)
    except (SsdsError, OSError, BadIndex):
        return False


def _replace(
    path: str,
    editor: Editor,
    documents: Documents,
    words: bytes,
    head: Head,
) -> bool:
    """Writes a new file, without what no recipe needs any more."""
    digests = bytes(editor.table.digests)
    documents.keep({digests[at : at + DIGEST_BYTES] for at in range(0, len(digests), DIGEST_BYTES)})
    sections: list[tuple[str, bytes | bytearray]] = [("printed", words)]
    sections += [*editor.groups.sections(), *editor.table.sections(), *documents.sections()]
    pieces, slot = pack(sections, head, unchecked=("recipes",))
    with replacing(path, point="index", mode=0o600) as file:
        file.write(slot + bytes(SLOT_BYTES))
        file.writelines(pieces)
    return True


def _grow(
    path: str,
    before: IndexFile,
    editor: Editor,
    documents: Documents,
    words: bytes,
    head: Head,
) -> bool:
    """Adds what is another than before to the file."""
    new: list[tuple[str, bytes | bytearray]] = []
    if before.section("printed") != words:
        new.append(("printed", words))
    for name in sorted(editor.changed):
        holder = editor.groups if name in HOT_SECTIONS else editor.table
        data = holder.packed(name)
        if bytes(before.section(name)) != data:
            new.append((name, data))
    if not new and not documents.added and before.head == head:
        return False
    if documents.added:
        new += documents.sections()
    names = {name for name, _ in new} - {"recipe_digests", "recipes_at", "recipes"}
    start = os.stat(path).st_size
    pieces, slot = pack(
        new,
        head,
        start=start,
        kept=[entry for entry in before.entries if entry[0] not in names],
        turn=before.turn + 1,
        unchecked=("recipes",),
    )
    return grow(
        path,
        pieces,
        start=start,
        head=before.slots,
        slot=slot,
        slot_at=(before.turn % 2) * SLOT_BYTES,
        point="index",
    )


def lock_files_of(names: Iterable[bytes]) -> dict[str, list[bytes]]:
    """Returns recipe → its lock files, of the names of files."""
    found: dict[str, list[bytes]] = {}
    for file in names:
        if file.endswith(LOCK_SUFFIX.encode()) and b"@" in file:
            found.setdefault(os.fsdecode(file).partition("@")[0], []).append(file)
    return found
