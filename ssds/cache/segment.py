"""Segments: what one push adds to a cache, as one immutable file named by its digest and size.

Form: gzip of lines; the first is the segment's head, each other one is ``KEY JSON``. Whoever has
the list of names asks only for those that it does not have yet, and finds keys without a request.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self

from ssds.cache.entry import Entry
from ssds.core.canonical import canonical_bytes
from ssds.core.digest import ActionKey, Digest
from ssds.core.errors import IntegrityError, InvalidValue
from ssds.oci.document import load_document

VERSION = 1
SEGMENT_LIMIT_BYTES = 64 << 20
TEXT_LIMIT_BYTES = 512 << 20
"""So many bytes at most have the lines that one reader holds."""
_MOST_TIMES = 200
"""So many times larger may a segment be unpacked; texts of recipes do not reach it."""
ENTRIES_PER_SEGMENT = 2000
"""So many claims at most stand in one: a registry's manifest names all their blobs."""
_NAME = re.compile(r"([0-9a-f]{64})-([1-9][0-9]{0,8})", re.ASCII)
_GZIP = 16 + zlib.MAX_WBITS


class SegmentName(NamedTuple):
    """The sha256 of a segment's bytes and their number."""

    hex: str
    size_bytes: int

    def __str__(self) -> str:
        return f"{self.hex}-{self.size_bytes}"

    @property
    def digest(self) -> Digest:
        """The digest."""
        return Digest.made(f"sha256:{self.hex}")

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Returns the name of these bytes."""
        return cls(hashlib.sha256(data).hexdigest(), len(data))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Returns the name that a text is, or None for another text or one of a huge segment."""
        match = _NAME.fullmatch(text)
        if match is None or int(match[2]) > SEGMENT_LIMIT_BYTES:
            return None
        return cls(match[1], int(match[2]))

    def check(self, data: bytes) -> None:
        """Raises IntegrityError (T031) where ``data`` are other bytes."""
        if self.of(data) != self:
            raise IntegrityError(f"the segment {self.hex[:12]} has other bytes", code="T031")


def segment_bytes(entries: Iterable[Entry]) -> bytes:
    """Returns a segment; the same entries give the same bytes."""
    return packed((entry.claim.key, entry.to_bytes()) for entry in entries)


def packed(lines: Iterable[tuple[ActionKey, bytes]]) -> bytes:
    """Returns a segment of lines as they are; the same lines give the same bytes."""
    texts = sorted(key.encode() + b" " + data for key, data in lines)
    packer = zlib.compressobj(6, zlib.DEFLATED, _GZIP)
    head = canonical_bytes({"cache_version": VERSION})
    return packer.compress(b"\n".join([head, *texts, b""])) + packer.flush()


def lines_of(
    data: bytes, what: str, *, limit_bytes: int = TEXT_LIMIT_BYTES
) -> Iterator[tuple[ActionKey, bytes]]:
    """Gives (key, entry's bytes) of a segment; the entries are not looked at.

    Args:
        limit_bytes: unpacked it has no more bytes.

    Raises:
        IntegrityError: T031, it is no segment, too large, or of a newer form.
    """
    head, *lines = _unpacked(data, what, limit_bytes).split(b"\n")
    version = load_document(head, what).integer("cache_version", low=1, high=1 << 30)
    if version > VERSION:
        raise IntegrityError(f"{what} was written by a newer ssds (form {version})", code="T031")
    for line in lines:
        key, space, rest = line.partition(b" ")
        if not space:
            continue
        try:
            yield ActionKey(key.decode("ascii")), rest
        except (InvalidValue, UnicodeDecodeError) as error:
            raise IntegrityError(f"{what} has a line without a key", code="T031") from error


def _unpacked(data: bytes, what: str, limit_bytes: int) -> bytes:
    unpacker = zlib.decompressobj(_GZIP)
    try:
        limit = min(limit_bytes, (1 << 20) + _MOST_TIMES * len(data))
        text = unpacker.decompress(data, limit)
    except zlib.error as error:
        raise IntegrityError(f"{what} is damaged: {error}", code="T031") from error
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise IntegrityError(f"{what} is cut or too large", code="T031")
    return text
