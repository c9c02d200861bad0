"""The portable form of an index: what it knows of files by content, not by this machine's times.

One file: a magic word, the sha256 of all that follows, then sections as in the index itself
(``layout``). Where the index has a file's times, this has its kind, its size and git's id of its
content; rows of settings, claims and ssds itself are left out. It comes from elsewhere: every
number, path and text is checked before it is used. The digest finds damage, not forgery.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from array import array
from dataclasses import dataclass, field
from typing import Any

from ssds.core.errors import IntegrityError, UsageError
from ssds.core.text import shown
from ssds.graph.index.changes import LOCK_SUFFIX
from ssds.graph.index.groups import HOT_SECTIONS, Groups
from ssds.graph.index.layout import SLOT_BYTES, BadIndex, Buffer, Head, IndexFile, pack
from ssds.graph.index.table import (
    DIGEST_BYTES,
    FOLDER,
    GONE,
    GROUND,
    SECTIONS,
    SETTLED,
    UNSURE,
    WAIVERS,
    Documents,
    Table,
)
from ssds.recipe.schema import schema
from ssds.recipe.shared import plain_relative

SUFFIX = ".ssds-index"
MAGIC = b"ssds-portable-1\n"
FORM = 1
MAX_BYTES = 4 << 30
ID_BYTES = 32
FILE, PROGRAM, FOLDER_KIND, NOTHING, UNSURE_KIND = b"fxd-?"
"""Kinds of rows: a file, one with the execute bit, a folder, nothing is there, not known."""

_OBJECTS = {"sha1": 20, "sha256": 32}
_ABOUT_BYTES = 1 << 16
_MOST_ROWS = 50_000_000
_PATH_BYTES = 4096
_DIGEST_HEX = 64
_FLAGS = SETTLED | WAIVERS | GONE | FOLDER | UNSURE


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Where a portable index comes from.

    Attributes:
        version, code: of the ssds that made it; its digest.
        catalog, locks: the folders of recipes and locks, relative to the workspace.
        objects: how git names blobs there: ``sha1`` or ``sha256``.
        tree: git's ids of the trees of the catalog and the locks, or the empty string.
        made_s: when, in seconds since the Unix epoch.
        private: why what all recipes share cannot be compared elsewhere, or the empty string.
    """

    version: str
    code: str
    catalog: str
    locks: str
    objects: str
    tree: str
    made_s: int
    private: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form."""
        return {name: getattr(self, name) for name in About.__slots__} | {"form": FORM}


@dataclass(slots=True, kw_only=True)
class Portable:
    """A portable index; ``groups.rows`` holds, of each row, git's id of its content."""

    about: About
    head: Head
    groups: Groups
    table: Table
    documents: Documents
    kinds: bytearray = field(default_factory=bytearray)
    sizes: array[int] = field(default_factory=lambda: array("Q"))


def portable_bytes(portable: Portable) -> list[Buffer]:
    """Returns the pieces of the file, in order."""
    about = json.dumps(portable.about.to_dict(), sort_keys=True).encode()
    sections: list[tuple[str, Buffer]] = [
        ("about", about),
        ("kinds", portable.kinds),
        ("sizes", portable.sizes.tobytes()),
        *((name, portable.groups.packed(name)) for name in HOT_SECTIONS),
        *((name, portable.table.packed(name)) for name in SECTIONS),
        *portable.documents.sections(),
    ]
    pieces, slot = pack(sections, portable.head, unchecked=("recipes",))
    whole = [slot + bytes(SLOT_BYTES), *pieces]
    digest = hashlib.sha256()
    for piece in whole:
        digest.update(piece)
    return [MAGIC, digest.digest(), *whole]


def read_portable(path: str) -> Portable:
    """Returns the portable index in a file, checked.

    Raises:
        UsageError: E155, there is no such file, or it cannot be read.
        IntegrityError: E156, it is none, or damaged, or of another form.
    """
    data = _read(path)
    try:
        return _parse(data)
    except (BadIndex, ValueError, OverflowError, RecursionError) as error:
        reason = str(error) if isinstance(error, BadIndex) else "it is damaged"
        raise IntegrityError(
            f"{shown(path)} cannot be used: {shown(reason)}",
            hint="Make another with `ssds index export`, by this version of ssds.",
            code="E156",
        ) from error


def _read(path: str) -> memoryview:
    reason = ""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                reason = "it is not a regular file"
            elif status.st_size > MAX_BYTES:
                reason = f"it has more than {MAX_BYTES} bytes"
            else:
                return memoryview(file.read(MAX_BYTES))
    except (OSError, ValueError) as error:
        reason = os.strerror(getattr(error, "errno", 0) or 0)
    raise UsageError(
        f"cannot read {shown(path)}: {reason}",
        hint="Name a file, or the folder of files, that `ssds index export` wrote.",
        code="E155",
    )


def _parse(data: memoryview) -> Portable:
    start = len(MAGIC) + DIGEST_BYTES
    if bytes(data[: len(MAGIC)]) != MAGIC:
        if bytes(data[: len(MAGIC) - 2]) == MAGIC[:-2]:
            raise BadIndex("another version of ssds wrote it, in a form that this one cannot read")
        raise BadIndex("it is no portable index" if len(data) else "it is empty")
    if hashlib.sha256(data[start:]).digest() != data[len(MAGIC) : start]:
        raise BadIndex("it is damaged or truncated")
    file = IndexFile(data[start:])
    table = Table.load(file)
    portable = Portable(
        about=_about(bytes(file.section("about")[: _ABOUT_BYTES + 1])),
        head=(*file.head[:3], 0),
        groups=Groups.load(file),
        table=table,
        documents=_sound(Documents(file), digests_of(table)),
        kinds=bytearray(file.section("kinds")),
        sizes=array("Q", bytes(file.section("sizes", 8))),
    )
    _check(portable)
    return portable


def digests_of(table: Table) -> set[bytes]:
    """Returns the digests of the contents of all files that a table knows."""
    text = bytes(table.digests)
    return {text[at : at + DIGEST_BYTES] for at in range(0, len(text), DIGEST_BYTES)}


def _sound(documents: Documents, wanted: set[bytes]) -> Documents:
    """Returns the recipes that have the form of one: whoever reads on takes them as checked."""
    accepts = schema("recipe", "R").accepts
    sound = Documents()
    documents.keep(wanted)
    for digest, text in documents.added.items():
        try:
            value = json.loads(text[4:])
            if accepts(value):
                sound.add(digest, value)
                if sound.added[digest] != text:
                    del sound.added[digest]
        except (ValueError, TypeError, RecursionError):
            continue
    return sound


def _about(text: bytes) -> About:
    if len(text) > _ABOUT_BYTES:
        raise BadIndex("it says too much of itself")
    value = json.loads(text)
    if not isinstance(value, dict) or value.get("form") != FORM:
        raise BadIndex("it has a form that this ssds does not read")
    fields = {name: value.get(name) for name in About.__slots__}
    made_s = fields.pop("made_s")
    texts = {name: found for name, found in fields.items() if isinstance(found, str)}
    if type(made_s) is not int or not 0 <= made_s < 1 << 40 or len(texts) != len(fields):
        raise BadIndex("it does not say where it comes from")
    if texts["objects"] not in _OBJECTS or len(texts["code"]) != _DIGEST_HEX:
        raise BadIndex("it does not say where it comes from")
    if not plain_relative(texts["catalog"]) or not plain_relative(texts["locks"]):
        raise BadIndex("its folders are not in the workspace")
    return About(**texts, made_s=made_s)


def _check(portable: Portable) -> None:
    """Raises BadIndex where columns do not agree or a path is not where its owner's files are."""
    groups, table, about = portable.groups, portable.table, portable.about
    count = sum(map(len, groups.paths))
    whole = (
        count <= _MOST_ROWS
        and len(table.owners) == len(portable.kinds) == len(portable.sizes) == count
        and all(
            len(rows) == len(paths) * ID_BYTES
            for rows, paths in zip(groups.rows, groups.paths, strict=True)
        )
        and len(set(table.names)) == len(table.names)
        and len(set(groups.bases)) == len(groups.bases)
        and len(set(table.channel_names)) == len(table.channel_names) <= 64
        and len(set(table.shared_names)) == len(table.shared_names)
        and not set(portable.kinds) - {FILE, PROGRAM, FOLDER_KIND, NOTHING, UNSURE_KIND}
        and not any(flags & ~_FLAGS for flags in set(table.flags))
        and all(own >= 0 for own in set(table.own))
        and all(map(_is_name, table.names))
    )
    if not whole:
        raise BadIndex("its columns do not agree")
    start = 0
    for base, paths in zip(groups.bases, groups.paths, strict=True):
        for owner, path in zip(table.owners[start : start + len(paths)], paths, strict=True):
            if not _is_place(base, path, owner, table, about):
                raise BadIndex("a path in it is not where it belongs")
        start += len(paths)


def _is_name(name: str) -> bool:
    return plain_relative(name) and "/" not in name and not name.startswith(".")


def _is_place(base: str, path: bytes, owner: int, table: Table, about: About) -> bool:
    """Whether a row's path lies where the files of its owner are."""
    text = os.fsdecode(path)
    if len(path) > _PATH_BYTES or not plain_relative(text):
        return False
    if owner == GROUND:
        return base == "."
    if owner < 0:
        return False
    name = table.names[owner]
    if base == about.catalog:
        return text.startswith(f"{name}/")
    lock = text.startswith(f"{name}@") and text.endswith(LOCK_SUFFIX)
    return base == about.locks and lock and "/" not in text
