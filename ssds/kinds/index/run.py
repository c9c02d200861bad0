"""Runs an index node: writes the OCI image index over the platforms' manifests.

Source: OCI image specification 1.1, "Image Index".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ssds.core.platform import Platform
from ssds.kinds.api import Bench, Outcome
from ssds.oci import types


def run(bench: Bench) -> Outcome:
    """Outputs ``index``; manifests are in the order of their platforms' names."""
    entries = []
    for role, digest in sorted(bench.action.inputs.items()):
        platform = Platform(role.partition("/")[2])
        size = bench.sizes.get(digest)
        if size is None:
            size = bench.store.blobs.size(digest)
        entries.append(
            types.Descriptor(
                media_type=types.MANIFEST, digest=digest, size_bytes=size, platform=platform
            )
        )
    slice_ = cast(Mapping[str, Any], bench.action.node.slice)
    data = types.index_bytes(entries, annotations=slice_["annotations"])
    return Outcome(outputs={"index": bench.store.blobs.put(data)})
