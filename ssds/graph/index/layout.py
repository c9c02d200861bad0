"""The index file: a header, a table of sections, the sections; mapped, never read whole.

All numbers are little endian. The header names every section with its place and CRC-32; a section
is checked when it is first used, so a plan that finds nothing changed touches the hot ones only::

    magic 16s | form u32 | sections u32 | size u64 | from, until i32 days | notes i64 s | flags u32
    | CRC-32 of header and table u32
    name 16s | offset u64 | length u64 | CRC-32 u32 | 0 u32      for each section

It holds no code and no pickled values: whatever stands in it, reading it runs nothing.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Iterable

MAGIC = b"ssds-plan-index\n"
FORM = 1
FILE_NAME = "plan.index"
MAX_BYTES = 8 << 30
NOTHING_TO_DO = 1
"""Flag: every recipe was settled, and ``words`` holds what the plan printed."""

_HEADER = struct.Struct("<16sIIQiiqII")
_ENTRY = struct.Struct("<16sQQII")
_MAX_SECTIONS = 64


class BadIndex(Exception):
    """The index cannot be used; the text says why. Planning goes on without it."""


class IndexFile:
    """An index file, opened and its header checked.

    Attributes:
        from_day, until_day: the days since 1970-01-01 (UTC) for which its keys hold: from the
            first one, up to and without the second one.
        notes_until_s: seconds since the Unix epoch until which its notes say the same.
        flags: ``NOTHING_TO_DO``.
    """

    def __init__(self, data: memoryview) -> None:
        if len(data) < _HEADER.size or bytes(data[:16]) != MAGIC:
            raise BadIndex("it is no plan index" if len(data) else "it is empty")
        _, form, count, size, first, until, notes, flags, crc = _HEADER.unpack(data[: _HEADER.size])
        if form != FORM:
            raise BadIndex(f"it has form {form}, this ssds reads form {FORM}")
        end = _HEADER.size + count * _ENTRY.size
        if count > _MAX_SECTIONS or size != len(data) or end > size:
            raise BadIndex("it is truncated")
        if zlib.crc32(data[_HEADER.size : end], zlib.crc32(data[: _HEADER.size - 4])) != crc:
            raise BadIndex("its header is damaged")
        self.from_day, self.until_day = first, until
        self.notes_until_s, self.flags = notes, flags
        self._data = data
        self._checked: set[str] = set()
        self._sections: dict[str, tuple[int, int, int]] = {}
        for name, offset, length, check, _ in _ENTRY.iter_unpack(data[_HEADER.size : end]):
            if offset < end or offset + length > size:
                raise BadIndex("a section lies outside of it")
            self._sections[name.rstrip(b"\0").decode("ascii", "replace")] = (offset, length, check)

    def section(self, name: str, item_bytes: int = 1, *, checked: bool = True) -> memoryview:
        """Returns the bytes of a section, a whole number of items.

        Args:
            name: as written.
            item_bytes: what one item takes.
            checked: compare the CRC-32; a section whose items have their own checks needs none.

        Raises:
            BadIndex: there is none, or it is damaged.
        """
        if name not in self._sections:
            raise BadIndex(f"it has no section {name}")
        offset, length, crc = self._sections[name]
        data = self._data[offset : offset + length]
        if checked and name not in self._checked:
            if length % item_bytes or zlib.crc32(data) != crc:
                raise BadIndex(f"its section {name} is damaged")
            self._checked.add(name)
        return data


def open_index(path: str) -> IndexFile | None:
    """Returns the index at ``path``, or None where there is none.

    Where the file system cannot map files it is read.

    Raises:
        BadIndex: it cannot be used: foreign, truncated, damaged, another form, or written by
            another user.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadIndex(os.strerror(error.errno or 0)) from error
    try:
        status = os.fstat(handle)
        if status.st_mode & 0o170000 != 0o100000:
            raise BadIndex("it is not a regular file")
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise BadIndex("another user wrote it, or may write it")
        if status.st_size > MAX_BYTES:
            raise BadIndex(f"it has more than {MAX_BYTES} bytes")
        if not status.st_size:
            raise BadIndex("it is empty")
        return IndexFile(memoryview(_mapped(handle, status.st_size)))
    except OSError as error:
        raise BadIndex(os.strerror(error.errno or 0)) from error
    finally:
        os.close(handle)


def _mapped(handle: int, size: int) -> mmap.mmap | bytes:
    try:
        return mmap.mmap(handle, size, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE)
    except (OSError, ValueError):  # a network file system without mmap
        parts = []
        while size > 0 and (part := os.read(handle, min(size, 1 << 24))):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def pack(
    sections: Iterable[tuple[str, bytes | bytearray]],
    *,
    from_day: int,
    until_day: int,
    notes_until_s: int,
    flags: int,
) -> list[bytes | bytearray]:
    """Returns the pieces of an index file, in order; those given are not copied."""
    parts = list(sections)
    offset = _HEADER.size + len(parts) * _ENTRY.size
    entries = []
    for name, data in parts:
        offset += -offset % 8
        entries.append(_ENTRY.pack(name.encode(), offset, len(data), zlib.crc32(data), 0))
        offset += len(data)
    table = b"".join(entries)
    head = _HEADER.pack(
        MAGIC, FORM, len(parts), offset, from_day, until_day, notes_until_s, flags, 0
    )[:-4]
    crc = zlib.crc32(table, zlib.crc32(head))
    pieces: list[bytes | bytearray] = [head, struct.pack("<I", crc), table]
    at = _HEADER.size + len(table)
    for _, data in parts:
        pieces += [bytes(-at % 8), data]
        at += -at % 8 + len(data)
    return pieces
