"""The released image as its lock names it, with its bytes where the store can give them."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ssds.audit.model import Image
from ssds.core.digest import Digest
from ssds.host import local
from ssds.lock.model import ReleaseHalf
from ssds.oci import types
from ssds.oci.compress import decompress_stream
from ssds.oci.flatten import flatten
from ssds.store.ledger import AuditedFile
from ssds.store.store import Store

_SHOWN = 50
_LARGEST = 16 << 20


def digests(half: ReleaseHalf) -> Image:
    """Returns the image by its digests alone."""
    return Image(
        manifest=half.manifest.digest,
        config=half.config.digest,
        diff_ids=tuple(layer.diff_id for layer in half.layers),
    )


def missing(store: Store, half: ReleaseHalf) -> frozenset[Digest]:
    """Returns what must be brought before ``with_bytes`` gives bytes."""
    found = {
        layer.diff_id
        for layer in half.layers
        if not store.blobs.has(layer.diff_id) and not store.blobs.has(layer.digest)
    }
    if not store.blobs.has(half.config.digest):
        found.add(half.config.digest)
    return frozenset(found)


def with_bytes(store: Store, half: ReleaseHalf, folder: str) -> Image:
    """Returns the image with the bytes that the store has; without tars where a layer is missing.

    Args:
        folder: for layers that are only here compressed.
    """
    known = digests(half)
    config = store.blobs.read(known.config) if store.blobs.has(known.config) else b""
    tars: list[str] = []
    for layer in half.layers:
        if store.blobs.has(layer.diff_id):
            tars.append(str(store.blobs.path(layer.diff_id)))
        elif store.blobs.has(layer.digest):
            tars.append(_unpack(store, layer.digest, os.path.join(folder, layer.diff_id.hex)))
        else:
            tars = []
            break
    return Image(
        manifest=known.manifest,
        config=known.config,
        diff_ids=known.diff_ids,
        tars=tuple(tars),
        config_bytes=config,
    )


def _unpack(store: Store, digest: Digest, path: str) -> str:
    if not os.path.exists(path):
        with store.blobs.open(digest) as file, open(path, "wb") as out:
            out.writelines(decompress_stream(file, types.LAYER_GZIP))
    return path


def rebuilt(store: Store, manifest: Digest) -> Image:
    """Returns an image that a store holds whole."""
    found = types.parse_manifest(store.blobs.read(manifest))
    data = store.blobs.read(found.config.digest)
    diff_ids = tuple(types.parse_config(data).diff_ids)
    return Image(
        manifest=manifest,
        config=found.config.digest,
        diff_ids=diff_ids,
        tars=tuple(str(store.blobs.path(d)) for d in diff_ids),
        config_bytes=data,
    )


def lay_out(image: Image, files: Iterable[AuditedFile], folder: str) -> None:
    """Writes the differing files of an image below ``folder``, for a tool that shows them."""
    local.make_folder(folder)
    tree = flatten(image.tars)
    for file in list(files)[:_SHOWN]:
        entry = tree.get(file.path)
        if entry is None or entry.type != "file" or entry.size_bytes > _LARGEST:
            continue
        target = os.path.join(folder, file.path)
        local.make_folder(os.path.dirname(target))
        with tree.open_entry(entry) as content:
            local.write(target, content.read())
