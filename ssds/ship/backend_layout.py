"""A channel that is an OCI image layout in a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ssds.core.digest import Digest
from ssds.core.platform import Platform
from ssds.core.records import replace
from ssds.lock.model import Released
from ssds.oci import types
from ssds.oci.blobs import Blobs
from ssds.oci.copy import HasBlobs, fetch_release
from ssds.oci.layout import Layout, not_made_yet
from ssds.oci.names import fallback_tag
from ssds.oci.types import Descriptor
from ssds.ship.channels import Attachment
from ssds.ship.evidence import attached, attached_blob, our_kind
from ssds.ship.observation import Observation, evidence_key
from ssds.ship.plug import lost_parts


class LayoutChannel:
    """A layout folder; ref names are ``name:tag``, referrers stand under ``name:sha256-<hex>``."""

    def __init__(self, path: str) -> None:
        """Takes the folder's path; it is made by the first push."""
        self.path = path

    def observe(self, wanted: Mapping[str, Sequence[Released]], *, deep: bool) -> Observation:
        """Returns the tags of these repositories, and what is attached to these releases."""
        if not_made_yet(self.path):
            return Observation(at=0)
        layout = Layout(self.path, create=False)
        tags = {
            text: descriptor.digest
            for text, descriptor in layout.tags().items()
            if text.partition(":")[0] in wanted
        }
        metadata: dict[Digest, Digest] = {}
        evidence: dict[str, Digest] = {}
        lost: dict[str, tuple[Digest, ...]] = {}
        for name, releases in wanted.items():
            for released in releases:
                full = f"{name}:{released.full_tag}"
                if tags.get(full) != released.index.digest:
                    continue
                for subject in (
                    released.index.digest,
                    *(half.manifest.digest for half in released.platforms.values()),
                ):
                    entries = self._entries(layout, tags.get(f"{name}:{fallback_tag(subject)}"))
                    for kind, digest in attached(entries, lambda e: layout.read(e.digest)).items():
                        if kind == "metadata":
                            metadata[subject] = digest
                        else:
                            evidence[evidence_key(subject, kind)] = digest
                if deep and (gone := lost_parts(released, lambda d, _: layout.blobs.has(d))):
                    lost[full] = gone
        return Observation(at=0, tags=tags, metadata=metadata, evidence=evidence, lost=lost)

    def _entries(self, layout: Layout, listed: Digest | None) -> tuple[Descriptor, ...]:
        return types.parse_index(layout.read(listed)).manifests if listed else ()

    def has(self, name: str, item: Descriptor, *, manifest: bool) -> bool:
        """Whether it is there with its size; one folder serves all names."""
        del name, manifest
        if not_made_yet(self.path):
            return False
        blobs = Layout(self.path).blobs
        return blobs.has(item.digest) and blobs.size(item.digest) == item.size_bytes

    def put_blob(self, name: str, item: Descriptor, blobs: Blobs, elsewhere: str) -> bool:
        """Copies a blob, checked on the way."""
        del name, elsewhere
        layout = Layout(self.path)
        with layout.blobs.writer(expected=item.digest, size_bytes=item.size_bytes) as writer:
            for chunk in blobs.chunks(item.digest):
                writer.write(chunk)
        return True

    def put_manifest(self, name: str, item: Descriptor, data: bytes) -> None:
        """Keeps a manifest or an index."""
        del name
        Layout(self.path).blobs.put(data, item.digest)

    def attach(self, name: str, item: Attachment, manifest: bytes, content: bytes) -> None:
        """Makes ``manifest`` the one of its kind at its subject."""
        layout = Layout(self.path)
        for data in (content, types.EMPTY_BYTES, manifest):
            layout.put_blob(data)
        tag = f"{name}:{fallback_tag(item.subject)}"
        known = layout.tags().get(tag)
        others = [
            entry
            for entry in self._entries(layout, known.digest if known else None)
            if our_kind(entry) != item.kind
        ]
        parsed = types.parse_manifest(manifest)
        entry = replace(
            types.descriptor_of(manifest, types.MANIFEST),
            artifact_type=parsed.artifact_type,
            annotations=parsed.annotations,
        )
        listed = types.index_bytes([*others, entry])
        layout.put_blob(listed)
        layout.set_tags({tag: types.descriptor_of(listed, types.INDEX)})

    def tag(
        self, name: str, tags: Mapping[str, Descriptor], documents: Mapping[Digest, bytes]
    ) -> None:
        """Sets tags, all at once."""
        del documents
        Layout(self.path).set_tags({f"{name}:{tag}": entry for tag, entry in tags.items()})

    def fetch(
        self,
        name: str,
        index: Descriptor,
        sink: HasBlobs,
        platforms: Sequence[Platform],
        say: Callable[[str], None],
    ) -> None:
        """Brings the index document, and the images of these platforms, to ``sink``."""
        del name
        fetch_release(Layout(self.path, create=False), index, sink, platforms, say)

    def fetch_metadata(self, name: str, index: Descriptor) -> bytes | None:
        """Returns the metadata blob that refers to the index, or None."""
        layout = Layout(self.path, create=False)
        known = layout.tags().get(f"{name}:{fallback_tag(index.digest)}")
        for entry in self._entries(layout, known.digest if known else None):
            if our_kind(entry) == "metadata":
                blob = attached_blob(layout.read(entry.digest))
                if blob is not None:
                    return layout.blobs.read(blob)
        return None

    def read_state(self) -> bytes | None:
        """Returns None: a folder is looked at each time."""
        return None

    def write_state(self, data: bytes) -> None:
        """Does nothing."""
