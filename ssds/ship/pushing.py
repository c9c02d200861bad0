"""Makes a channel agree with the locks: blobs, manifests, attachments, tags, in that order.

Each blob is sent once, and mounted where another repository of the place has it; several are on
their way at once. Whoever sees a tag can read all behind it, also after a kill at any moment: the
next run sends what is missing and no more. A release that cannot be brought leaves the others
alone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence

from ssds.core.digest import Digest
from ssds.core.errors import Refused, SsdsError
from ssds.core.model import ReleaseName
from ssds.core.records import dataclass, field
from ssds.lock.model import Released
from ssds.oci.copy import HasBlobs
from ssds.recipe.model import Channel
from ssds.ship.carrying import Job, Say, Work
from ssds.ship.changes import Change
from ssds.ship.channels import (
    BYTES,
    Attachment,
    index_descriptor,
    metadata_of,
    plan_channel,
    wanted_tags,
)
from ssds.ship.observation import Observation
from ssds.ship.plug import Backend
from ssds.ship.sifs import lay_out, with_sifs
from ssds.ship.state import read_state

Evidence = Mapping[Digest, Sequence[Attachment]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What a push did.

    Attributes:
        changes: as planned; after: what is there now.
        failed: the releases that could not be brought.
        sent: digests of the blobs that were sent; size_bytes: of them; mounted: how many needed
            no sending.
    """

    changes: tuple[Change, ...]
    after: Observation
    failed: Mapping[ReleaseName, SsdsError] = field(default_factory=dict)
    sent: tuple[Digest, ...] = ()
    mounted: int = 0
    size_bytes: int = 0


def observe(
    backend: Backend, releases: Sequence[Released], at: int, *, deep: bool = False
) -> Observation:
    """Looks at the channel: all tags of the releases' names; ``at`` is the time now."""
    wanted: dict[str, list[Released]] = {}
    for released in sorted(releases, key=lambda r: r.id):
        wanted.setdefault(released.id.name, []).append(released)
    found = backend.observe(wanted, deep=deep)
    return Observation(
        at=at,
        tags=found.tags,
        metadata=found.metadata,
        evidence=found.evidence,
        lost=found.lost,
    )


def subjects_of(releases: Iterable[Released]) -> frozenset[Digest]:
    """Returns the indexes and manifests that something may be attached to."""
    found: set[Digest] = set()
    for released in releases:
        found.add(released.index.digest)
        found |= {half.manifest.digest for half in released.platforms.values()}
    return frozenset(found)


def apply_changes(
    channel: Channel,
    backend: Backend,
    releases: Sequence[Released],
    source: HasBlobs,
    *,
    now: int,
    remembered: Observation | None = None,
    say: Say = lambda _: None,
) -> tuple[tuple[Change, ...], Observation]:
    """Looks anew, brings what is missing, reads back; returns what it did and what is there now.

    What differs from the place's state, or else from what is ``remembered``, is drift.

    Raises:
        SsdsError: that of the first release that could not be brought; the others are there.
    """
    before = read_state(backend) or remembered
    observed = observe(backend, releases, now)
    done = push(
        channel, backend, releases, source, observed=observed, before=before, now=now, say=say
    )
    for error in done.failed.values():
        raise error
    return done.changes, done.after


def push(
    channel: Channel,
    backend: Backend,
    releases: Sequence[Released],
    source: HasBlobs,
    *,
    observed: Observation,
    now: int,
    before: Observation | None = None,
    evidence: Evidence | None = None,
    say: Say = lambda _: None,
    stopping: threading.Event | None = None,
) -> Pushed:
    """Brings what differs from ``observed``, reads back what it touched.

    Args:
        releases: all that the channel should have.
        before, evidence: as for ``plan_channel``.
        stopping: set by another thread: nothing further is begun.
    """
    changes = plan_channel(channel, releases, observed, before=before, evidence=evidence)
    found = _jobs(channel, releases, changes, source, evidence or {})
    work = Work(backend, source, say, stopping or threading.Event())
    work.mountable = _known_places(releases, observed)
    work.run(found)
    failed = dict(work.failed)
    touched = {job.name for job in found}
    seen = [released for released in releases if released.id.name in touched]
    after = observed
    if seen:
        after = observed.with_names(touched, subjects_of(seen), observe(backend, seen, now))
        failed |= _still_different(channel, seen, after, failed, evidence, before)
    return Pushed(
        changes=changes,
        after=after,
        failed=failed,
        sent=tuple(work.sent),
        mounted=work.mounted,
        size_bytes=work.size_bytes,
    )


def _jobs(
    channel: Channel,
    releases: Sequence[Released],
    changes: Sequence[Change],
    source: HasBlobs,
    evidence: Evidence,
) -> list[Job]:
    """Returns the releases of which something is to be brought."""
    todo = {change.what for change in changes if change.effective}
    found = []
    for name, tags in sorted(wanted_tags(channel, releases).items()):
        wanted = with_sifs(channel, tags)
        for released in {r.full_tag: r for r in tags.values()}.values():
            full = f"{name}:{released.full_tag}"
            mine = [t for t, (r, _) in wanted.items() if r is released and f"{name}:{t}" in todo]
            files = [t for t in mine if t not in tags]
            items = (*metadata_of(released), *evidence.get(released.index.digest, ()))
            items = tuple(item for item in items if f"{full} {item.label}" in todo)
            images = [t for t in mine if t in tags]
            whole = images or f"{full} {BYTES}" in todo
            if not (whole or files or items):
                continue
            roots = [index_descriptor(released)] if whole or items else []
            wanted_now = dict.fromkeys(images, index_descriptor(released))
            if files:
                roots.append(lay_out(released, source))
                wanted_now |= dict.fromkeys(files, roots[-1])
            found.append(
                Job(
                    name=name,
                    released=released,
                    roots=tuple(roots),
                    attachments=items,
                    tags=wanted_now,
                    new=released.full_tag in images,
                )
            )
    return found


def _known_places(releases: Iterable[Released], observed: Observation) -> dict[Digest, str]:
    """Returns blob → a repository that has it: that of a release which is there already."""
    found: dict[Digest, str] = {}
    for released in releases:
        tag = f"{released.id.name}:{released.full_tag}"
        if observed.tags.get(tag) == released.index.digest and tag not in observed.lost:
            for half in released.platforms.values():
                for layer in half.layers:
                    found.setdefault(layer.digest, released.id.name)
    return found


def _still_different(
    channel: Channel,
    seen: Sequence[Released],
    after: Observation,
    failed: Mapping[ReleaseName, SsdsError],
    evidence: Evidence | None,
    before: Observation | None,
) -> dict[ReleaseName, SsdsError]:
    """Returns the releases that differ although they were brought: another writer is at work."""
    left = plan_channel(channel, seen, after, before=before, evidence=evidence)
    wrong = {c.what.partition(" ")[0]: c for c in left if c.effective}
    found: dict[ReleaseName, SsdsError] = {}
    for name, tags in wanted_tags(channel, seen).items():
        for tag, (released, _) in with_sifs(channel, tags).items():
            change = wrong.get(f"{name}:{tag}")
            if change is not None and released.id not in failed:
                found[released.id] = Refused(
                    f"{channel.name} still differs after the push: {change.what} ({change.reason})",
                    hint="Another writer is at work there; try again.",
                    code="D031",
                )
    return found
