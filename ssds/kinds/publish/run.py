"""Runs a publish node: compresses the layers with the pinned compressor and writes the manifest.

A compressed layer is claimed by its diffID, so that a layer that several images share is
compressed once (C18).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, cast

from ssds.core.canonical import action_key, canonical_bytes
from ssds.core.digest import Digest
from ssds.core.model import Claim
from ssds.kinds.api import Bench, Outcome
from ssds.oci import types
from ssds.oci.compress import check_compressor, compress


def run(bench: Bench) -> Outcome:
    """Outputs ``manifest`` and ``blob/<n>``, one compressed layer for each diffID."""
    check_compressor()
    blobs = bench.store.blobs
    config_digest = bench.action.inputs["config"]
    data = blobs.read(config_digest)
    config = types.parse_config(data)
    slice_ = cast(Mapping[str, Any], bench.action.node.slice)
    layers = []
    for number, diff_id in enumerate(config.diff_ids):
        bench.say(f"layer {number + 1}/{len(config.diff_ids)}")
        digest = _compressed(bench, diff_id, slice_["compressor"])
        layers.append(
            types.Descriptor(
                media_type=types.LAYER_GZIP, digest=digest, size_bytes=blobs.size(digest)
            )
        )
    manifest = types.manifest_bytes(
        config=types.Descriptor(
            media_type=types.CONFIG, digest=config_digest, size_bytes=len(data)
        ),
        layers=layers,
        annotations=slice_["annotations"],
    )
    outputs = {"manifest": blobs.put(manifest)}
    outputs.update({f"blob/{i}": layer.digest for i, layer in enumerate(layers)})
    return Outcome(outputs=outputs)


def _compressed(bench: Bench, diff_id: Digest, compressor: Mapping[str, str]) -> Digest:
    store = bench.store
    preimage = {
        "kind": "compress",
        "kind_version": 1,
        "compressor": dict(compressor),
        "diff_id": str(diff_id),
    }
    key = action_key(preimage)
    with store.lease(key):
        for claim in store.claims.find(key):
            if store.blobs.has(claim.outputs["blob"]):
                return claim.outputs["blob"]
        out = os.path.join(bench.folder, diff_id.hex)
        with open(out, "wb") as file:
            digest, _ = compress(store.blobs.path(diff_id), file, bench.stopping)
        store.blobs.adopt(out, digest)
        claim = Claim(key=key, kind="compress", outputs={"blob": digest}, builder="embedded")
        store.claims.add(claim, canonical_bytes(preimage))
        return digest
