"""A mirror of every pinned file by digest: a folder ``blobs/sha256``, filled and verified."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError, SsdsError
from ssds.core.pins import PinnedFile
from ssds.host.fetch import Fetcher, Sink
from ssds.host.local import remove_folder
from ssds.host.mirrors import Mirrors
from ssds.kinds.source.run import make_from_commit
from ssds.lock.artefacts import Artefact
from ssds.oci.blobs import Blobs
from ssds.store.fetch import THREADS, fetch_what_can_be_had
from ssds.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What a push did.

    Attributes:
        copied, there: files that were written, and that were there before.
        size_bytes: of those that were written.
        failed: why, for each that cannot be had any more.
    """

    copied: int
    there: int
    size_bytes: int
    failed: Mapping[Digest, SsdsError]


def push(
    artefacts: Iterable[Artefact],
    folder: str,
    store: Store,
    mirrors: Mirrors,
    say: Callable[[str], None],
) -> Pushed:
    """Writes each artefact to ``folder/blobs/sha256``; what the store lacks is fetched first."""
    target = Blobs(os.path.join(folder, "blobs"), name=f"the mirror {folder}")
    every = tuple(artefacts)
    wanted = [a for a in every if not target.has(a.file.digest)]
    plain = [_without_repository(a) for a in wanted]
    failed = fetch_what_can_be_had(store, plain, mirrors, say)
    for artefact in wanted:
        if artefact.git is not None and artefact.file.digest in failed:
            say(f"fetching commit {artefact.git.commit[:12]}")
            error = _made(artefact, store, mirrors)
            if error is None:
                del failed[artefact.file.digest]
            else:
                failed[artefact.file.digest] = error
    size = 0
    os.makedirs(target.folder, exist_ok=True)
    for digest in (a.file.digest for a in wanted if a.file.digest not in failed):
        try:
            with target.writer(expected=digest) as writer:
                for piece in store.blobs.chunks(digest):
                    writer.write(piece)
            size += writer.size_bytes
        except IntegrityError as error:  # the store's copy is damaged
            failed[digest] = error
    copied = len(wanted) - len(failed)
    return Pushed(copied=copied, there=len(every) - len(wanted), size_bytes=size, failed=failed)


def _without_repository(artefact: Artefact) -> PinnedFile:
    return replace(artefact.file, urls=()) if artefact.git is not None else artefact.file


def _made(artefact: Artefact, store: Store, mirrors: Mirrors) -> SsdsError | None:
    """Makes the archive of a commit again; returns why that failed, or None."""
    assert artefact.git is not None
    folder = store.new_folder()
    try:
        make_from_commit(store.blobs, artefact.file, artefact.git, mirrors, folder)
    except SsdsError as error:
        return error
    finally:
        remove_folder(folder)
    return None


def verify(
    artefacts: Iterable[Artefact], address: str, mirrors: Mirrors
) -> dict[Digest, SsdsError]:
    """Reads every artefact from a mirror; returns why for each that is not there as it should be.

    Args:
        address: of the mirror: a folder, or what a web server gives it.
    """
    only = replace(mirrors, blobs=(address,))
    every = tuple(artefacts)
    with (
        Fetcher(ca_bundle=mirrors.ca_bundle, proxy=mirrors.proxy) as fetcher,
        concurrent.futures.ThreadPoolExecutor(THREADS) as pool,
    ):
        told = pool.map(lambda a: _read(a, only, fetcher), every)
        return {a.file.digest: e for a, e in zip(every, told, strict=True) if e is not None}


def _read(artefact: Artefact, mirrors: Mirrors, fetcher: Fetcher) -> SsdsError | None:
    file = artefact.file
    try:
        fetcher.download(
            mirrors.blob(file.digest),
            lambda: contextlib.nullcontext(_Nothing()),
            digest=file.digest,
            size_bytes=file.size_bytes,
            local=True,
            name=file.name,
        )
    except SsdsError as error:
        return error
    return None


class _Nothing(Sink):
    def write(self, data: bytes, /) -> object:
        return len(data)
