"""A cache in one repository of an OCI registry.

Each segment has a tag ``claims-HEX-SIZE``, which names an image manifest: its config is the
segment, its layers are the blobs of its claims. So the list of tags is the list of segments, a
registry's own garbage collection keeps the blobs, and a registry that checks manifests (as the
specification lets it) takes no claim without its blobs.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping

from ssds.cache.place import Opener, OpenSink
from ssds.cache.segment import SegmentName
from ssds.core.digest import Digest
from ssds.oci.registry import Registry
from ssds.oci.types import MANIFEST, Descriptor, manifest_bytes

PREFIX = "claims-"
SEGMENT_TYPE = "application/vnd.ssds.cache.claims.v1+gzip"
BLOB_TYPE = "application/octet-stream"


class RegistryPlace:
    """A repository."""

    def __init__(self, registry: Registry, repository: str) -> None:
        self.registry, self.repository = registry, repository

    def prepare(self) -> None:
        """A repository needs no preparation."""

    def segments(self) -> tuple[SegmentName, ...]:
        """Returns the segments that tags name; one request per thousand tags."""
        tags = (t for t in self.registry.tags(self.repository) if t.startswith(PREFIX))
        names = (SegmentName.parse(tag.removeprefix(PREFIX)) for tag in tags)
        return tuple(sorted(name for name in names if name is not None))

    def segment(self, name: SegmentName) -> bytes:
        """Returns the bytes of a segment, checked; one request, for the tag says the digest."""
        sink = io.BytesIO()
        self.registry.fetch_blob(self.repository, name.digest, name.size_bytes, sink)
        return sink.getvalue()

    def has(self, digest: Digest) -> bool:
        """Whether the repository has a blob."""
        return self.registry.has_blob(self.repository, digest)

    def fetch(self, digest: Digest, size_bytes: int, open_sink: OpenSink) -> None:
        """Writes a blob to a sink."""
        with open_sink() as sink:
            self.registry.fetch_blob(self.repository, digest, size_bytes, sink)

    def put(self, digest: Digest, size_bytes: int, opener: Opener) -> bool:
        """Sends a blob; False where it was there."""
        return self.registry.push_blob(self.repository, digest, size_bytes, opener)

    def publish(self, name: SegmentName, data: bytes, blobs: Mapping[Digest, int]) -> None:
        """Sends the segment, then the manifest that lists it and holds the blobs."""
        opener = functools.partial(io.BytesIO, data)
        self.registry.push_blob(self.repository, name.digest, name.size_bytes, opener)
        config = Descriptor(media_type=SEGMENT_TYPE, digest=name.digest, size_bytes=name.size_bytes)
        layers = [
            Descriptor(media_type=BLOB_TYPE, digest=digest, size_bytes=size)
            for digest, size in sorted(blobs.items())
        ]
        manifest = manifest_bytes(config=config, layers=layers, artifact_type=SEGMENT_TYPE)
        self.registry.push_manifest(self.repository, f"{PREFIX}{name}", MANIFEST, manifest)

    def forget(self, name: SegmentName) -> None:
        """Deletes the manifest that lists a segment; a registry may forbid that."""
        found = self.registry.head_manifest(self.repository, f"{PREFIX}{name}")
        if found is not None:
            self.registry.delete_manifest(self.repository, found.digest)
