"""The content of files in a squashfs: data blocks and fragments, compressed in parallel.

Blocks are written in the order in which they were given, whatever number of processors worked on
them: the bytes do not depend on it.

Source: the kernel's Documentation/filesystems/squashfs.rst, version 4.0.
"""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, Self

BLOCK_BYTES = 128 * 1024
LEVEL = 6
STORED = 1 << 24
"""In the size of a block: it is not compressed."""
NO_FRAGMENT = 0xFFFFFFFF
_ZEROS = bytes(BLOCK_BYTES)


@dataclass(slots=True)
class Placed:
    """Where the content of a file is; whole once the writer was closed.

    Attributes:
        start: position of its first block in the image.
        sizes: stored size of each block with STORED; 0 is a hole.
        fragment, offset: which fragment holds its end, and where in it.
        hole_bytes: how many bytes are holes.
    """

    start: int = 0
    sizes: list[int] = field(default_factory=list)
    fragment: int = NO_FRAGMENT
    offset: int = 0
    hole_bytes: int = 0


class DataWriter:
    """Writes blocks to ``out``; a context manager, whose end waits for the last one.

    Attributes:
        position: how much of the image has been written, in bytes.
        fragments: (position, stored size with STORED) of each fragment block.
    """

    def __init__(self, out: IO[bytes], position: int) -> None:
        self.position = position
        self.fragments: list[tuple[int, int]] = []
        workers = len(os.sched_getaffinity(0))
        self._out = out
        self._pool = ThreadPoolExecutor(workers)
        self._most = 4 * workers
        self._queue: deque[tuple[Future[bytes], int, Callable[[int, int], None]]] = deque()
        self._tail = bytearray()
        self._tails = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: object, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._end_fragment()
                while self._queue:
                    self._write_one()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def place(self, pieces: Iterator[bytes]) -> Placed:
        """Takes a file's content in pieces of BLOCK_BYTES, the last may be shorter."""
        placed = Placed()
        for piece in pieces:
            if len(piece) < BLOCK_BYTES:
                self._add_tail(placed, piece)
            elif piece == _ZEROS:
                placed.sizes.append(0)
                placed.hole_bytes += BLOCK_BYTES
            else:
                self._add_block(placed, piece)
        return placed

    def _add_block(self, placed: Placed, piece: bytes) -> None:
        number = len(placed.sizes)
        placed.sizes.append(0)
        first = number == placed.hole_bytes // BLOCK_BYTES

        def written(position: int, size: int) -> None:
            placed.sizes[number] = size
            if first:
                placed.start = position

        self._submit(piece, written)

    def _add_tail(self, placed: Placed, piece: bytes) -> None:
        if len(self._tail) + len(piece) > BLOCK_BYTES:
            self._end_fragment()
        placed.fragment, placed.offset = self._tails, len(self._tail)
        self._tail += piece

    def _end_fragment(self) -> None:
        if self._tail:
            self._submit(
                bytes(self._tail), lambda position, size: self.fragments.append((position, size))
            )
            self._tail.clear()
            self._tails += 1

    def _submit(self, data: bytes, written: Callable[[int, int], None]) -> None:
        self._queue.append((self._pool.submit(packed, data), len(data), written))
        if len(self._queue) >= self._most:
            self._write_one()

    def _write_one(self) -> None:
        work, size, written = self._queue.popleft()
        data = work.result()
        written(self.position, len(data) | (STORED if len(data) == size else 0))
        self._out.write(data)
        self.position += len(data)


def packed(data: bytes) -> bytes:
    """Returns the compressed form of a block, or the block itself where that is not smaller."""
    small = zlib.compress(data, LEVEL)
    return small if len(small) < len(data) else data
