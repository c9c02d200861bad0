"""Watches how much a job writes to disk, and how much is left. Standard library only.

No mount option limits what an overlay may write, and project quotas need a file system that was
made for them. So the helper looks, ten times a second: at the free space, and at the size of the
job's own folders, a slice of time at each look. It measures them once a second, or less often, so
that this takes a thirtieth of a core at most. A single file cannot grow past the limit at all
(RLIMIT_FSIZE). A file that was removed and is still open is in no folder: only the reserve stops
it.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Sequence

RESERVE_BYTES = 256 << 20
RESERVE_FILES = 4096
LOOK_S = 0.1
_SLICE_S = 0.02
_MEASURE_S = 1.0
_SHARE = 30
_ENTRY_BYTES = 512
_DEPTH = 200
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class DiskWatch:
    """The folders of one job; they are opened at once and left to the end of the process."""

    def __init__(self, folders: Sequence[str], limit_bytes: int) -> None:
        self._folders = [os.open(folder, _FOLDER) for folder in folders]
        self._limit_bytes = limit_bytes
        self._floors = [_floor(folder) for folder in self._folders]
        self._size = 0
        self._spent_s = 0.0
        self._next_s = time.monotonic() + _MEASURE_S
        self._rest = self._measure()

    def look(self) -> str:
        """Returns what is too much: ``disk``, ``reserve`` or nothing.

        ``disk``: the job wrote more than its limit; ``reserve``: the file system is nearly full.
        Takes a few hundredths of a second at most.
        """
        if any(_short(f, floor) for f, floor in zip(self._folders, self._floors, strict=True)):
            return "reserve"
        begun_s = time.monotonic()
        if not self._limit_bytes or begun_s < self._next_s:
            return ""
        for _ in self._rest:
            if self._size > self._limit_bytes:
                return "disk"
            if time.monotonic() - begun_s > _SLICE_S:
                self._spent_s += time.monotonic() - begun_s
                return ""
        self._spent_s += time.monotonic() - begun_s
        self._next_s = begun_s + max(_MEASURE_S, _SHARE * self._spent_s)
        self._spent_s, self._size, self._rest = 0.0, 0, self._measure()
        return ""

    def _measure(self) -> Iterator[None]:
        for folder in self._folders:
            yield from self._add(folder, 0)

    def _add(self, folder: int, depth: int) -> Iterator[None]:
        """Adds what the entries of a folder and of those below take; follows no link.

        A job changes its folders meanwhile: what cannot be opened any more counts nothing. A folder
        deeper than any program needs counts as more than the limit.
        """
        if depth > _DEPTH:
            self._size += self._limit_bytes + 1
            yield
        try:
            names = os.listdir(folder)
        except OSError:
            return
        for name in names:
            try:
                state = os.stat(name, dir_fd=folder, follow_symlinks=False)
                self._size += state.st_blocks * 512 + _ENTRY_BYTES
                below = os.open(name, _FOLDER, dir_fd=folder) if stat.S_ISDIR(state.st_mode) else -1
            except OSError:
                continue
            yield
            if below >= 0:
                try:
                    yield from self._add(below, depth + 1)
                finally:
                    os.close(below)


def _floor(folder: int) -> tuple[int, int]:
    """Returns how many bytes and files must stay free: the reserve, or half where less is free."""
    found = os.fstatvfs(folder)
    return (
        min(RESERVE_BYTES, found.f_bavail * found.f_frsize // 2),
        min(RESERVE_FILES, found.f_favail // 2),
    )


def _short(folder: int, floor: tuple[int, int]) -> bool:
    found = os.fstatvfs(folder)
    return found.f_bavail * found.f_frsize < floor[0] or (
        found.f_files > 0 and found.f_favail < floor[1]
    )
