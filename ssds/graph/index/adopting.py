"""Makes an index of this clone out of a portable one: what has the same content here is known.

Every path is looked at first and compared afterwards, so what changes meanwhile is looked at
again by the next plan. What cannot be vouched for gets an unknown row, and so a plan of its own.
"""

from __future__ import annotations

import os
import stat
import time
from array import array
from collections.abc import Callable, Container
from dataclasses import dataclass, field

from ssds.graph.index.changes import LOCK_SUFFIX, SHARED_LOCK
from ssds.graph.index.edit import Editor, Row
from ssds.graph.index.exporting import listing_digest
from ssds.graph.index.files import Notes, content_digest
from ssds.graph.index.groups import Groups
from ssds.graph.index.keeping import ground_files
from ssds.graph.index.portable import (
    FILE,
    FOLDER_KIND,
    ID_BYTES,
    NOTHING,
    PROGRAM,
    UNSURE_KIND,
    Portable,
)
from ssds.graph.index.rows import ABSENT, UNKNOWN, is_racy, row_of
from ssds.graph.index.table import (
    CATALOG,
    CODE,
    DIGEST_BYTES,
    FOLDER,
    GROUND,
    LOCKS,
    NO_DIGEST,
    SETTINGS,
    STORE,
)
from ssds.host.tracked import Vouched

_TICK_S = 0.06
_MARK = b"ssds.yaml"
"""A row of it that is never equal makes the next plan look at what is this machine's."""


@dataclass(slots=True)
class Adopted:
    """What was found.

    Attributes:
        editor: the index of this clone, to be written.
        different: recipes of which something is not as it was there.
        ground: why the whole catalog must be planned anew, or the empty string.
        by_git, read: how many files git vouched for, and how many were read.
        silent: why git vouches for nothing, or the empty string.
    """

    editor: Editor
    different: set[str] = field(default_factory=set)
    ground: str = ""
    by_git: int = 0
    read: int = 0
    silent: str = ""


@dataclass(slots=True)
class _Look:
    """How a path looks here."""

    row: bytes
    kind: int
    size: int = 0


def adopt(
    portable: Portable,
    root: str,
    vouched: Callable[[], Vouched],
    *,
    state: str,
    reserved: Container[str],
) -> Adopted:
    """Returns the index of this clone; reads the disk and writes nothing.

    Args:
        portable: of a catalog folder that is called as the one of this workspace.
        root: the workspace, absolute.
        vouched: asks git; called when every file was looked at.
        state: the folder of the workspace's state, relative to it.
        reserved: folders of the catalog that are no recipes.
    """
    adoption = _Adoption(portable, root, state)
    adoption.look()
    adoption.vouched = vouched()
    adoption.compare()
    adoption.put_shared(reserved)
    return adoption.done


class _Adoption:
    """One import."""

    def __init__(self, portable: Portable, root: str, state: str) -> None:
        self.portable = portable
        self.about = portable.about
        self.root = root
        self.state = state
        self.vouched = Vouched()
        self.done = Adopted(Editor(Groups(), portable.table))
        self.shared = [os.fsencode(name) for name in (self.about.catalog, self.about.locks)]
        self._looks: list[_Look] = []
        self._clock_ns = 0

    def look(self) -> None:
        """Looks at every path of the index; once more at those that were just written."""
        groups = self.portable.groups
        places = [
            os.path.join(os.fsencode(self.root), os.fsencode(base), path)
            for base, paths in zip(groups.bases, groups.paths, strict=True)
            for path in paths
        ]
        places += [os.path.join(os.fsencode(self.root), name) for name in self.shared]
        self._set_clock()
        self._looks = [_look(place) for place in places]
        fresh = [at for at, look in enumerate(self._looks) if self._is_racy(look.row)]
        if fresh:
            time.sleep(_TICK_S)
            self._set_clock()
            for at in fresh:
                self._looks[at] = _look(places[at])

    def _set_clock(self) -> None:
        notes = Notes(self.root)
        folder = os.path.join(self.root, self.state)
        if os.path.isdir(folder):
            notes.set_clock(folder)
        self._clock_ns = notes.clock_ns

    def _is_racy(self, row: bytes) -> bool:
        return is_racy(row, self._clock_ns)

    def _settled(self, row: bytes) -> bytes:
        return UNKNOWN if self._is_racy(row) else row

    # -- recipes -------------------------------------------------------------------------------

    def compare(self) -> None:
        """Gives every row of the portable index its value here."""
        self.done.silent = self.vouched.reason
        if not self.done.silent and self.vouched.objects != self.about.objects:
            self.done.silent = "its objects have other names than those of the exporter"
        table, groups = self.portable.table, self.portable.groups
        known = bytes(table.digests)
        digests = bytearray()
        place = 0
        ground: list[Row] = []
        for number, base in enumerate(groups.bases):
            rows = bytearray()
            for at, path in enumerate(groups.paths[number]):
                digest = known[place * DIGEST_BYTES : (place + 1) * DIGEST_BYTES]
                blob = bytes(groups.rows[number][at * ID_BYTES : (at + 1) * ID_BYTES])
                row, same = self._row(base, path, place, digest, blob)
                owner = table.owners[place]
                kept = digest if self.portable.kinds[place] in _FILES else NO_DIGEST
                rows += row
                digests += kept
                if owner == GROUND:
                    ground.append(Row(base, path, row, kept))
                    if not same and not self.done.ground:
                        self.done.ground = f"{os.fsdecode(path)} is not as it was there"
                elif not same:
                    self.done.different.add(table.names[owner])
                place += 1
            groups.rows[number] = rows
        table.digests = digests
        self.done.editor = Editor(groups, table)
        self._compare_ground(ground)

    def _row(
        self, base: str, path: bytes, place: int, digest: bytes, blob: bytes
    ) -> tuple[bytes, bool]:
        """Returns the row of a path, and whether its content is that of the portable index."""
        wanted, look = self.portable.kinds[place], self._looks[place]
        if wanted == NOTHING:
            return ABSENT, look.kind == NOTHING
        where = os.path.join(os.fsencode(self.root), os.fsencode(base), path)
        if wanted == FOLDER_KIND:
            same = look.kind == FOLDER_KIND and listing_digest(where) == digest
        elif wanted == UNSURE_KIND:
            same = look.kind in _FILES and digest != NO_DIGEST and self._read(where, look, digest)
        elif look.kind != wanted or look.size != self.portable.sizes[place]:
            same = False
        elif not self.done.silent and self._by_git(base, path, blob, look.row):
            self.done.by_git += 1
            same = True
        else:
            same = self._read(where, look, digest)
        return self._settled(look.row) if same else UNKNOWN, same

    def _by_git(self, base: str, path: bytes, blob: bytes, row: bytes) -> bool:
        """Whether git vouches that the file that was looked at holds that blob."""
        name = path if base == "." else os.fsencode(base) + b"/" + path
        found = self.vouched.blobs.get(name)
        if found is None or found.id.ljust(ID_BYTES, b"\0") != blob:
            return False
        times = array("Q", (found.modified_ns, found.changed_ns))
        return row.startswith(times.tobytes())

    def _read(self, where: bytes, look: _Look, digest: bytes) -> bool:
        self.done.read += 1
        return content_digest(where, look.row) == digest

    # -- what is no recipe's -------------------------------------------------------------------

    def _compare_ground(self, rows: list[Row]) -> None:
        """Sets the rows that all recipes share; says why where they are others than there."""
        observed = f"{self.state}/observed"
        here = ground_files(self.root, self.about.catalog, self.about.locks, self.state)
        new = {name for name in here if name != observed} - {os.fsdecode(r.path) for r in rows}
        seen = sorted(name for name in new if name.startswith(f"{observed}/"))
        if self.about.private:
            self.done.ground = f"there, {self.about.private}"
        elif seen:
            self.done.ground = f"{seen[0]} is an observation that was made here"
        elif new and not self.done.ground:
            self.done.ground = f"{min(new)} was not there"
        path = os.fsencode(observed)
        row = _look(os.path.join(os.fsencode(self.root), path)).row
        rows.append(Row(".", path, self._settled(row)))
        if self.done.ground:
            rows.append(Row(".", _MARK, UNKNOWN))
        mark = [Row(".", _MARK, UNKNOWN)]
        self.done.editor.set_rows({GROUND: rows, SETTINGS: mark, STORE: mark, CODE: mark})

    def put_shared(self, reserved: Container[str]) -> None:
        """Sets the rows of the folders of recipes and locks, and what the index rests on."""
        table = self.portable.table
        same = (self._same_recipes(reserved), self._same_locks())
        rows = {
            owner: [Row(".", name, self._settled(look.row) if good else UNKNOWN)]
            for owner, name, look, good in zip(
                (CATALOG, LOCKS), self.shared, self._looks[-2:], same, strict=True
            )
        }
        self.done.editor.set_rows(rows)
        table.facts |= {
            "catalog": self.about.catalog,
            "code": self.about.code,
            "store": "",
            "generation": "0",
            "claims": "0",
        }

    def _same_recipes(self, reserved: Container[str]) -> bool:
        """Whether there are the folders that the index knows; notes those that differ."""
        folder = os.path.join(self.root, self.about.catalog)
        table = self.portable.table
        known = {n for n, flags in zip(table.names, table.flags, strict=True) if flags & FOLDER}
        now, links = set(), set()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if not entry.name.startswith(".") and entry.name not in reserved:
                        now |= {entry.name} if entry.is_dir() else set()
                        links |= {entry.name} if entry.is_symlink() else set()
        except OSError:
            return False
        self.done.different |= (known ^ now) | (links & now)
        return known == now and not links & now and self._looks[-2].kind == FOLDER_KIND

    def _same_locks(self) -> bool:
        """Whether the index knows every lock that is there; notes those that it does not."""
        groups, name = self.portable.groups, self.about.locks
        known = set(groups.paths[groups.bases.index(name)]) if name in groups.bases else set()
        try:
            there = os.listdir(os.path.join(os.fsencode(self.root), os.fsencode(name)))
        except FileNotFoundError:
            return not known
        except OSError:
            return False
        now = {file for file in there if file.endswith(LOCK_SUFFIX.encode())}
        new = now - known - {SHARED_LOCK.encode()}
        self.done.different |= {os.fsdecode(file).partition("@")[0] for file in new}
        return not new and self._looks[-1].kind == FOLDER_KIND


_FILES = (FILE, PROGRAM)


def _look(place: bytes) -> _Look:
    try:
        status = os.lstat(place)
    except (OSError, ValueError):
        return _Look(ABSENT, NOTHING)
    if stat.S_ISDIR(status.st_mode):
        return _Look(row_of(status), FOLDER_KIND)
    if not stat.S_ISREG(status.st_mode):
        return _Look(row_of(status), UNSURE_KIND)
    kind = PROGRAM if status.st_mode & 0o100 else FILE
    return _Look(row_of(status), kind, status.st_size)
