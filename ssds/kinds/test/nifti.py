"""The dimensions of a NIfTI image, from its header.

Sources: nifti1.h (NIfTI-1.1, Data Format Working Group 2007), nifti2.h (2011).
"""

from __future__ import annotations

import struct
import zlib

HEAD_BYTES = 64 << 10
"""So much of a file's start is enough, compressed or not."""


def shape(head: bytes) -> tuple[int, ...] | None:
    """Returns the size along each axis; None where the bytes begin no NIfTI file."""
    if head.startswith(b"\x1f\x8b"):
        try:
            head = zlib.decompressobj(31).decompress(head, 1024)
        except zlib.error:
            return None
    for order in "<>":
        if len(head) >= 348 and struct.unpack_from(f"{order}i", head)[0] == 348:
            found = struct.unpack_from(f"{order}8h", head, 40)
        elif len(head) >= 540 and struct.unpack_from(f"{order}i", head)[0] == 540:
            found = struct.unpack_from(f"{order}8q", head, 16)
        else:
            continue
        if 1 <= found[0] <= 7 and min(found[1 : found[0] + 1]) >= 0:
            return tuple(found[1 : found[0] + 1])
    return None
