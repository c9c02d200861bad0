"""Segments: what one push adds to a cache, as one immutable file named by its digest and size.

Form: gzip of lines; the first is the segment's head, each other one is ``KEY JSON``, and the last
ones are seals (JSON without a space), which sign lines. Whoever has the list of names asks only
for those that it does not have yet, and finds keys without a request.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable
from typing import NamedTuple, Self

from ssds.cache.entry import Entry
from ssds.cache.seals import line_bytes, seal
from ssds.core.canonical import canonical_bytes
from ssds.core.digest import ActionKey, Digest
from ssds.core.errors import IntegrityError, InvalidValue
from ssds.oci.document import load_document
from ssds.trust.keys import Signer

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


class Segment(NamedTuple):
    """What a segment holds, not looked at: (key, entry's bytes), and seals."""

    lines: frozenset[tuple[ActionKey, bytes]] = frozenset()
    seals: frozenset[bytes] = frozenset()

    @property
    def size(self) -> int:
        """The number of lines, seals too."""
        return len(self.lines) + len(self.seals)

    def joined(self, other: Segment) -> Segment:
        """Returns one that holds what both hold."""
        return Segment(self.lines | other.lines, self.seals | other.seals)

    def less_than(self, other: Segment) -> bool:
        """Whether the other one holds all of it and more."""
        return self != other and self.lines <= other.lines and self.seals <= other.seals


def segment_bytes(entries: Iterable[Entry], signer: Signer | None = None) -> bytes:
    """Returns a segment, signed where there is a signer; the same entries give the same bytes."""
    lines = frozenset((entry.claim.key, entry.to_bytes()) for entry in entries)
    if signer is None:
        return packed(Segment(lines))
    return packed(Segment(lines, frozenset({seal((line_bytes(*one) for one in lines), signer)})))


def packed(segment: Segment) -> bytes:
    """Returns the bytes of a segment; the same lines and seals give the same bytes."""
    texts = sorted(line_bytes(key, data) for key, data in segment.lines)
    packer = zlib.compressobj(6, zlib.DEFLATED, _GZIP)
    head = canonical_bytes({"cache_version": VERSION})
    text = b"\n".join([head, *texts, *sorted(segment.seals), b""])
    return packer.compress(text) + packer.flush()


def read_segment(data: bytes, what: str, *, limit_bytes: int = TEXT_LIMIT_BYTES) -> Segment:
    """Returns what a segment holds; neither entries nor seals are looked at.

    Args:
        limit_bytes: unpacked it has no more bytes.

    Raises:
        IntegrityError: T031, it is no segment, too large, or of a newer form.
    """
    head, *lines = _unpacked(data, what, limit_bytes).split(b"\n")
    version = load_document(head, what).integer("cache_version", low=1, high=1 << 30)
    if version > VERSION:
        raise IntegrityError(f"{what} was written by a newer ssds (form {version})", code="T031")
    claims: set[tuple[ActionKey, bytes]] = set()
    seals: set[bytes] = set()
    for line in lines:
        key, space, rest = line.partition(b" ")
        if not space:
            if key.startswith(b"{"):
                seals.add(key)
            continue
        try:
            claims.add((ActionKey(key.decode("ascii")), rest))
        except (InvalidValue, UnicodeDecodeError) as error:
            raise IntegrityError(f"{what} has a line without a key", code="T031") from error
    return Segment(frozenset(claims), frozenset(seals))


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
