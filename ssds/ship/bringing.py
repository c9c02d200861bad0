"""Takes bytes of releases back from channels (C2): documents first, then each blob once.

Several are on their way at once, each as a stream; an error is that of the releases that need
what could not be had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from ssds.core.digest import Digest
from ssds.core.errors import SsdsError, UnavailableError
from ssds.core.model import ReleaseName
from ssds.core.records import dataclass
from ssds.lock.model import LayerRecord, Released, ReleaseHalf
from ssds.ship.sifs import lay_out

if TYPE_CHECKING:
    from ssds.oci.copy import HasBlobs
    from ssds.ship.plug import Backend

WORKERS = 4
"""So many blobs are on their way from one channel at once; each holds one piece in memory."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Needed:
    """What of a release is brought, as its lock names it.

    Attributes:
        documents: manifests and the index; blobs: digest → size in bytes.
    """

    released: Released
    wanted: AbstractSet[Digest]
    halves: Sequence[ReleaseHalf]
    documents: Sequence[Digest]
    blobs: dict[Digest, int]
    as_file: bool


def bring(
    backend: Backend,
    released: Released,
    wanted: AbstractSet[Digest],
    sink: HasBlobs,
    say: Say,
) -> None:
    """Brings the wanted bytes of one release, as ``bring_all`` does; raises its error."""
    for error in bring_all(backend, [(released, wanted)], sink, say).values():
        raise error


def bring_all(
    backend: Backend,
    wanted: Iterable[tuple[Released, AbstractSet[Digest]]],
    sink: HasBlobs,
    say: Say,
) -> dict[ReleaseName, SsdsError]:
    """Brings the wanted bytes of releases from a channel into a store, each digest checked.

    Returns the releases of which something could not be had: UnavailableError where the channel
    does not have (any more) what was observed, IntegrityError for other bytes than the lock's.
    """
    needed = {released.id: _needed(released, digests) for released, digests in wanted}
    failed: dict[ReleaseName, SsdsError] = {}

    def blob(item: tuple[Digest, tuple[str, int, list[ReleaseName]]]) -> None:
        digest, (name, size, whose) = item
        if all(one in failed for one in whose):
            return
        try:
            say(f"{digest.short} ({size} bytes)")
            backend.fetch_blob(name, digest, size, sink)
        except SsdsError as error:
            failed.update((one, error) for one in whose if one not in failed)

    def each(work: Callable[[Backend, _Needed, HasBlobs, Say], None]) -> None:
        def guarded(one: _Needed) -> None:
            try:
                work(backend, one, sink, say)
            except SsdsError as error:
                failed[one.released.id] = error

        list(pool.map(guarded, [one for name, one in needed.items() if name not in failed]))

    with ThreadPoolExecutor(max_workers=WORKERS, thread_name_prefix="bring") as pool:
        each(_documents)
        there = [one for name, one in needed.items() if name not in failed]
        list(pool.map(blob, _places(there, sink).items()))
        each(_finish)
    return failed


def _places(
    needed: Iterable[_Needed], sink: HasBlobs
) -> dict[Digest, tuple[str, int, list[ReleaseName]]]:
    """Returns each blob that is missing: a repository that has it, its size, who needs it."""
    found: dict[Digest, tuple[str, int, list[ReleaseName]]] = {}
    for one in needed:
        name = one.released.id
        for digest, size in one.blobs.items():
            if not sink.blobs.has(digest):
                found.setdefault(digest, (name.name, size, []))[2].append(name)
    return found


def _needed(released: Released, wanted: AbstractSet[Digest]) -> _Needed:
    halves = [
        half
        for half in released.platforms.values()
        if wanted
        & {half.manifest.digest, half.config.digest}.union(
            *({layer.digest, layer.diff_id} for layer in half.layers)
        )
    ]
    sifs = [s for s in released.sifs.values() if wanted & {s.file.digest, s.manifest.digest}]
    manifests = [half.manifest.digest for half in halves]
    manifests += [sif.manifest.digest for sif in sifs]
    blobs = {half.config.digest: half.config.size_bytes for half in halves}
    blobs |= {layer.digest: layer.size_bytes for half in halves for layer in half.layers}
    blobs |= {sif.file.digest: sif.file.size_bytes for sif in sifs}
    if released.dataset is not None:
        blobs |= {b.digest: b.size_bytes for b in released.dataset.blobs if b.digest in wanted}
    return _Needed(
        released=released,
        wanted=wanted,
        halves=halves,
        documents=[] if released.dataset else [*manifests, released.index.digest],
        blobs=blobs,
        as_file=bool(sifs),
    )


def _documents(backend: Backend, needed: _Needed, sink: HasBlobs, say: Say) -> None:
    del say
    name = needed.released.id.name
    for digest in needed.documents:
        if sink.blobs.has(digest):
            continue
        data = backend.document(name, digest)
        if data is None:
            raise UnavailableError(
                f"{digest}, which {needed.released.id} names, is not in the channel",
                hint="Bring it from another channel, or build it again: ssds apply --fetch "
                f"{needed.released.id}",
                code="D047",
            )
        sink.blobs.put(data, digest)


def _finish(backend: Backend, needed: _Needed, sink: HasBlobs, say: Say) -> None:
    """Makes what follows from the bytes that came, and brings the metadata."""
    released = needed.released
    if needed.as_file:
        lay_out(released, sink)
    for half in needed.halves:
        for layer in half.layers:
            if layer.diff_id in needed.wanted and not sink.blobs.has(layer.diff_id):
                say(f"unpacking {layer.digest.short}")
                _unpack(sink, layer)
    metadata = released.metadata
    if metadata is not None and metadata in needed.wanted and not sink.blobs.has(metadata):
        data = backend.fetch_metadata(released.id.name, released.index.digest)
        if data is not None:
            sink.blobs.put(data, metadata)


def _unpack(sink: HasBlobs, layer: LayerRecord) -> None:
    from ssds.oci import types
    from ssds.oci.compress import decompress_stream

    with (
        sink.blobs.open(layer.digest) as file,
        sink.blobs.writer(expected=layer.diff_id) as blob,
    ):
        for piece in decompress_stream(file, types.LAYER_GZIP):
            blob.write(piece)
