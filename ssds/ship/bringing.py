"""Takes bytes of releases back from channels (C2)."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from ssds.core.digest import Digest
from ssds.lock.model import LayerRecord, Released
from ssds.ship.channels import index_descriptor
from ssds.ship.sifs import root_of

if TYPE_CHECKING:
    from ssds.oci.copy import HasBlobs
    from ssds.ship.plug import Backend


def bring(
    backend: Backend,
    released: Released,
    wanted: AbstractSet[Digest],
    sink: HasBlobs,
    say: Callable[[str], None],
) -> None:
    """Brings the wanted bytes of a release from a channel into a store, each digest checked.

    Raises:
        UnavailableError: the channel does not have (any more) what was observed.
        IntegrityError: other bytes than the lock's.
    """
    index = index_descriptor(released)
    halves = {
        platform: half
        for platform, half in released.platforms.items()
        if wanted
        & {half.manifest.digest, half.config.digest}.union(
            *({layer.digest, layer.diff_id} for layer in half.layers)
        )
    }
    backend.fetch(released.id.name, index, sink, tuple(halves), say)
    files = [p for p, s in released.sifs.items() if wanted & {s.file.digest, s.manifest.digest}]
    if files:
        backend.fetch(released.id.name, root_of(released)[0], sink, files, say)
    for half in halves.values():
        for layer in half.layers:
            if layer.diff_id in wanted and not sink.blobs.has(layer.diff_id):
                say(f"unpacking {layer.digest.short}")
                _unpack(sink, layer)
    if released.metadata in wanted:
        data = backend.fetch_metadata(released.id.name, index)
        if data is not None:
            sink.blobs.put(data, released.metadata)


def _unpack(sink: HasBlobs, layer: LayerRecord) -> None:
    from ssds.oci import types
    from ssds.oci.compress import decompress_stream

    with (
        sink.blobs.open(layer.digest) as file,
        sink.blobs.writer(expected=layer.diff_id) as blob,
    ):
        for piece in decompress_stream(file, types.LAYER_GZIP):
            blob.write(piece)
