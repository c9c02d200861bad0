"""Sends claims and their blobs to a cache: blobs first, then the segment that claims them.

Whoever has a key signs what the store's owner made here, and nothing that came from a cache: who
distrusts a key distrusts what was made with it, and no more.
"""

from __future__ import annotations

import concurrent.futures as cf
from collections.abc import Callable, Iterable, Iterator, Sequence

from ssds.cache.cache import Cache
from ssds.cache.entry import ENTRY_LIMIT_BYTES, Entry
from ssds.cache.segment import ENTRIES_PER_SEGMENT, SegmentName, segment_bytes
from ssds.core.digest import Digest
from ssds.core.errors import Refused, UnavailableError
from ssds.core.model import KINDS, Claim
from ssds.core.records import dataclass, replace
from ssds.store.store import Store
from ssds.trust.keys import Signer

THREADS = 8
BLOBS_PER_SEGMENT = 8000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What a push did.

    Attributes:
        claims: how many were sent; known: how many the cache had; lacking: how many have no bytes
            here, or are impure where the cache takes none.
        signed: how many were sent with a signature; foreign: how many were not sent, for they came
            from caches, and only signed claims count in this one.
        blobs, size_bytes: what went over.
    """

    claims: int = 0
    known: int = 0
    lacking: int = 0
    signed: int = 0
    foreign: int = 0
    blobs: int = 0
    size_bytes: int = 0


def entry_of(claim: Claim, node: str, store: Store) -> Entry | None:
    """Returns the entry of a claim of the store, or None where its bytes are not all here."""
    preimage = store.claims.preimage(claim.key)
    outputs = set(claim.outputs.values())
    logs = {n: d for n, d in claim.logs.items() if store.blobs.has(d)}
    if claim.kind not in KINDS or preimage is None or not all(store.blobs.has(d) for d in outputs):
        return None
    entry = Entry(
        claim=replace(claim, logs=logs),
        preimage=preimage.decode(),
        node=node,
        sizes={d: store.blobs.size(d) for d in sorted(outputs | set(logs.values()))},
    )
    return entry if len(entry.to_bytes()) <= ENTRY_LIMIT_BYTES else None


def push(
    cache: Cache,
    claims: Iterable[tuple[Claim, str]],
    store: Store,
    *,
    again: bool = False,
    signer: Callable[[], Signer | None] = lambda: None,
    say: Callable[[str], None] = lambda _: None,
) -> Pushed:
    """Sends what the cache does not claim yet; what was sent before an interruption is not lost.

    Args:
        claims: (claim, node's text); those of the store.
        again: send also what it claims already, where its bytes are missing there.
        signer: gives the key that signs, or None; it is asked where there is something to sign.

    Raises:
        UnavailableError: T032, the cache does not answer.
        Refused: T034, it is only read; only signed claims count there, and T035 no
            key signs, or T036 one that is not trusted.
    """
    cache.place.prepare()
    known = lacking = foreign = 0
    own: list[Entry] = []
    others: list[Entry] = []
    _ = cache.segments
    if cache.down:
        raise UnavailableError(
            f"cache {cache.name} does not answer: {cache.down}",
            hint="Check its location in ssds.yaml, the network and the login.",
            code="T032",
        )
    for claim, node in claims:
        if not again and cache.has_claim(claim):
            known += 1
            continue
        entry = entry_of(claim, node, store) if cache.impure or not claim.impure else None
        if entry is None:
            lacking += 1
        elif not claim.from_cache:
            own.append(entry)
        elif cache.signed:
            foreign += 1
        else:
            others.append(entry)
    key = signer() if own else None
    if own and cache.signed and (key is None or key.public not in cache.trusted):
        raise _nobody_signs(cache, key)
    sent = blobs = size = 0
    signed = [(part, key) for part in parts(own)]
    for part, by in [*signed, *((part, None) for part in parts(others))]:
        sizes = {d: s for entry in part for d, s in entry.sizes.items()}
        done = _send(cache, sizes, store)
        blobs, size = blobs + len(done), size + sum(sizes[d] for d in done)
        data = segment_bytes(part, by)
        cache.place.publish(SegmentName.of(data), data, sizes)
        sent += len(part)
        say(f"{sent} of {len(own) + len(others)} claims sent")
    return Pushed(
        claims=sent,
        known=known,
        lacking=lacking,
        signed=len(own) if key else 0,
        foreign=foreign,
        blobs=blobs,
        size_bytes=size,
    )


def _nobody_signs(cache: Cache, key: Signer | None) -> Refused:
    if key is None:
        return Refused(
            f"of the cache {cache.name} only signed claims count, and no key signs here",
            hint="Set SSDS_SIGNING_KEY, or trust.sign in your own settings.",
            code="T035",
        )
    return Refused(
        f"the key sha256:{key.public.id.short}… signs here, and is not one that is trusted here",
        hint=f"Name its public half under trust.keys, for all who read the cache {cache.name}.",
        code="T036",
    )


def parts(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Gives the entries in pieces that one manifest of a registry can hold."""
    part: list[Entry] = []
    blobs: set[Digest] = set()
    for entry in entries:
        full = len(part) >= ENTRIES_PER_SEGMENT or len(blobs) >= BLOBS_PER_SEGMENT
        if part and full:
            yield part
            part, blobs = [], set()
        part.append(entry)
        blobs.update(entry.sizes)
    if part:
        yield part


def _send(cache: Cache, sizes: dict[Digest, int], store: Store) -> list[Digest]:
    """Sends blobs, several at once; returns those that were not there."""

    def send(digest: Digest) -> bool:
        return cache.place.put(digest, sizes[digest], lambda: store.blobs.open(digest))

    with cf.ThreadPoolExecutor(THREADS) as pool:
        jobs = {pool.submit(send, digest): digest for digest in sizes}
        try:
            return [jobs[job] for job in cf.as_completed(jobs) if job.result()]
        finally:
            pool.shutdown(cancel_futures=True)
