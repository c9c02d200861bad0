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
from ssds.ship.changes import DRIFT, Change
from ssds.ship.channels import (
    BYTES,
    Attachment,
    index_descriptor,
    metadata_of,
    plan_channel,
    wanted_tags,
)
from ssds.ship.looking import observe, subjects_of
from ssds.ship.observation import Observation
from ssds.ship.plug import Backend
from ssds.ship.revisions import earlier_tags
from ssds.ship.sifs import lay_out, with_sifs

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


def push(
    channel: Channel,
    backend: Backend,
    releases: Sequence[Released],
    source: HasBlobs,
    *,
    changes: Sequence[Change],
    observed: Observation,
    now: int,
    before: Observation | None = None,
    evidence: Evidence | None = None,
    say: Say = lambda _: None,
    stopping: threading.Event | None = None,
) -> Pushed:
    """Carries changes out, reads back what it touched.

    Args:
        releases: all that the channel should have.
        changes: as ``plan_channel`` gives them for ``observed``; of some releases or of all.
        before, evidence: as for ``plan_channel``.
        stopping: set by another thread: nothing further is begun.
    """
    found = _jobs(channel, releases, changes, source, evidence or {})
    work = Work(backend, source, say, stopping or threading.Event())
    work.mountable = _known_places(releases, observed)
    work.run(found)
    earlier = _earlier(channel, releases, changes, observed, before)
    for name, tag, wrote, released in earlier:
        work.put_back(name, tag, wrote, released)
    failed = dict(work.failed)
    touched = {job.name for job in found} | {name for name, *_ in earlier}
    seen = [released for released in releases if released.id.name in touched]
    after = observed
    if seen:
        after = observed.with_names(touched, subjects_of(seen), observe(backend, seen, now))
        only = frozenset(change.release for change in changes if change.release)
        left = plan_channel(channel, seen, after, before=before, evidence=evidence, only=only)
        refused = {change.what for change in changes if change.verb == "x"}
        left = tuple(change for change in left if change.what not in refused)
        failed |= _still_different(channel, left, failed)
    return Pushed(
        changes=tuple(changes),
        after=after,
        failed=failed,
        sent=tuple(work.sent),
        mounted=work.mounted,
        size_bytes=work.size_bytes,
    )


def _earlier(
    channel: Channel,
    releases: Sequence[Released],
    changes: Sequence[Change],
    observed: Observation,
    before: Observation | None,
) -> list[tuple[str, str, Digest, Released]]:
    """Returns name, tag, what ssds wrote, and whose it is, of tags to be put back."""
    todo = {change.what for change in changes if change.effective and change.marks >= DRIFT}
    found = []
    for name, tags in wanted_tags(channel, releases).items() if todo else ():
        there = {
            t.partition(":")[2]: d for t, d in observed.tags.items() if t.partition(":")[0] == name
        }
        earlier = earlier_tags(name, with_sifs(channel, tags), there, before)
        found += [
            (name, tag, wrote, released)
            for tag, (wrote, released) in earlier.items()
            if f"{name}:{tag}" in todo
        ]
    return found


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
            roots = [index_descriptor(released)] if whole else []
            for document in released.dataset.documents if whole and released.dataset else ():
                source.blobs.put(document)
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
    channel: Channel, left: Sequence[Change], failed: Mapping[ReleaseName, SsdsError]
) -> dict[ReleaseName, SsdsError]:
    """Returns the releases that differ although they were brought: another writer is at work."""
    found: dict[ReleaseName, SsdsError] = {}
    for change in left:
        if change.effective and change.release and change.release not in failed:
            found[change.release] = Refused(
                f"{channel.name} still differs after the push: {change.what} ({change.reason})",
                hint="Another writer is at work there; try again.",
                code="D031",
            )
    return found
