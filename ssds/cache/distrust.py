"""Claims that came from caches before, and whether they still count."""

from __future__ import annotations

import functools
from collections.abc import Callable, Container

from ssds.core.model import Claim
from ssds.store.claims import Claims
from ssds.trust.keys import PublicKey


def counting(
    signed_caches: Container[str], keys: Callable[[], tuple[PublicKey, ...]]
) -> Callable[[Claim], bool]:
    """Returns whether a claim of the store counts.

    One that came from a cache of which only signed claims count needs a signer whose key is
    trusted now, not only when it came. The keys are read when the first such claim is met.
    """

    @functools.cache
    def trusted() -> frozenset[str]:
        return frozenset(str(key.id) for key in keys())

    def counts(claim: Claim) -> bool:
        return claim.from_cache not in signed_caches or claim.signer in trusted()

    return counts


def doubting(claims: Claims) -> Callable[[Claim], bool]:
    """Returns whether a claim of a lock says what the store has only from one who does not count.

    A lock keeps no maker of a claim; the store does. So who takes a key back re-plans what it
    signed, though a lock was written from it meanwhile.
    """
    known = functools.cache(claims.doubted)

    def doubts(claim: Claim) -> bool:
        return any(claim.same_outputs(other) for other in known().get(claim.key, ()))

    return doubts
