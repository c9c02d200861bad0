"""What ssds does in ``benchmarks/builders.py``, each as a command of its own.

``python builders_tasks.py export ROOT TAR | unpack LAYOUT FOLDER | sha256 LAYOUT | blake3 FILE |
raw FILE``: the functions that builds, deploys and keys use; ``raw`` is blake3's own library.
"""

from __future__ import annotations

import sys

EPOCH = 1_700_000_000


def export(root: str, out: str) -> object:
    """Writes a tree as a layer; its digest is made on the way."""
    from ssds.oci.layers import export_tree

    return export_tree(root, EPOCH, out).diff_id


def unpack(folder: str, target: str) -> object:
    """Unpacks an image as a deploy does."""
    from ssds.lock.model import LayerRecord, ReleaseHalf, SizedBlob
    from ssds.oci.layout import Layout
    from ssds.oci.types import parse_config, parse_manifest
    from ssds.ship.images import unpack_image

    layout = Layout(folder)
    blobs, entry = layout.blobs, layout.index().manifests[0]
    manifest = parse_manifest(blobs.read(entry.digest))
    ids = parse_config(blobs.read(manifest.config.digest)).diff_ids
    layers = tuple(
        LayerRecord(digest=layer.digest, size_bytes=layer.size_bytes, diff_id=diff_id)
        for layer, diff_id in zip(manifest.layers, ids, strict=True)
    )
    half = ReleaseHalf(
        actions={},
        manifest=SizedBlob(digest=entry.digest, size_bytes=entry.size_bytes),
        config=SizedBlob(digest=manifest.config.digest, size_bytes=manifest.config.size_bytes),
        layers=layers,
    )
    return unpack_image(target, half, blobs).folder


def sha256(folder: str) -> object:
    """Reads a layer, checked, as everything does that takes a blob from a store."""
    from ssds.oci.layout import Layout
    from ssds.oci.types import parse_manifest

    layout = Layout(folder)
    manifest = parse_manifest(layout.blobs.read(layout.index().manifests[0].digest))
    layer = manifest.layers[0]
    return layer.digest, sum(map(len, layout.blobs.chunks(layer.digest)))


def blake3(path: str) -> object:
    """Makes a key of a long pre-image."""
    from ssds.core.canonical import key_of_text

    with open(path, encoding="ascii") as file:
        return key_of_text("bench", file.read())


def raw(path: str) -> object:
    """The library alone."""
    import blake3 as library

    with open(path, "rb") as file:
        return library.blake3(file.read()).hexdigest()


print({f.__name__: f for f in (export, unpack, sha256, blake3, raw)}[sys.argv[1]](*sys.argv[2:]))
