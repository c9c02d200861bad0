"""SIF files on channels: tags beside those of the images, with ``-sif`` at the end.

``VERSION[-VARIANT]-rN-sif`` is written once, the others move as those of the images do. A tag names
the one manifest of a release for one platform, else an index over those of all platforms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ssds.core.digest import Digest
from ssds.lock.model import Released
from ssds.recipe.model import Channel

if TYPE_CHECKING:
    from ssds.oci.copy import HasBlobs
    from ssds.oci.types import Descriptor

SUFFIX = "-sif"


def with_sifs(channel: Channel, tags: Mapping[str, Released]) -> dict[str, tuple[Released, Digest]]:
    """Returns tag → release and digest: the tags of images, then those of their SIF files.

    A release whose SIF files are not there for all of its platforms has none of the latter.
    """
    found = {tag: (released, released.index.digest) for tag, released in tags.items()}
    if channel.sif:
        for tag, released in tags.items():
            if released.sifs:
                found[tag + SUFFIX] = (released, root_of(released)[0].digest)
    return found


def root_of(released: Released) -> tuple[Descriptor, bytes]:
    """Returns what the SIF tags of a release name, and its bytes where the store may lack them."""
    from ssds.sif.artefact import sif_root

    manifests = {p: (s.manifest.digest, s.manifest.size_bytes) for p, s in released.sifs.items()}
    return sif_root(manifests)


def offered_sifs(released: Released, there: Digest | None) -> frozenset[Digest]:
    """Returns the digests whose bytes a channel has whose immutable SIF tag is ``there``."""
    if there is None or not released.sifs or root_of(released)[0].digest != there:
        return frozenset()
    sifs = released.sifs.values()
    return frozenset(digest for s in sifs for digest in (s.file.digest, s.manifest.digest))


def lay_out(released: Released, source: HasBlobs) -> Descriptor:
    """Returns what the SIF tags name, once ``source`` has all of it that follows from the lock."""
    from ssds.sif.artefact import CONFIG_BYTES

    root, data = root_of(released)
    for document in (CONFIG_BYTES, data):
        if document:
            source.blobs.put(document)
    return root
