"""Pinned files come into the store: from mirrors, indexes or upstream addresses (C19)."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from ssds.core.digest import Digest
from ssds.core.errors import InvalidValue, SsdsError, UnavailableError
from ssds.core.pins import PinnedFile
from ssds.host.fetch import Fetcher, Sink, all_failed
from ssds.host.mirrors import Mirrors, is_local, join, redacted
from ssds.host.simple_index import SimpleIndexes
from ssds.oci.blobs import Blobs, BlobWriter
from ssds.store.image_blobs import OCI, ImageBlobs, as_wrong

if TYPE_CHECKING:
    from ssds.store.store import Store

THREADS = 8
ARCHIVES = ("debian", "debian-security", "pypi", "conda")
_MIB = 1024 * 1024
_SAY_S = 2.0


def no_stop() -> bool:
    """Never asks to stop."""
    return False


def fetch_file(
    store: Store, pinned: PinnedFile, mirrors: Mirrors, say: Callable[[str], None]
) -> str:
    """Returns the path of the pinned bytes in the store; fetches them when they are not there."""
    return fetch_files(store, (pinned,), mirrors, say)[pinned.digest]


def fetch_files(
    store: Store,
    files: Iterable[PinnedFile],
    mirrors: Mirrors,
    say: Callable[[str], None],
    *,
    threads: int = THREADS,
    stopping: Callable[[], bool] = no_stop,
) -> dict[Digest, str]:
    """Returns digest → path in the store for every pinned file; fetches the missing ones.

    Raises:
        UnavailableError, IntegrityError: the first file that cannot be had; others that were
            fetched by then stay in the store.
    """
    wanted = {file.digest: file for file in files}
    missing = [file for digest, file in sorted(wanted.items()) if not store.blobs.has(digest)]
    if missing:
        _fetch(store, missing, mirrors, say, threads, stopping, None)
    return {digest: str(store.blobs.path(digest)) for digest in wanted}


def fetch_what_can_be_had(
    store: Store,
    files: Iterable[PinnedFile],
    mirrors: Mirrors,
    say: Callable[[str], None],
    *,
    stopping: Callable[[], bool] = no_stop,
) -> dict[Digest, SsdsError]:
    """Fetches what is missing; returns why for each file that cannot be had."""
    missing = [f for _, f in sorted({f.digest: f for f in files}.items()) if not _has(store, f)]
    failed: dict[Digest, SsdsError] = {}
    if missing:
        _fetch(store, missing, mirrors, say, THREADS, stopping, failed)
    return failed


def what_is_gone(
    store: Store, files: Iterable[PinnedFile], mirrors: Mirrors
) -> dict[Digest, SsdsError]:
    """Returns why for each file that is neither here nor at any address; fetches nothing."""
    missing = [f for _, f in sorted({f.digest: f for f in files}.items()) if not _has(store, f)]
    if not missing:
        return {}
    with (
        fetching(mirrors) as (fetcher, indexes),
        concurrent.futures.ThreadPoolExecutor(min(THREADS, len(missing))) as pool,
    ):
        told = pool.map(lambda f: _gone(f, mirrors, fetcher, indexes), missing)
        return {f.digest: why for f, why in zip(missing, told, strict=True) if why is not None}


def _has(store: Store, file: PinnedFile) -> bool:
    return store.blobs.has(file.digest)


@contextmanager
def fetching(
    mirrors: Mirrors, stopping: Callable[[], bool] = no_stop
) -> Iterator[tuple[Fetcher, SimpleIndexes]]:
    """Gives a fetcher with the mirrors' proxy and certificates, and the Python indexes over it."""
    with Fetcher(ca_bundle=mirrors.ca_bundle, proxy=mirrors.proxy, stopping=stopping) as fetcher:
        yield fetcher, SimpleIndexes(mirrors, fetcher)


def _fetch(
    store: Store,
    missing: list[PinnedFile],
    mirrors: Mirrors,
    say: Callable[[str], None],
    threads: int,
    stopping: Callable[[], bool],
    failed: dict[Digest, SsdsError] | None,
) -> None:
    ended = threading.Event()  # nothing goes on loading when the caller was interrupted
    with fetching(mirrors, lambda: stopping() or ended.is_set()) as (fetcher, indexes):
        jobs = _Jobs(store, mirrors, fetcher, indexes, ImageBlobs(mirrors), say, stopping)
        jobs.fetch(missing, threads, failed, ended)


@dataclass(frozen=True, slots=True)
class _Jobs:
    """Fetches several files at once."""

    store: Store
    mirrors: Mirrors
    fetcher: Fetcher
    indexes: SimpleIndexes
    images: ImageBlobs
    say: Callable[[str], None]
    stopping: Callable[[], bool]

    def fetch(
        self,
        missing: list[PinnedFile],
        threads: int,
        failed: dict[Digest, SsdsError] | None,
        ended: threading.Event,
    ) -> None:
        """Fetches; failures go to ``failed``, or the first one is raised where that is None."""
        total = sum(file.size_bytes for file in missing)
        size = f", {total / _MIB:.1f} MiB" if total else ""
        self.say(f"fetching {_files(len(missing))}{size}")
        pool = concurrent.futures.ThreadPoolExecutor(max(1, min(threads, len(missing))))
        try:
            count = _Count()
            left = {pool.submit(_fetch_one, self, file, count): file.digest for file in missing}
            said_at = time.monotonic()
            while left:
                done, _ = concurrent.futures.wait(
                    left, timeout=_SAY_S, return_when=concurrent.futures.FIRST_COMPLETED
                )
                for job in done:
                    digest, error = left.pop(job), job.exception()
                    if failed is None or not isinstance(error, SsdsError | None):
                        job.result()
                    elif error is not None:
                        failed[digest] = error
                if self.stopping():
                    raise UnavailableError("stopped while fetching", hint="Run it again to go on.")
                if left and time.monotonic() - said_at >= _SAY_S:
                    said_at = time.monotonic()
                    parts = f"{len(missing) - len(left)} of {_files(len(missing))}"
                    self.say(f"fetched {parts}, {count.text(total)}")
        finally:
            ended.set()
            pool.shutdown(wait=True, cancel_futures=True)


class _Count:
    """Counts the bytes that came, of all files together."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._guard = threading.Lock()

    def text(self, total: int) -> str:
        """Returns how many of ``total`` bytes came; a file that began again counts once more."""
        shown = min(self.size_bytes, total) if total else self.size_bytes
        return f"{shown / _MIB:.1f}" + (f" of {total / _MIB:.1f} MiB" if total else " MiB")

    @contextmanager
    def over(self, writer: AbstractContextManager[Sink]) -> Iterator[Sink]:
        """Gives a sink that passes bytes on to ``writer`` and counts them."""
        with writer as sink:
            yield _Counting(self, sink)

    def add(self, size_bytes: int) -> None:
        """Counts more bytes."""
        with self._guard:
            self.size_bytes += size_bytes


class _Counting:
    def __init__(self, count: _Count, sink: Sink) -> None:
        self._count, self._sink = count, sink

    def write(self, data: bytes, /) -> object:
        self._count.add(len(data))
        return self._sink.write(data)


def _files(count: int) -> str:
    return f"{count} file" + ("" if count == 1 else "s")


_Way = tuple[Callable[[], Sequence[str]], bool]


def _ways(pinned: PinnedFile, mirrors: Mirrors, indexes: SimpleIndexes) -> tuple[_Way, ...]:
    """Returns where a file may be, in order, and whether files of this machine count there."""
    chosen = [a for url in pinned.urls for a in mirrors.rewritten(url)[:-1]]
    return (
        (lambda: mirrors.blob(pinned.digest), True),
        (lambda: _archive_addresses(pinned, mirrors, indexes), True),
        (lambda: chosen, True),  # the settings' own addresses may be files of this machine
        (lambda: pinned.urls, False),
    )


def _fetch_one(jobs: _Jobs, pinned: PinnedFile, count: _Count) -> None:
    def open_sink() -> AbstractContextManager[Sink]:
        blobs = jobs.store.blobs
        writer = blobs.writer(expected=pinned.digest, size_bytes=pinned.size_bytes or None)
        return count.over(cast("AbstractContextManager[Sink]", writer))

    problems: list[SsdsError] = []
    for addresses, local in _ways(pinned, jobs.mirrors, jobs.indexes):
        try:
            urls = addresses()
            if urls:
                jobs.fetcher.download(
                    urls,
                    open_sink,
                    digest=pinned.digest,
                    size_bytes=pinned.size_bytes,
                    local=local,
                    name=pinned.name,
                )
                for wrong in (p for p in problems if p.code == "F044"):
                    jobs.say(f"warning: {wrong.message}")
                return None
        except SsdsError as error:
            if not isinstance(error, UnavailableError) and error.code not in ("F044", "E010"):
                raise
            problems.append(error)
    if pinned.archive == OCI:
        try:
            return jobs.images.fetch(pinned, open_sink())
        except SsdsError as error:
            problems.append(as_wrong(error))
    raise _joined(pinned, problems)


def _gone(
    pinned: PinnedFile, mirrors: Mirrors, fetcher: Fetcher, indexes: SimpleIndexes
) -> SsdsError | None:
    """Returns why no address has a file, or None."""
    problems: list[SsdsError] = []
    for addresses, local in _ways(pinned, mirrors, indexes):
        attempts = []
        try:
            for url in addresses():
                why = fetcher.absent(url, local=local)
                if not why:
                    return None
                attempts.append(f"{redacted(url)}: {why}")
        except SsdsError as error:
            problems.append(error)
        if attempts:
            problems.append(all_failed(pinned.name, attempts, wrong=False))
    if pinned.archive == OCI:
        why = ImageBlobs(mirrors).absent(pinned)
        if not why:
            return None
        problems.append(UnavailableError(f"{pinned.name} ({pinned.digest}): {why}", code="F053"))
    return _joined(pinned, problems)


def fetch_unpinned(
    blobs: Blobs, name: str, urls: Sequence[str], mirrors: Mirrors
) -> tuple[Digest, int]:
    """Takes what the first address that answers gives; returns its sha256 and size in bytes.

    For a source whose recipe states no checksum: its pin trusts this one download.

    Raises:
        UnavailableError: no address gave it.
    """
    chosen = [a for url in urls for a in mirrors.rewritten(url)[:-1]]
    taken: list[BlobWriter] = []

    @contextmanager
    def open_sink() -> Iterator[Sink]:
        with blobs.writer() as writer:
            taken.append(writer)
            yield writer

    problems: list[SsdsError] = []
    with fetching(mirrors) as (fetcher, _):
        for addresses, local in ((chosen, True), (urls, False)):
            if not addresses:
                continue
            try:
                fetcher.download(addresses, open_sink, digest=None, local=local, name=name)
                return taken[-1].digest, taken[-1].size_bytes
            except UnavailableError as error:
                problems.append(error)
    raise _all_of(problems)


def _joined(pinned: PinnedFile, problems: Sequence[SsdsError]) -> SsdsError:
    """Returns one error for all ways: other bytes weigh more than none; all places are named."""
    if not problems:
        return UnavailableError(
            f"{pinned.name} ({pinned.digest}) is in no archive and has no address",
            code="F055",
            hint="Give the source a url, or renew the pin: ssds lock.",
        )
    return _all_of(problems)


def _all_of(problems: Sequence[SsdsError]) -> SsdsError:
    wrong = [p for p in problems if p.code == "F044"]
    left = [p for p in problems if p.code != "F053"]
    main = (wrong or left or problems)[0]
    more = [line for p in problems if p is not main for line in _places(p)]
    text = "\n".join([main.message, *more])
    return type(main)(text, hint=main.hint, code=main.code)


def _places(problem: SsdsError) -> list[str]:
    """Returns the lines of a message that name places, or all of it."""
    head, *lines = problem.message.split("\n")
    return lines or [f"    {head}"]


def _archive_addresses(
    pinned: PinnedFile, mirrors: Mirrors, indexes: SimpleIndexes
) -> tuple[str, ...]:
    """Returns the addresses of a file of an archive; none for a file of no archive."""
    if not pinned.archive or pinned.archive == OCI:
        return ()
    if pinned.archive not in ARCHIVES:
        raise InvalidValue(f"{pinned.archive[:60]!r} is not an archive that ssds knows")
    if pinned.archive != "pypi":
        return tuple(join(root, pinned.path) for root in mirrors.archive(pinned.archive))
    project, slash, name = pinned.path.partition("/")
    if not slash or name != pinned.name:
        raise InvalidValue(f"{pinned.path[:120]!r} is not PROJECT/FILE of a Python index")
    files = [f for f in indexes.files(project) if f.name == name]
    exact = [f.url for f in files if f.digest == pinned.digest]
    unsaid = [f.url for f in files if f.digest is None]
    if not exact and not unsaid:
        gone = "has another sha256 there" if files else "is not there (any more)"
        raise UnavailableError(
            f"{name}: the configured Python indexes know {project!r}, but the file {gone}",
            code="F053",
            hint="Check mirrors.pypi in ssds.yaml, or renew the pin: ssds lock.",
        )
    return (*exact, *unsaid)


def where(store: Store, pinned: PinnedFile, mirrors: Mirrors) -> str:
    """Returns where the bytes could come from, without asking the network.

    One of ``store``, the archive's name, ``blobs``, ``url``, or the empty string where no way
    is known (C2).
    """
    if store.blobs.has(pinned.digest):
        return "store"
    known = {
        "debian": mirrors.debian,
        "debian-security": mirrors.debian_security,
        "conda": mirrors.conda,
    }
    if known.get(pinned.archive) or (pinned.archive == "pypi" and mirrors.pypi):
        return pinned.archive
    if mirrors.blobs:
        return "blobs"
    if pinned.archive == OCI:
        return OCI
    return "url" if any(not is_local(url) for url in pinned.urls) else ""
