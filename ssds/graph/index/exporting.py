"""Makes the portable form of an index: every file it knows is read and named by its content."""

from __future__ import annotations

import hashlib
import os
import stat
from array import array
from dataclasses import dataclass, replace

from ssds.graph.index.files import MAX_BYTES
from ssds.graph.index.groups import Groups
from ssds.graph.index.layout import IndexFile
from ssds.graph.index.portable import (
    FILE,
    FOLDER_KIND,
    ID_BYTES,
    NOTHING,
    PROGRAM,
    UNSURE_KIND,
    About,
    Portable,
    digests_of,
)
from ssds.graph.index.rows import ABSENT, ROW_BYTES, UNKNOWN, look, row_of
from ssds.graph.index.table import DIGEST_BYTES, GROUND, NO_DIGEST, Documents, Table
from ssds.recipe.shared import plain_relative

_NO_ID = bytes(ID_BYTES)


@dataclass(frozen=True, slots=True)
class Content:
    """What a path holds: its kind, size in bytes, the index's digest of it, git's id of it."""

    kind: int
    size: int = 0
    digest: bytes = NO_DIGEST
    blob: bytes = _NO_ID


def make_portable(
    file: IndexFile, root: str, about: About, *, observed: str
) -> tuple[Portable, int]:
    """Returns the portable form of an index, and how many of its rows say nothing elsewhere.

    Args:
        file: the index.
        root: the workspace, absolute.
        about: where it comes from; ``private`` is set here.
        observed: the folder of observations, relative to the workspace; it is left out.
    """
    groups, table, new = Groups.load(file), Table.load(file), Groups()
    owners, digests = array("i"), bytearray()
    kinds, sizes = bytearray(), array("Q")
    private, start = "", 0
    hidden = os.fsencode(observed)
    for base, paths, rows in zip(groups.bases, groups.paths, groups.rows, strict=True):
        folder = os.path.join(os.fsencode(root), os.fsencode(base))
        kept: list[bytes] = []
        ids = bytearray()
        for at, path in enumerate(paths):
            place = start + at
            owner = table.owners[place]
            if owner < GROUND or (owner == GROUND and (path + b"/").startswith(hidden + b"/")):
                continue
            where = os.path.join(folder, path)
            if owner == GROUND and (not plain_relative(os.fsdecode(path)) or os.path.islink(where)):
                private = f"{os.fsdecode(path)} is a link, or out of the workspace"
                continue
            known = bytes(table.digests[place * DIGEST_BYTES : (place + 1) * DIGEST_BYTES])
            row = bytes(rows[at * ROW_BYTES : (at + 1) * ROW_BYTES])
            content = _agreed(content_of(where, row, about.objects), known)
            kept.append(path)
            ids += content.blob
            kinds.append(content.kind)
            sizes.append(content.size)
            owners.append(owner)
            digests += content.digest
        start += len(paths)
        if kept:
            new.bases.append(base)
            new.paths.append(kept)
            new.rows.append(ids)
    table.owners, table.digests = owners, digests
    table.facts = {"sites": table.facts.get("sites", "")}
    documents = Documents(file)
    documents.keep(digests_of(table))
    portable = Portable(
        about=replace(about, private=private),
        head=(*file.head[:3], 0),
        groups=new,
        table=table,
        documents=documents,
        kinds=kinds,
        sizes=sizes,
    )
    return portable, kinds.count(UNSURE_KIND)


def _agreed(found: Content, known: bytes) -> Content:
    """Returns what a path holds where that is what the plan read, else "not known"."""
    same = found.digest == known or found.kind == FOLDER_KIND
    unread = known == NO_DIGEST and found.kind in (FILE, PROGRAM)  # it counts that it is there
    return found if same or unread else Content(UNSURE_KIND, digest=known)


def content_of(path: bytes, row: bytes, objects: str) -> Content:
    """Returns what stands at a path, while its row is ``row``; otherwise "not known"."""
    if look(path) != row or row == UNKNOWN:
        return Content(UNSURE_KIND)
    if row == ABSENT:
        return Content(NOTHING)
    if os.path.isdir(path) and not os.path.islink(path):
        listing = listing_digest(path)
        same = listing != NO_DIGEST and look(path) == row
        return Content(FOLDER_KIND, digest=listing) if same else Content(UNSURE_KIND)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return Content(UNSURE_KIND)
    try:
        return _read(handle, row, objects)
    except OSError:
        return Content(UNSURE_KIND)
    finally:
        os.close(handle)


def _read(handle: int, row: bytes, objects: str) -> Content:
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
        return Content(UNSURE_KIND)
    program = bool(status.st_mode & 0o100)
    hashed = hashlib.sha256(b"x" if program else b"")
    blob = hashlib.new(objects, b"blob %d\0" % status.st_size, usedforsecurity=False)
    while data := os.read(handle, min(status.st_size + 1, 1 << 20)):
        hashed.update(data)
        blob.update(data)
    if row_of(os.fstat(handle)) != row:
        return Content(UNSURE_KIND)
    return Content(
        PROGRAM if program else FILE,
        size=status.st_size,
        digest=hashed.digest(),
        blob=blob.digest().ljust(ID_BYTES, b"\0"),
    )


def listing_digest(path: bytes) -> bytes:
    """Returns the sha256 of a folder's names and their types; NO_DIGEST where it cannot be read."""
    found = []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                kind = b"l" if entry.is_symlink() else b"d" if entry.is_dir() else b"f"
                found.append(kind + entry.name)
    except OSError:
        return NO_DIGEST
    return hashlib.sha256(b"\0".join(sorted(found))).digest()
