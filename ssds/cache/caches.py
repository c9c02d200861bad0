"""All caches of a workspace, asked in the order of the settings; each at most once."""

from __future__ import annotations

import concurrent.futures as cf
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from ssds.cache.cache import Cache
from ssds.cache.entry import Entry
from ssds.core.canonical import canonical_text
from ssds.core.digest import ActionKey, Digest
from ssds.core.model import FROM_CACHE, Claim
from ssds.oci.blobs import READ_LIMIT_BYTES, Blobs
from ssds.store.store import Store

THREADS = 8


class Caches:
    """The caches that a plan asks for keys which neither lock nor store claims."""

    def __init__(self, caches: Sequence[Cache]) -> None:
        self.caches = tuple(caches)
        self._used: dict[ActionKey, list[tuple[Cache, Entry]]] = {}
        self._chosen: dict[ActionKey, str] = {}
        self._kept: set[tuple[str, ActionKey, str]] = set()
        self._owner: dict[Digest, Cache] = {}
        self._said = 0

    def find(self, key: ActionKey) -> tuple[Claim, ...]:
        """Returns the claims of a key, the first cache's first."""
        found = [(cache, entry) for cache in self.caches for entry in cache.entries(key)]
        self._used.pop(key, None)
        self._chosen.pop(key, None)
        if found:
            self._used[key] = found
            for cache, entry in found:
                for digest in entry.sizes:
                    self._owner.setdefault(digest, cache)
        return tuple(entry.found_in(cache.name) for cache, entry in found)

    def note_choices(self, origins: Mapping[ActionKey, str]) -> None:
        """Notes where the claim comes from that a plan took for each key, empty for none."""
        self._chosen.update((k, origin) for k, origin in origins.items() if k in self._used)

    def __contains__(self, digest: object) -> bool:
        """Whether some cache should have a blob."""
        return isinstance(digest, Digest) and bool(self.offering(digest))

    def offering(self, digest: Digest) -> str:
        """Returns the name of the first cache that should have a blob, or the empty string."""
        return next((cache.name for cache in self.caches if cache.offers(digest)), "")

    @property
    def retracted(self) -> int:
        """A number that grows whenever a claim that was given turns out not to count."""
        return sum(cache.retracted for cache in self.caches)

    def notes(self) -> tuple[str, ...]:
        """Returns what a plan says: what was taken of each cache, and what was wrong."""
        first = {k: entry.found_in(c.name).origin for k, ((c, entry), *_) in self._used.items()}
        used = Counter({**first, **self._chosen}.values())
        lines = []
        for cache in self.caches:
            count = used[f"{FROM_CACHE}{cache.name}"]
            if count and not cache.down:
                what = f"{count} claim" + ("" if count == 1 else "s")
                lines.append(f"cache {cache.name}: {what} taken, asked just now")
            lines += cache.warnings
        return tuple(lines)

    def new_warnings(self) -> list[str]:
        """Returns the warnings that no earlier call returned."""
        lines = [line for cache in self.caches for line in cache.warnings]
        new, self._said = lines[self._said :], len(lines)
        return new

    def read(self, digest: Digest) -> bytes | None:
        """Returns a blob that a cache has, or None; kept for the next plan."""
        offering = (cache for cache in self.caches if cache.offers(digest))
        cache = self._owner.get(digest) or next(offering, None)
        if cache is None:
            return None
        if not cache.kept.has(digest):
            size = cache.sizes.get(digest, READ_LIMIT_BYTES + 1)
            if size > READ_LIMIT_BYTES or not cache.fetch(digest, cache.kept):
                return None
        return cache.kept.read(digest)

    def bring(
        self,
        digests: Iterable[Digest],
        store: Store,
        say: Callable[[str], None] = lambda _: None,
    ) -> frozenset[Digest]:
        """Brings blobs into the store, several at once; returns those that cannot be had.

        Claims that were found here and are whole in the store then are kept there too.
        """
        missing = [d for d in sorted(set(digests)) if not store.blobs.has(d)]
        if missing:
            total = sum(max(c.sizes.get(d, 0) for c in self.caches) for d in missing)
            say(f"{len(missing)} blobs, {total / (1 << 20):.1f} MiB, from caches")
        failed = set()
        with cf.ThreadPoolExecutor(THREADS) as pool:
            jobs = {pool.submit(self._bring_one, digest, store.blobs): digest for digest in missing}
            for job in cf.as_completed(jobs):
                if not job.result():
                    failed.add(jobs[job])
        self._keep_claims(store)
        return frozenset(failed)

    def _bring_one(self, digest: Digest, blobs: Blobs) -> bool:
        return any(cache.fetch(digest, blobs) for cache in self.caches if cache.offers(digest))

    def _keep_claims(self, store: Store) -> None:
        """Keeps every claim that was found, once; which one counts is for each plan to say (C3)."""
        new = {
            mark: (entry.found_in(cache.name), entry.preimage.encode(), entry.node)
            for found in self._used.values()
            for cache, entry in found
            for mark in [(store.path, entry.claim.key, canonical_text(entry.claim.to_lock()))]
            if mark not in self._kept
            and all(store.blobs.has(d) for d in entry.claim.outputs.values())
        }
        if new:
            store.claims.add_many(list(new.values()))
            self._kept.update(new)
