"""Reading small files whole: no buffer larger than the file, for making one costs more than it."""

from __future__ import annotations

import os

_CHUNK_BYTES = 1 << 20


def read_open(handle: int, limit_bytes: int) -> bytes:
    """Returns what an open file holds; of more than ``limit_bytes`` one byte more than that."""
    size = min(os.fstat(handle).st_size, limit_bytes)
    data = os.read(handle, size + 1)
    if len(data) == size:
        return data
    while len(data) <= limit_bytes:  # it grew meanwhile, or has no size
        more = os.read(handle, min(_CHUNK_BYTES, limit_bytes + 1 - len(data)))
        if not more:
            break
        data += more
    return data
