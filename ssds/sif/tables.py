"""The metadata of a squashfs: blocks of 8 KiB, and tables that are found through a list of them.

Source: the kernel's Documentation/filesystems/squashfs.rst, version 4.0.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from ssds.core.errors import UnavailableError
from ssds.sif.blocks import packed

META_BYTES = 8192
STORED = 0x8000
XATTR_PREFIXES = {"user.": 0, "security.": 2}


class Metadata:
    """A stream of records, cut into metadata blocks; a record may cross from one into the next."""

    def __init__(self) -> None:
        self.done = bytearray()
        self._open = bytearray()

    def place(self) -> tuple[int, int]:
        """Returns where the next record starts: a block's position, and the offset in it."""
        return len(self.done), len(self._open)

    def write(self, data: bytes) -> None:
        """Adds a record."""
        self._open += data
        while len(self._open) >= META_BYTES:
            self._end_block()

    def finish(self) -> bytes:
        """Returns all blocks."""
        if self._open:
            self._end_block()
        return bytes(self.done)

    def _end_block(self) -> None:
        self.done += meta_block(bytes(self._open[:META_BYTES]))
        del self._open[:META_BYTES]


def meta_block(data: bytes) -> bytes:
    """Returns one metadata block with its header."""
    small = packed(data)
    return struct.pack("<H", len(small) | (STORED if len(small) == len(data) else 0)) + small


def blocks_and_list(data: bytes, position: int) -> tuple[bytes, bytes]:
    """Returns the metadata blocks of a table that starts at ``position``, and their positions."""
    blocks, places = bytearray(), []
    for start in range(0, len(data), META_BYTES):
        places.append(position + len(blocks))
        blocks += meta_block(data[start : start + META_BYTES])
    return bytes(blocks), struct.pack(f"<{len(places)}Q", *places)


class Ids:
    """User and group ids; inodes name them by their number in this table."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, value: int) -> int:
        """Returns the number of an id.

        Raises:
            UnavailableError: O120, it does not fit 32 bits, or there are too many.
        """
        if value not in self._numbers:
            if not 0 <= value < 2**32 or len(self._numbers) >= 65535:
                raise UnavailableError(
                    f"the owner {value} of a file cannot be written to a SIF",
                    hint="Owners are numbers below 2^32, and at most 65535 different ones.",
                    code="O120",
                )
            self._numbers[value] = len(self._numbers)
        return self._numbers[value]

    def table(self) -> bytes:
        """Returns all ids in the order of their numbers."""
        return struct.pack(f"<{len(self._numbers)}I", *self._numbers)


class Xattrs:
    """Sets of extended attributes; files with equal ones share a set."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[tuple[str, bytes], ...], int] = {}
        self._pairs = Metadata()
        self._sets = bytearray()

    def number(self, xattrs: Mapping[str, bytes]) -> int:
        """Returns the number of a set, or -1 where nothing of it can be held.

        Raises:
            UnavailableError: O121, a value is larger than a file system takes.
        """
        held = tuple(sorted((n, v) for n, v in xattrs.items() if _prefix(n)))
        if not held:
            return -1
        if held not in self._numbers:
            self._numbers[held] = len(self._numbers)
            start, offset = self._pairs.place()
            size = 0
            for name, value in held:
                record = _pair(name, value)
                size += len(record)
                self._pairs.write(record)
            self._sets += struct.pack("<QII", start << 16 | offset, len(held), size)
        return self._numbers[held]

    def section(self, position: int) -> tuple[bytes, int]:
        """Returns the tables and the position of their head; nothing where there is no set."""
        if not self._numbers:
            return b"", -1
        pairs = self._pairs.finish()
        sets, places = blocks_and_list(bytes(self._sets), position + len(pairs))
        head = struct.pack("<QII", position, len(self._numbers), 0)
        return pairs + sets + head + places, position + len(pairs) + len(sets)


def _prefix(name: str) -> str:
    return next((prefix for prefix in XATTR_PREFIXES if name.startswith(prefix)), "")


def _pair(name: str, value: bytes) -> bytes:
    prefix = _prefix(name)
    rest = name[len(prefix) :].encode("utf-8", "surrogateescape")
    if len(value) > 65536 or not 0 < len(rest) < 256 or b"\0" in rest:
        raise UnavailableError(
            f"the extended attribute {name[:60]!r} of {len(value)} bytes fits no file system",
            hint="Names have at most 255 bytes, values 65536; remove it from the image.",
            code="O121",
        )
    head = struct.pack("<HH", XATTR_PREFIXES[prefix], len(rest))
    return head + rest + struct.pack("<I", len(value)) + value
