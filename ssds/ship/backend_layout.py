"""A channel that is an OCI image layout in a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ssds.core.digest import Digest
from ssds.oci import types
from ssds.oci.blobs import Blobs
from ssds.oci.copy import HasBlobs
from ssds.oci.layout import Layout, not_made_yet
from ssds.oci.names import fallback_tag
from ssds.oci.types import Descriptor
from ssds.ship.evidence import attached, attached_blob, listed_with, our_kind
from ssds.ship.plug import Attached, Seen
from ssds.ship.signatures import CosignLayer
from ssds.trust.simple import signature_tag, with_signature


class _Seen:
    """The tags of one name, as they were read."""

    def __init__(self, layout: Layout | None, tags: Mapping[str, Digest]) -> None:
        self._layout = layout
        self.tags = tags

    def attached(self, subject: Digest) -> Mapping[str, Digest]:
        """Returns kind → what of ours is attached to an index or a manifest."""
        layout = self._layout
        if layout is None:
            return {}
        entries = _entries(layout, self.tags.get(fallback_tag(subject)))
        return attached(entries, lambda e: layout.read(e.digest))

    def signed(self, subject: Digest) -> bool:
        """Whether something stands under cosign's tag of an index or a manifest."""
        return signature_tag(subject) in self.tags

    def has(self, digest: Digest, manifest: bool) -> bool:
        """Whether it is there; one folder serves all names."""
        del manifest
        return self._layout is not None and self._layout.blobs.has(digest)


def _entries(layout: Layout, listed: Digest | None) -> tuple[Descriptor, ...]:
    return types.parse_index(layout.read(listed)).manifests if listed else ()


class LayoutChannel:
    """A layout folder; ref names are ``name:tag``, referrers stand under ``name:sha256-<hex>``."""

    def __init__(self, path: str) -> None:
        """Takes the folder's path; it is made by the first push."""
        self.path = path

    def looker(self) -> Callable[[str], Seen]:
        """Returns what looks at a repository; the folder's tags are read once."""
        found: dict[str, dict[str, Digest]] = {}
        layout = None if not_made_yet(self.path) else Layout(self.path, create=False)
        for text, descriptor in layout.tags().items() if layout else ():
            name, _, tag = text.partition(":")
            found.setdefault(name, {})[tag] = descriptor.digest
        return lambda name: _Seen(layout, found.get(name, {}))

    def has(self, name: str, item: Descriptor, *, manifest: bool) -> bool:
        """Whether it is there with its size; one folder serves all names."""
        del name, manifest
        if not_made_yet(self.path):
            return False
        blobs = Layout(self.path).blobs
        return blobs.has(item.digest) and blobs.size(item.digest) == item.size_bytes

    def document(self, name: str, digest: Digest) -> bytes | None:
        """Returns the bytes of a manifest or an index."""
        del name
        layout = Layout(self.path, create=False)
        return layout.read(digest) if layout.blobs.has(digest) else None

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

    def attach(self, name: str, documents: Sequence[Attached]) -> None:
        """Makes each manifest the one of its kind at their one subject; those of others stay."""
        layout = Layout(self.path)
        layout.put_blob(types.EMPTY_BYTES)
        for made in documents:
            layout.put_blob(made.content)
            layout.put_blob(made.manifest)
        tag = f"{name}:{fallback_tag(documents[0].item.subject)}"
        known = layout.tags().get(tag)
        entries = _entries(layout, known.digest if known else None)
        listed = types.index_bytes(
            listed_with(entries, {made.item.kind: made.manifest for made in documents})
        )
        layout.put_blob(listed)
        layout.set_tags({tag: types.descriptor_of(listed, types.INDEX)})

    def attach_signature(self, name: str, subject: Digest, layer: CosignLayer) -> None:
        """Adds a signature under cosign's tag of the subject; those of others stay."""
        layout = Layout(self.path)
        tag = f"{name}:{signature_tag(subject)}"
        known = layout.tags().get(tag)
        old = layout.read(known.digest) if known else None
        manifest, blobs = with_signature(old, layer.payload, layer.signature)
        for data in (*blobs, manifest):
            layout.put_blob(data)
        layout.set_tags({tag: types.descriptor_of(manifest, types.MANIFEST)})

    def tag(
        self, name: str, tags: Mapping[str, Descriptor], documents: Mapping[Digest, bytes]
    ) -> None:
        """Sets tags, all at once."""
        del documents
        Layout(self.path).set_tags({f"{name}:{tag}": entry for tag, entry in tags.items()})

    def fetch_blob(self, name: str, digest: Digest, size_bytes: int, sink: HasBlobs) -> None:
        """Copies a blob to ``sink``."""
        del name
        blobs = Layout(self.path, create=False).blobs
        with sink.blobs.writer(expected=digest, size_bytes=size_bytes) as writer:
            for piece in blobs.chunks(digest):
                writer.write(piece)

    def fetch_metadata(self, name: str, index: Digest) -> bytes | None:
        """Returns the metadata blob that refers to the index, or None."""
        layout = Layout(self.path, create=False)
        known = layout.tags().get(f"{name}:{fallback_tag(index)}")
        for entry in _entries(layout, known.digest if known else None):
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
