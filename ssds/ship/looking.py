"""Looks at a channel: the one way from what a place can tell to an observation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from ssds.core.digest import Digest
from ssds.lock.model import Released
from ssds.ship.channels import plain_kind
from ssds.ship.observation import Observation, evidence_key
from ssds.ship.plug import Backend, Seen, lost_parts
from ssds.ship.signatures import KIND as SIGNATURE

LOOKERS = 8
"""So many repositories are asked at once."""


def observe(
    backend: Backend, releases: Iterable[Released], at: int, *, deep: bool = False
) -> Observation:
    """Returns all tags of the releases' names, and what is attached to the releases.

    Args:
        at: the time now, in seconds since the Unix epoch.
        deep: also ask for every manifest and blob of the releases whose tags are there.
    """
    wanted: dict[str, list[Released]] = {}
    for released in sorted(releases, key=lambda r: r.id):
        wanted.setdefault(released.id.name, []).append(released)
    look = backend.looker()
    with ThreadPoolExecutor(max_workers=LOOKERS, thread_name_prefix="look") as pool:
        asked = [pool.submit(_observe_one, look, n, r, deep) for n, r in wanted.items()]
        try:
            seen = [future.result() for future in asked]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return Observation(
        at=at,
        tags={k: v for one in seen for k, v in one.tags.items()},
        metadata={k: v for one in seen for k, v in one.metadata.items()},
        evidence={k: v for one in seen for k, v in one.evidence.items()},
        lost={k: v for one in seen for k, v in one.lost.items()},
    )


def _observe_one(
    look: Callable[[str], Seen], name: str, releases: Sequence[Released], deep: bool
) -> Observation:
    seen = look(name)
    tags = {f"{name}:{t}": d for t, d in seen.tags.items() if not t.startswith("sha256-")}
    metadata: dict[Digest, Digest] = {}
    evidence: dict[str, Digest] = {}
    lost: dict[str, tuple[Digest, ...]] = {}
    has = functools.cache(seen.has)
    for released in releases:
        full = f"{name}:{released.full_tag}"
        if tags.get(full) != released.index.digest:
            continue
        for subject in _asked(released, seen):
            for kind, digest in seen.attached(subject).items():
                if plain_kind(kind) == SIGNATURE and not seen.signed(subject):
                    continue  # half of it is gone: both are brought again
                if kind == "metadata":
                    metadata[subject] = digest
                else:
                    evidence[evidence_key(subject, kind)] = digest
        if deep and (gone := lost_parts(released, has)):
            lost[full] = gone
    return Observation(at=0, tags=tags, metadata=metadata, evidence=evidence, lost=lost)


def _asked(released: Released, seen: Seen) -> frozenset[Digest]:
    """Returns the index, and the manifests of which there is evidence or a signature."""
    found = {released.index.digest}
    for platform, half in released.platforms.items():
        if released.evidence.get(platform) or seen.signed(half.manifest.digest):
            found.add(half.manifest.digest)
    return frozenset(found)


def subjects_of(releases: Iterable[Released]) -> frozenset[Digest]:
    """Returns the indexes and manifests that something may be attached to."""
    found: set[Digest] = set()
    for released in releases:
        found.add(released.index.digest)
        found |= {half.manifest.digest for half in released.platforms.values()}
    return frozenset(found)
