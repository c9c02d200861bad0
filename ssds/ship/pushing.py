"""Makes a channel agree with the locks: blobs, manifests, attachments, tags, in that order.

Each blob is sent once, and mounted where another repository of the place has it; several are on
their way at once. Whoever sees a tag can read all behind it, also after a kill at any moment: the
next run sends what is missing and no more. A release that cannot be brought leaves the others
alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from ssds.core.digest import Digest
from ssds.core.errors import Refused, SsdsError, UnavailableError
from ssds.core.model import ReleaseName
from ssds.core.records import dataclass, field
from ssds.host.files import write_point
from ssds.lock.model import Released
from ssds.oci.copy import HasBlobs, parts_of
from ssds.oci.types import Descriptor
from ssds.recipe.model import Channel
from ssds.ship.changes import Change
from ssds.ship.channels import (
    BYTES,
    Attachment,
    index_descriptor,
    metadata_of,
    plan_channel,
    wanted_tags,
)
from ssds.ship.evidence import referrer
from ssds.ship.observation import Observation
from ssds.ship.plug import Backend
from ssds.ship.sifs import SUFFIX, lay_out, with_sifs
from ssds.ship.state import read_state

SMALL_BYTES = 64 * 1024
"""Sending so little again costs no more than asking whether it is there."""

WORKERS = 4
"""So many blobs or releases are on their way to one channel at once; each holds 256 kB."""

Say = Callable[[str], None]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One release on its way.

    Attributes:
        roots: what is copied: the index, and what the SIF tags name.
        attachments: what is attached anew.
        tags: in order: immutable ones first.
        new: its immutable tag is not there: only large blobs are asked for, that may be there
            from a push that was cut.
    """

    name: str
    released: Released
    roots: tuple[Descriptor, ...]
    attachments: tuple[Attachment, ...]
    tags: Mapping[str, Descriptor]
    new: bool


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
    work = _Work(backend, source, say, stopping or threading.Event())
    work.mountable = _known_places(releases, observed)
    work.run(found)
    failed = dict(work.failed)
    touched = {job.name for job in found}
    seen = [released for released in releases if released.id.name in touched]
    after = observed
    if seen:
        after = observed.with_names(touched, subjects_of(seen), observe(backend, seen, now))
        failed |= _still_different(channel, seen, after, changes, failed, evidence, before)
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
) -> list[_Job]:
    """Returns the releases of which something is to be brought; refused ones are left out."""
    todo = {change.what for change in changes if change.effective}
    refused = {change.what for change in changes if change.verb == "x"}
    found = []
    for name, tags in sorted(wanted_tags(channel, releases).items()):
        wanted = with_sifs(channel, tags)
        for released in {r.full_tag: r for r in tags.values()}.values():
            full = f"{name}:{released.full_tag}"
            if full in refused:
                continue
            mine = [t for t, (r, _) in wanted.items() if r is released and f"{name}:{t}" in todo]
            files = [t for t in mine if t not in tags and full + SUFFIX not in refused]
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
                _Job(
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


class _Work:
    """The workers of one push and what they share."""

    def __init__(
        self, backend: Backend, source: HasBlobs, say: Say, stopping: threading.Event
    ) -> None:
        self.failed: dict[ReleaseName, SsdsError] = {}
        self.sent: list[Digest] = []
        self.mounted = 0
        self.size_bytes = 0
        self.mountable: dict[Digest, str] = {}
        self._backend = backend
        self._source = source
        self._say = say
        self._stopping = stopping
        self._guard = threading.Lock()
        self._names: dict[str, threading.Lock] = {}

    def run(self, jobs: Sequence[_Job]) -> None:
        """Brings all blobs, then release by release what names them."""
        if not jobs:
            return
        with ThreadPoolExecutor(max_workers=WORKERS, thread_name_prefix="push") as pool:
            plans = {}
            for job in jobs:
                with self._failing([job]):
                    plans[job.released.id] = self._parts(job)
            blobs: dict[Digest, dict[str, tuple[Descriptor, list[_Job]]]] = {}
            for job in jobs:
                for item, data in plans.get(job.released.id, ()):
                    if data is None:
                        place = blobs.setdefault(item.digest, {})
                        place.setdefault(job.name, (item, []))[1].append(job)
            self._all([pool.submit(self._bring, places) for places in blobs.values()], pool)
            left = [j for j in jobs if j.released.id in plans and j.released.id not in self.failed]
            self._all([pool.submit(self._finish, j, plans[j.released.id]) for j in left], pool)

    def _all(self, futures: Sequence[Future[None]], pool: ThreadPoolExecutor) -> None:
        try:
            for future in futures:
                future.result()
        except BaseException:
            self._stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise

    def _failing(self, jobs: Sequence[_Job]) -> _Failing:
        return _Failing(self, jobs)

    def fail(self, jobs: Sequence[_Job], error: SsdsError) -> None:
        """Notes why releases are left out."""
        with self._guard:
            for job in jobs:
                self.failed.setdefault(job.released.id, error)

    def _parts(self, job: _Job) -> list[tuple[Descriptor, bytes | None]]:
        found: dict[Digest, tuple[Descriptor, bytes | None]] = {}
        for root in job.roots:
            for item, data in parts_of(self._source, root):
                found.setdefault(item.digest, (item, data))
        return list(found.values())

    def _bring(self, places: Mapping[str, tuple[Descriptor, list[_Job]]]) -> None:
        """Brings one blob to every repository that needs it; the later ones mount it."""
        there = ""
        for name, (item, jobs) in places.items():
            with self._failing(jobs):
                self._check_stopping()
                known = self.mountable.get(item.digest, "")
                elsewhere = there or (known if known != name else "")
                surely = jobs[0].new and (item.size_bytes <= SMALL_BYTES or elsewhere != "")
                if not surely and self._backend.has(name, item, manifest=False):
                    there = name
                    continue
                write_point("sync.blob")
                moved = self._backend.put_blob(name, item, self._source.blobs, elsewhere)
                write_point("sync.sent")
                how = f"{item.size_bytes} bytes" if moved else "mounted"
                self._say(f"{name}: {item.digest.short} ({how})")
                there = name
                with self._guard:
                    self.sent += [item.digest] if moved else []
                    self.size_bytes += item.size_bytes if moved else 0
                    self.mounted += not moved

    def _finish(self, job: _Job, parts: Sequence[tuple[Descriptor, bytes | None]]) -> None:
        """Brings manifests, attachments and tags; the blobs are there."""
        with self._failing([job]):
            for item, data in parts:
                if data is None:
                    continue
                if job.new or not self._backend.has(job.name, item, manifest=True):
                    self._check_stopping()
                    self._backend.put_manifest(job.name, item, data)
                    write_point("sync.manifest")
            with self._guard:
                lock = self._names.setdefault(job.name, threading.Lock())
            with lock:
                for attachment in job.attachments:
                    self._check_stopping()
                    data = attachment.content or self._source.blobs.read(attachment.digest)
                    manifest, content = referrer(attachment, data)
                    self._backend.attach(job.name, attachment, manifest, content)
                    write_point("sync.attached")
                if job.tags:
                    self._check_stopping()
                    self._say(f"{job.name}: {' '.join(job.tags)}")
                    documents = {item.digest: data for item, data in parts if data is not None}
                    self._backend.tag(job.name, job.tags, documents)
                    write_point("sync.tagged")

    def _check_stopping(self) -> None:
        if self._stopping.is_set():
            raise UnavailableError("stopped", hint="Run it again; what was sent is there.")


class _Failing:
    """A block whose error is that of some releases, and of no others."""

    def __init__(self, work: _Work, jobs: Sequence[_Job]) -> None:
        self._work = work
        self._jobs = jobs

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, SsdsError):
            self._work.fail(self._jobs, error)
            return True
        return False


def _still_different(
    channel: Channel,
    seen: Sequence[Released],
    after: Observation,
    changes: Sequence[Change],
    failed: Mapping[ReleaseName, SsdsError],
    evidence: Evidence | None,
    before: Observation | None,
) -> dict[ReleaseName, SsdsError]:
    """Returns the releases that differ although they were brought: another writer is at work."""
    refused = {change.what for change in changes if change.verb == "x"}
    held = _held(channel, seen, refused)
    left = plan_channel(channel, seen, after, before=before, evidence=evidence)
    wrong = {c.what.partition(" ")[0]: c for c in left if c.effective and c.what not in held}
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


def _held(channel: Channel, releases: Sequence[Released], refused: set[str]) -> set[str]:
    """Returns everything of releases, and of their SIF files, whose immutable tag is refused."""
    held = set(refused)
    for name, tags in wanted_tags(channel, releases).items():
        for tag, (released, _) in with_sifs(channel, tags).items():
            full = f"{name}:{released.full_tag}"
            if full in refused:
                held |= {f"{name}:{tag}", f"{full} metadata"}
            if full + SUFFIX in refused and tag not in tags:
                held.add(f"{name}:{tag}")
    return held
