"""The index file: two slots that point to a table, the table, and the sections that it names.

The file is mapped and never read whole. It is replaced as a whole, or grown: what changed is
written behind its end, then one slot is pointed there. Whoever reads it meanwhile has the older
slot; a slot, table or section that is not whole fails its CRC-32. All numbers are little endian::

    slot A, slot B   magic 16s | form u32 | flags u32 | turn u64 | table u64 | sections u32
                     | CRC-32 of the table u32 | end u64 | 0 u32 | CRC-32 of the slot u32
    table            from, until i32 days | notes i64 s | for each section:
                     name 16s | offset u64 | length u64 | CRC-32 u32 | 0 u32

The slot with the higher turn counts. A name may stand several times: parts of one section. It
holds no code and no pickled values: whatever stands in it, reading it runs nothing.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Sequence

MAGIC = b"ssds-plan-index\n"
FORM = 1
FILE_NAME = "plan.index"
MAX_BYTES = 8 << 30
NOTHING_TO_DO = 1
"""Flag: every recipe was settled, and ``printed`` holds what the plan printed."""

SLOT_BYTES = 64
_SLOT = struct.Struct("<16sIIQQIIQII")
_HEAD = struct.Struct("<iiq")
_ENTRY = struct.Struct("<16sQQII")
_MAX_SECTIONS = 4096

Head = tuple[int, int, int, int]
"""From and until: the days since 1970-01-01 (UTC) for which the keys hold, from the first one, up
to and without the second one; seconds since the Unix epoch until which the notes say the same;
flags."""
Entry = tuple[str, int, int, int]
"""Name, offset, length, CRC-32."""
Buffer = bytes | bytearray | memoryview


class BadIndex(Exception):
    """The index cannot be used; the text says why. Planning goes on without it."""


class IndexFile:
    """An index file, opened, its slot and table checked.

    Attributes:
        head: see ``Head``.
        turn: how often it was written since it was made.
        slots: the slots as read.
        entries: the table.
    """

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._checked: set[tuple[str, int]] = set()
        self.slots = bytes(data[: 2 * SLOT_BYTES])
        found = [self._slot(at) for at in (0, SLOT_BYTES)]
        good = [slot for slot in found if isinstance(slot, tuple)]
        if not good:
            reasons = [str(slot) for slot in found]
            raise BadIndex(max(reasons, key=_REASONS.index))
        self.turn, flags, table, count = max(good)
        head = _HEAD.size
        self.head: Head = (*_HEAD.unpack(data[table : table + head]), flags)
        self.entries: list[Entry] = []
        end = table + head + count * _ENTRY.size
        for name, offset, length, crc, _ in _ENTRY.iter_unpack(data[table + head : end]):
            if offset + length > len(data):
                raise BadIndex("a section lies outside of it")
            text = name.rstrip(b"\0").decode("ascii", "replace")
            self.entries.append((text, offset, length, crc))

    def _slot(self, at: int) -> tuple[int, int, int, int] | str:
        """Returns turn, flags, place of the table and number of sections, or what is wrong."""
        data = self._data
        slot = bytes(data[at : at + SLOT_BYTES])
        if len(slot) < SLOT_BYTES or slot[:16] != MAGIC:
            return _REASONS[0]
        _, form, flags, turn, table, count, table_crc, end, _, crc = _SLOT.unpack(slot)
        if form != FORM:
            return _REASONS[1]
        if zlib.crc32(slot[:-4]) != crc:
            return _REASONS[2]
        table_end = table + _HEAD.size + count * _ENTRY.size
        if end > len(data) or table_end > end or count > _MAX_SECTIONS:
            return _REASONS[3]
        if zlib.crc32(data[table:table_end]) != table_crc:
            return _REASONS[2]
        return turn, flags, table, count

    def section(self, name: str, item_bytes: int = 1) -> memoryview:
        """Returns the bytes of a section of one part, a whole number of items, checked.

        Raises:
            BadIndex: there is none, or it is damaged.
        """
        found = self.parts(name, item_bytes)
        if len(found) != 1:
            raise BadIndex(f"it has no section {name}")
        return found[0]

    def parts(self, name: str, item_bytes: int = 1, *, checked: bool = True) -> list[memoryview]:
        """Returns the parts of a section, in order.

        Args:
            name: as written.
            item_bytes: what one item takes.
            checked: compare the CRC-32; a section whose items have their own checks needs none.
        """
        found = []
        for entry, offset, length, crc in self.entries:
            if entry == name:
                data = self._data[offset : offset + length]
                if checked and (name, offset) not in self._checked:
                    if length % item_bytes or zlib.crc32(data) != crc:
                        raise BadIndex(f"its section {name} is damaged")
                    self._checked.add((name, offset))
                found.append(data)
        return found

    @property
    def live_bytes(self) -> int:
        """How many bytes its sections take."""
        return sum(length for _, _, length, _ in self.entries)


_REASONS = (
    "it is no plan index",
    f"it has another form than {FORM}, which this ssds reads",
    "it is damaged",
    "it is truncated",
)


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
        return mmap.mmap(handle, size, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED)
    except (OSError, ValueError):  # a network file system without mmap
        parts = []
        while size > 0 and (part := os.read(handle, min(size, 1 << 24))):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def pack(
    sections: Sequence[tuple[str, Buffer]],
    head: Head,
    *,
    start: int = 2 * SLOT_BYTES,
    kept: Sequence[Entry] = (),
    turn: int = 1,
    unchecked: Sequence[str] = (),
) -> tuple[list[Buffer], bytes]:
    """Returns the pieces that stand from ``start`` on, in order, and the slot that names them.

    Args:
        sections: those to be written; they are not copied.
        start: where the pieces will stand: behind the slots, or behind the end of the file.
        kept: sections that stand in the file already, before those of the same name.
        turn: one more than the last one.
        unchecked: names of sections whose items have checks of their own.
    """
    at = start
    entries = list(kept)
    pieces: list[Buffer] = []
    for name, data in sections:
        crc = 0 if name in unchecked else zlib.crc32(data)
        pieces += [bytes(-at % 8), data]
        at += -at % 8
        entries.append((name, at, len(data), crc))
        at += len(data)
    table = _HEAD.pack(*head[:3]) + b"".join(
        _ENTRY.pack(name.encode(), offset, length, crc, 0) for name, offset, length, crc in entries
    )
    end = at + len(table)
    slot = _SLOT.pack(MAGIC, FORM, head[3], turn, at, len(entries), zlib.crc32(table), end, 0, 0)[
        :-4
    ]
    return [*pieces, table], slot + struct.pack("<I", zlib.crc32(slot))
