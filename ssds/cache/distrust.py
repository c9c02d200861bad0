"""Claims that came from caches before, and whether they still count."""

from __future__ import annotations

import functools
from collections.abc import Callable, Container

from ssds.core.model import Claim
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
