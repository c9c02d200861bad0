"""Looks at the disk: has any file changed that the last plan rested on?

A row is a path with its modification and change time (nanoseconds), size and inode number. Rows
are looked at and compared in blocks, by functions that run in C. Contents are not read here.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from itertools import chain
from operator import attrgetter

ROW_BYTES = 32
ABSENT = b"\xff" * ROW_BYTES
"""The row of a path where nothing may be."""
UNKNOWN = bytes(ROW_BYTES)
"""A row that is never equal: its file may have changed in the same moment (git's racy rule)."""

_BLOCK = 2048
_MASK = (1 << 64) - 1
_FIELDS = attrgetter("st_mtime_ns", "st_ctime_ns", "st_size", "st_ino")
_COARSE_NS = 2_000_000_000
_FINE_NS = 50_000_000


def row_of(status: os.stat_result) -> bytes:
    """Returns the row of one ``lstat``."""
    return array("Q", [value & _MASK for value in _FIELDS(status)]).tobytes()


def look(path: bytes | str) -> bytes:
    """Returns the row of ``path`` now; ABSENT where nothing is (or nothing may be seen)."""
    try:
        return row_of(os.lstat(path))
    except (OSError, ValueError):
        return ABSENT


def changed(
    base: str, names: Sequence[bytes], rows: memoryview | bytearray
) -> list[tuple[int, bytes]]:
    """Returns number and new row of every path below ``base`` whose row differs.

    Args:
        base: the folder that relative names start from; it is entered and left again, which
            makes the look-ups shorter.
        names: the paths.
        rows: ``ROW_BYTES`` for each.

    Raises:
        OSError: the current folder cannot be left and entered again.
    """
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            os.chdir(base)
        except OSError:  # it is gone, a file now, or closed to us: so is everything below it
            return [
                (number, ABSENT)
                for number in range(len(names))
                if bytes(rows[number * ROW_BYTES : (number + 1) * ROW_BYTES]) != ABSENT
            ]
        found: list[tuple[int, bytes]] = []
        for start in range(0, len(names), _BLOCK):
            block = names[start : start + _BLOCK]
            known = bytes(rows[start * ROW_BYTES : (start + len(block)) * ROW_BYTES])
            try:
                fields = chain.from_iterable(map(_FIELDS, map(os.lstat, block)))
                now = array("Q", fields).tobytes()
            except (OSError, ValueError, OverflowError):
                now = b"".join(map(look, block))
            if now != known:
                found += _different(start, now, known)
        return found
    finally:
        os.fchdir(here)
        os.close(here)


def _different(start: int, now: bytes, known: bytes) -> list[tuple[int, bytes]]:
    return [
        (start + at // ROW_BYTES, now[at : at + ROW_BYTES])
        for at in range(0, len(known), ROW_BYTES)
        if now[at : at + ROW_BYTES] != known[at : at + ROW_BYTES]
    ]


def is_racy(row: bytes, looked_ns: int) -> bool:
    """Whether a file with that row may change without its row changing.

    So it is when it was touched at about the time of the look (git's racy-clean rule), as the
    file system's clock tells it. Times without a fraction mean a clock that ticks in seconds.

    Args:
        looked_ns: the file system's time when the look began.
    """
    if row in (ABSENT, UNKNOWN):
        return False
    modified, changed_at = array("Q", row[:16])
    if modified > _MASK >> 1 or changed_at > _MASK >> 1:
        return True
    coarse = not modified % 1_000_000_000 and not changed_at % 1_000_000_000
    return max(modified, changed_at) >= looked_ns - (_COARSE_NS if coarse else _FINE_NS)
