"""Immutable tags: which revision a tag is, whether a tag went forward, and what others changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssds.core.digest import Digest
from ssds.core.patterns import pattern
from ssds.core.versions import version_key
from ssds.lock.model import Released
from ssds.lock.sets import CONTENT_DIGITS
from ssds.recipe.model import Channel
from ssds.ship.changes import DRIFT, IRREVERSIBLE, Change
from ssds.ship.observation import Observation
from ssds.ship.sifs import SUFFIX

REVISION = pattern(rf"(.+)-r([1-9][0-9]*)(?:{SUFFIX})?")
CONTENT = pattern(rf"(.+)-[0-9a-f]{{{CONTENT_DIGITS}}}")
"""The immutable tag of a data set: the version, and the digest's first digits."""


def revisions(
    wanted: Mapping[str, tuple[Released, Digest]], there: Mapping[str, Digest]
) -> dict[Digest, tuple[Any, int]]:
    """Returns digest → version and revision, of all that an immutable tag names or should name."""
    found: dict[Digest, tuple[Any, int]] = {}
    sets = any(released.dataset for released, _ in wanted.values())
    for tag, digest in [*there.items(), *((t, d) for t, (_, d) in wanted.items())]:
        if match := REVISION.fullmatch(tag):
            found[digest] = (version_key(match[1]), int(match[2]))
        elif sets and (match := CONTENT.fullmatch(tag)):
            found[digest] = (version_key(match[1]), 0)
    return found


def earlier_changes(
    channel: Channel,
    name: str,
    wanted: Mapping[str, tuple[Released, Digest]],
    there: Mapping[str, Digest],
    before: Observation | None,
) -> list[Change]:
    """Returns the immutable tags of earlier revisions that somebody moved."""
    found = []
    for tag, (wrote, released) in earlier_tags(name, wanted, there, before).items():
        found.append(
            Change(
                where=channel.name,
                what=f"{name}:{tag}",
                verb="+" if channel.on_drift == "repair" else "x",
                reason=f"drift: somebody moved it from {wrote.short} to {there[tag].short}",
                marks=DRIFT | (IRREVERSIBLE if channel.on_drift == "repair" else frozenset()),
                release=released.id,
            )
        )
    return found


def earlier_tags(
    name: str,
    wanted: Mapping[str, tuple[Released, Digest]],
    there: Mapping[str, Digest],
    before: Observation | None,
) -> dict[str, tuple[Digest, Released]]:
    """Returns the immutable tags of earlier revisions that name something else than ssds wrote.

    The values are what ssds wrote, and the release whose revision it is. One that is gone is no
    drift: who cleans a registry up removes what is old.
    """
    found = {}
    versions = {released.tag: released for released, _ in wanted.values()}
    for tag, digest in there.items() if before else ():
        match = REVISION.fullmatch(tag)
        released = versions.get(match[1]) if match and tag not in wanted else None
        if before is None or released is None:
            continue
        wrote = before.wrote.get(f"{name}:{tag}") or before.tags.get(f"{name}:{tag}")
        if wrote is not None and wrote != digest:
            found[tag] = (wrote, released)
    return found


def forward(
    wrote: Digest, there: Digest, digest: Digest, known: Mapping[Digest, tuple[Any, int]]
) -> bool:
    """Whether a tag went from one revision to a newer one that is not beyond the wanted one.

    So it does where another workspace synced in between, or a sync was killed before it noted it.
    """
    before, now, goal = known.get(wrote), known.get(there), known.get(digest)
    return before is not None and now is not None and goal is not None and before < now <= goal
