"""Runs a sif node: writes the image as one file, and the manifest that registries hold it by."""

from __future__ import annotations

import os

from ssds.host import local
from ssds.kinds.api import Bench, Outcome
from ssds.oci import types
from ssds.sif.artefact import CONFIG_BYTES, sif_manifest
from ssds.sif.image import write_sif


def run(bench: Bench) -> Outcome:
    """Outputs ``sif`` and ``manifest``."""
    blobs = bench.store.blobs
    image = bench.action.inputs["manifest"]
    path, scratch = (os.path.join(bench.folder, name) for name in ("image.sif", "scratch"))
    local.make_folder(scratch)
    with open(path, "w+b") as file:
        written = write_sif(blobs, image, file, scratch, stopping=bench.stopping)
    for left in written.dropped:
        bench.log(f"left out: /{left}\n".encode("utf-8", "replace"))
    blobs.adopt(path, written.digest)
    blobs.put(CONFIG_BYTES)
    title = types.parse_manifest(blobs.read(image)).annotations
    manifest = sif_manifest(written.digest, written.size_bytes, title)
    return Outcome(outputs={"sif": written.digest, "manifest": blobs.put(manifest)})
