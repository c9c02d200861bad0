"""How registries and layouts hold SIF files: as OCI artefacts of Apptainer's media types.

Source: OCI image specification 1.1, "Guidelines for Artifact Usage"; the media types are those of
``apptainer push oras://``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ssds.core.digest import Digest
from ssds.core.platform import Platform
from ssds.oci.types import (
    EMPTY_BYTES,
    INDEX,
    MANIFEST,
    Descriptor,
    descriptor_of,
    index_bytes,
    manifest_bytes,
)

SIF_CONFIG = "application/vnd.sylabs.sif.config.v1+json"
SIF_LAYER = "application/vnd.sylabs.sif.layer.v1.sif"
CONFIG_BYTES = EMPTY_BYTES
_NAMED = "org.opencontainers.image."


def sif_manifest(file: Digest, size_bytes: int, annotations: Mapping[str, str]) -> bytes:
    """Returns the canonical manifest of one SIF file; ``annotations`` are those of its image."""
    parts = (annotations.get(_NAMED + part, "") for part in ("title", "version"))
    name = "_".join(filter(None, parts)) or "image"
    layer = Descriptor(
        media_type=SIF_LAYER,
        digest=file,
        size_bytes=size_bytes,
        annotations={_NAMED + "title": re.sub(r"[^A-Za-z0-9._-]", "_", name) + ".sif"},
    )
    config = descriptor_of(CONFIG_BYTES, SIF_CONFIG)
    return manifest_bytes(config=config, layers=[layer], annotations=annotations)


def sif_root(manifests: Mapping[Platform, tuple[Digest, int]]) -> tuple[Descriptor, bytes]:
    """Returns what a tag names: the only manifest, or an index of one for each platform.

    The second value is the index's bytes, or nothing. Old clients know no index: so a release for
    one platform has none.
    """
    found = [
        Descriptor(media_type=MANIFEST, digest=digest, size_bytes=size_bytes, platform=platform)
        for platform, (digest, size_bytes) in sorted(manifests.items())
    ]
    if len(found) == 1:
        return found[0], b""
    data = index_bytes(found)
    return descriptor_of(data, INDEX), data
