"""What is in a cache, and whether it is whole: for ``ssds cache stats`` and ``verify``."""

from __future__ import annotations

import collections
import concurrent.futures as cf
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from ssds.cache.cache import NOBODY, OTHERS, Cache
from ssds.cache.entry import Entry
from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError, SsdsError
from ssds.core.records import dataclass, field

THREADS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What a cache holds.

    Attributes:
        kinds: kind → claims; size_bytes: of all blobs that claims name, each once.
        impure, failed: claims of what was made with network, and verdicts ``fail``.
        signed: name of a trusted key → claims that it signed, those too that do not count;
            others, unsigned: how many other keys signed, and nobody.
    """

    segments: int
    claims: int
    blobs: int
    size_bytes: int
    impure: int
    failed: int
    kinds: dict[str, int] = field(default_factory=dict)
    signed: dict[str, int] = field(default_factory=dict)
    others: int = 0
    unsigned: int = 0


def stats(cache: Cache) -> Stats:
    """Returns what a cache holds, of that which can be believed."""
    entries = list(cache.all())
    sizes = {digest: size for entry in entries for digest, size in entry.sizes.items()}
    signers = cache.signers()
    others, unsigned = signers.pop(OTHERS, 0), signers.pop(NOBODY, 0)
    return Stats(
        segments=len(cache.segments),
        claims=len(entries),
        blobs=len(sizes),
        size_bytes=sum(sizes.values()),
        impure=sum(1 for e in entries if e.claim.impure),
        failed=sum(1 for e in entries if e.claim.verdict == "fail"),
        kinds=dict(sorted(collections.Counter(e.claim.kind for e in entries).items())),
        signed=dict(sorted(signers.items())),
        others=others,
        unsigned=unsigned,
    )


def verify(cache: Cache, *, read: bool = False) -> list[str]:
    """Returns what is wrong: segments and claims that count for nothing, blobs that are missing.

    Args:
        read: read every blob and check its digest, not only that it is there.
    """
    wanted: dict[Digest, Entry] = {}
    cache.most_warnings = 1 << 30
    for entry in cache.all():
        for digest in entry.sizes:
            wanted.setdefault(digest, entry)

    def look(item: tuple[Digest, Entry]) -> str:
        digest, entry = item
        why = _missing(cache, digest, entry.sizes[digest], read=read)
        node = entry.node or entry.claim.key.short
        return f"{digest}, which {entry.claim.kind} {node} claims: {why}" if why else ""

    with cf.ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(look, sorted(wanted.items(), key=lambda item: item[0])))
    return [*cache.warnings, *filter(None, found)]


def _missing(cache: Cache, digest: Digest, size_bytes: int, *, read: bool) -> str:
    try:
        if not read:
            return "" if cache.place.has(digest) else "it is not there"
        hashing = _Hashing()
        cache.place.fetch(digest, size_bytes, hashing.anew)
        if (hashing.digest, hashing.size_bytes) != (digest, size_bytes):
            raise IntegrityError(f"it has other bytes: {hashing.digest}")
    except SsdsError as error:
        return error.message.replace("\n", "; ")
    return ""


class _Hashing:
    """A sink that only hashes."""

    def __init__(self) -> None:
        self._hash, self.size_bytes = hashlib.sha256(), 0

    @contextmanager
    def anew(self) -> Iterator[_Hashing]:
        """Gives itself, emptied."""
        self._hash, self.size_bytes = hashlib.sha256(), 0
        yield self

    def write(self, data: bytes, /) -> int:
        """Takes ``data``."""
        self._hash.update(data)
        self.size_bytes += len(data)
        return len(data)

    @property
    def digest(self) -> Digest:
        """The sha256 of all that came."""
        return Digest.made("sha256:" + self._hash.hexdigest())
