"""Carries releases to a channel: blobs first, several at once, then release by release the rest.

What stands behind a tag is there before the tag, at whatever moment the process is killed. An error
is that of the releases that it concerns, and of no others.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from ssds.core.digest import Digest
from ssds.core.errors import SsdsError, UnavailableError
from ssds.core.model import ReleaseName
from ssds.core.records import dataclass
from ssds.host.files import write_point
from ssds.lock.model import Released
from ssds.oci.copy import HasBlobs, parts_of
from ssds.oci.types import Descriptor
from ssds.ship.channels import Attachment, Made
from ssds.ship.evidence import referrer
from ssds.ship.plug import Attached, Backend
from ssds.ship.putting_back import put_back

SMALL_BYTES = 64 * 1024
"""Sending so little again costs no more than asking whether it is there."""

WORKERS = 4
"""So many blobs or releases are on their way to one channel at once; each holds 256 kB."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
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


class Work:
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

    def run(self, jobs: Sequence[Job]) -> None:
        """Brings all blobs, then release by release what names them."""
        if not jobs:
            return
        with ThreadPoolExecutor(max_workers=WORKERS, thread_name_prefix="push") as pool:
            plans = {}
            for job in jobs:
                with self._failing(job.released):
                    plans[job.released.id] = self._parts(job)
            blobs: dict[Digest, dict[str, tuple[Descriptor, list[Job]]]] = {}
            for job in jobs:
                for item, data in plans.get(job.released.id, ()):
                    if data is None:
                        place = blobs.setdefault(item.digest, {})
                        place.setdefault(job.name, (item, []))[1].append(job)
            self._all([pool.submit(self._bring, places) for places in blobs.values()], pool)
            left = [j for j in jobs if j.released.id in plans and j.released.id not in self.failed]
            self._all([pool.submit(self._finish, j, plans[j.released.id]) for j in left], pool)

    def put_back(self, name: str, tag: str, digest: Digest, released: Released) -> None:
        """Makes an immutable tag that somebody moved name again what it named."""
        with self._failing(released):
            self._check_stopping()
            self._say(f"{name}: {tag} names {digest.short} again")
            put_back(self._backend, name, tag, digest)

    def _all(self, futures: Sequence[Future[None]], pool: ThreadPoolExecutor) -> None:
        try:
            for future in futures:
                future.result()
        except BaseException:
            self._stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise

    @contextlib.contextmanager
    def _failing(self, *releases: Released) -> Iterator[None]:
        """A block whose error is that of these releases, and of no others."""
        try:
            yield
        except SsdsError as error:
            self.fail([released.id for released in releases], error)

    def fail(self, releases: Iterable[ReleaseName], error: SsdsError) -> None:
        """Notes why releases are left out."""
        with self._guard:
            for release in releases:
                self.failed.setdefault(release, error)

    def _parts(self, job: Job) -> list[tuple[Descriptor, bytes | None]]:
        found: dict[Digest, tuple[Descriptor, bytes | None]] = {}
        for root in job.roots:
            for item, data in parts_of(self._source, root):
                found.setdefault(item.digest, (item, data))
        return list(found.values())

    def _bring(self, places: Mapping[str, tuple[Descriptor, list[Job]]]) -> None:
        """Brings one blob to every repository that needs it; the later ones mount it."""
        there = ""
        for name, (item, jobs) in places.items():
            with self._failing(*(job.released for job in jobs)):
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

    def _finish(self, job: Job, parts: Sequence[tuple[Descriptor, bytes | None]]) -> None:
        """Brings manifests, attachments and tags; the blobs are there."""
        with self._failing(job.released):
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
                found = [(one, self._made(one)) for one in job.attachments]
                for one, made in found:
                    if made.cosign is not None:  # first: the referrer says both
                        self._check_stopping()
                        self._backend.attach_signature(job.name, one.subject, made.cosign)
                        write_point("sync.signed")
                for documents in _by_subject(found):
                    self._check_stopping()
                    self._backend.attach(job.name, documents)
                    write_point("sync.attached")
                if job.tags:
                    self._check_stopping()
                    self._say(f"{job.name}: {' '.join(job.tags)}")
                    named = {item.digest: data for item, data in parts if data is not None}
                    self._backend.tag(job.name, job.tags, named)
                    write_point("sync.tagged")

    def _made(self, item: Attachment) -> Made:
        return item.make() if item.make else Made(content=self._source.blobs.read(item.digest))

    def _check_stopping(self) -> None:
        if self._stopping.is_set():
            raise UnavailableError("stopped", hint="Run it again; what was sent is there.")


def _by_subject(items: Iterable[tuple[Attachment, Made]]) -> list[list[Attached]]:
    """Returns what is attached anew, by subject."""
    found: dict[Digest, list[Attached]] = {}
    for item, made in items:
        manifest, content = referrer(item, made.content)
        attached = Attached(item=item, manifest=manifest, content=content)
        found.setdefault(item.subject, []).append(attached)
    return list(found.values())
