"""A channel that is an object store: bytes by digest, names beside them, SIF files to download.

Below the location: ``sha256/<cc>/<hex>`` is every blob and manifest; ``<name>/index.json`` is the
OCI index whose entries are the tags of that name, replaced in one step; a SIF file stands under
``<name>/<version>/<name>_<version>-rN.<platform>.sif`` too, a name that stays; ``ssds-state.json``
is what ssds wrote.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING

from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import IntegrityError, UnavailableError
from ssds.core.patterns import pattern
from ssds.core.platform import Platform
from ssds.objects.plug import ObjectStore, check, digest_at, put_checked
from ssds.oci import types
from ssds.oci.blobs import READ_LIMIT_BYTES, Blobs
from ssds.oci.copy import HasBlobs
from ssds.oci.document import DOCUMENT_LIMIT_BYTES
from ssds.oci.names import fallback_tag
from ssds.oci.types import Descriptor
from ssds.ship.evidence import attached, attached_blob, listed_with, our_kind
from ssds.ship.object_tags import limited_bytes, read_tags, set_tags
from ssds.ship.observation import OBSERVATION_LIMIT_BYTES
from ssds.ship.plug import Attached, Seen
from ssds.ship.sifs import SUFFIX
from ssds.ship.signatures import CosignLayer
from ssds.trust.simple import signature_tag, with_signature

if TYPE_CHECKING:
    from typing_extensions import Buffer

STATE = "ssds-state.json"
_SIF_TAG = pattern(rf"((.+)-r[1-9][0-9]*){SUFFIX}")


def blob_key(digest: Digest) -> str:
    """Returns the key of a blob: ``sha256/<cc>/<hex>``."""
    return f"sha256/{digest.hex[:2]}/{digest.hex}"


def sif_key(name: str, version: str, full_tag: str, platform: Platform | None) -> str:
    """Returns the readable key of a SIF file."""
    where = str(platform or "any").replace("/", "-")
    return f"{name}/{version}/{name}_{full_tag}.{where}.sif"


class _StoreBlobs(Blobs):
    """The blobs of an object store, as the source of a copy."""

    def __init__(self, store: ObjectStore) -> None:
        super().__init__("", name=f"the object store {store.host}")
        self._store = store

    def has(self, digest: Digest) -> bool:
        """Whether it is there."""
        return self._store.size(blob_key(digest)) is not None

    def size(self, digest: Digest) -> int:
        """Returns the size in bytes; raises UnavailableError where it is not there."""
        found = self._store.size(blob_key(digest))
        if found is None:
            raise self._absent(digest)
        return found

    def read(self, digest: Digest, limit_bytes: int = READ_LIMIT_BYTES) -> bytes:
        """Returns the bytes; raises IntegrityError (O207) where they are damaged."""
        data = _read(self._store, blob_key(digest), limit_bytes)
        if data is None:
            raise self._absent(digest)
        if sha256_of(data) != digest:
            raise IntegrityError(
                f"the blob {digest} in {self.name} is damaged",
                hint="`ssds sync --refresh` from a store that has it; remove the object first.",
                code="O207",
            )
        return data

    def chunks(self, digest: Digest) -> Iterator[bytes]:
        """Gives the bytes piece by piece; who writes them checks them."""
        found = self._store.read(blob_key(digest))
        if found is None:
            raise self._absent(digest)
        yield from found

    def _absent(self, digest: Digest) -> UnavailableError:
        return UnavailableError(
            f"{self.name} does not have the blob {digest}",
            hint="Run `ssds sync --refresh` where its bytes are.",
            code="O050",
        )


class _Stream(io.RawIOBase):
    """Pieces as a file."""

    def __init__(self, found: Iterator[bytes]) -> None:
        super().__init__()
        self._found = found
        self._left = b""

    def readable(self) -> bool:
        """Whether it can be read: yes."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Fills the buffer; 0 at the end."""
        view = memoryview(buffer).cast("B")
        while not self._left:
            piece = next(self._found, None)
            if piece is None:
                return 0
            self._left = piece
        count = min(len(view), len(self._left))
        view[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


class _Seen:
    """The tags of one name, as they were read."""

    def __init__(self, blobs: Blobs, entries: Mapping[str, Descriptor]) -> None:
        self._blobs = blobs
        self._entries = entries
        self.tags = {tag: entry.digest for tag, entry in entries.items()}

    def attached(self, subject: Digest) -> Mapping[str, Digest]:
        """Returns kind → what of ours is attached to an index or a manifest."""
        listed = _listed(self._blobs, self._entries, subject)
        return attached(listed, functools.partial(_document, self._blobs))

    def signed(self, subject: Digest) -> bool:
        """Whether something stands under cosign's tag of an index or a manifest."""
        return signature_tag(subject) in self.tags

    def has(self, digest: Digest, manifest: bool) -> bool:
        """Whether it is there; all names share what is kept by digest."""
        del manifest
        return self._blobs.has(digest)


def _listed(
    blobs: Blobs, entries: Mapping[str, Descriptor], subject: Digest
) -> tuple[Descriptor, ...]:
    known = entries.get(fallback_tag(subject))
    return types.parse_index(_document(blobs, known)).manifests if known else ()


def _document(blobs: Blobs, entry: Descriptor) -> bytes:
    return blobs.read(entry.digest, DOCUMENT_LIMIT_BYTES)


class ObjectsChannel:
    """Releases in an object store."""

    def __init__(self, store: ObjectStore) -> None:
        """Takes the client."""
        self.store = store
        self._blobs = _StoreBlobs(store)

    def looker(self) -> Callable[[str], Seen]:
        """Returns what reads the index of a name: one round trip tells all of its tags."""
        return lambda name: _Seen(self._blobs, self._entries(name))

    def _entries(self, name: str) -> dict[str, Descriptor]:
        """Returns tag → what it names."""
        return read_tags(self.store, name)[0].tags

    def has(self, name: str, item: Descriptor, *, manifest: bool) -> bool:
        """Whether it is there with its size; all names share what is kept by digest."""
        del name, manifest
        return self.store.size(blob_key(item.digest)) == item.size_bytes

    def document(self, name: str, digest: Digest) -> bytes | None:
        """Returns the bytes of a manifest or an index."""
        del name
        found = self._blobs.has(digest)
        return self._blobs.read(digest, DOCUMENT_LIMIT_BYTES) if found else None

    def put_blob(self, name: str, item: Descriptor, blobs: Blobs, elsewhere: str) -> bool:
        """Sends a blob and reads it back."""
        del name, elsewhere
        opener = functools.partial(blobs.open, item.digest)
        put_checked(self.store, blob_key(item.digest), item.digest, item.size_bytes, opener)
        return True

    def put_manifest(self, name: str, item: Descriptor, data: bytes) -> None:
        """Sends a manifest or an index and reads it back."""
        del name, item
        self._put(data)

    def _put(self, data: bytes) -> None:
        digest = sha256_of(data)
        key = blob_key(digest)
        put_checked(self.store, key, digest, len(data), functools.partial(io.BytesIO, data))

    def attach(self, name: str, documents: Sequence[Attached]) -> None:
        """Makes each manifest the one of its kind at their one subject; those of others stay."""
        self._put(types.EMPTY_BYTES)
        for made in documents:
            self._put(made.content)
            self._put(made.manifest)
        subject = documents[0].item.subject
        known = _listed(self._blobs, self._entries(name), subject)
        listed = types.index_bytes(
            listed_with(known, {made.item.kind: made.manifest for made in documents})
        )
        self._put(listed)
        set_tags(
            self.store, name, {fallback_tag(subject): types.descriptor_of(listed, types.INDEX)}
        )

    def attach_signature(self, name: str, subject: Digest, layer: CosignLayer) -> None:
        """Adds a signature under cosign's tag of the subject; those of others stay."""
        tag = signature_tag(subject)
        known = self._entries(name).get(tag)
        old = self.document(name, known.digest) if known else None
        manifest, blobs = with_signature(old, layer.payload, layer.signature)
        for data in (*blobs, manifest):
            self._put(data)
        set_tags(self.store, name, {tag: types.descriptor_of(manifest, types.MANIFEST)})

    def tag(
        self, name: str, tags: Mapping[str, Descriptor], documents: Mapping[Digest, bytes]
    ) -> None:
        """Sets tags, all at once; SIF files stand under their readable names before."""
        del documents
        for tag, entry in tags.items():
            found = _SIF_TAG.fullmatch(tag)
            if found:
                for platform, file in self._sif_files(entry):
                    self._name(sif_key(name, found[2], found[1], platform), file)
        set_tags(self.store, name, tags)

    def _sif_files(self, root: Descriptor) -> Iterator[tuple[Platform | None, Descriptor]]:
        entries = [root]
        if root.media_type == types.INDEX:
            entries = list(types.parse_index(_document(self._blobs, root)).manifests)
        for entry in entries:
            for layer in types.parse_manifest(_document(self._blobs, entry)).layers:
                yield entry.platform, layer

    def _name(self, key: str, file: Descriptor) -> None:
        """Gives a file its readable name, once: copied in the store, or sent through here."""
        if self.store.size(key) is not None:
            if digest_at(self.store, key) == (file.digest, file.size_bytes):
                return
            raise IntegrityError(
                f"{key} of {self.store.host} is there with other bytes than {file.digest}",
                hint="A release's file is written once and never replaced; find out who wrote it, "
                "then remove it or raise the revision.",
                code="O206",
            )
        if self.store.copy(blob_key(file.digest), key, file.size_bytes):
            check(self.store, key, file.digest, file.size_bytes)
            return

        def opener() -> IO[bytes]:
            return io.BufferedReader(_Stream(self._blobs.chunks(file.digest)), 1 << 18)

        put_checked(self.store, key, file.digest, file.size_bytes, opener)

    def fetch_blob(self, name: str, digest: Digest, size_bytes: int, sink: HasBlobs) -> None:
        """Brings a blob to ``sink`` as a stream."""
        del name
        with sink.blobs.writer(expected=digest, size_bytes=size_bytes) as writer:
            for piece in self._blobs.chunks(digest):
                writer.write(piece)

    def fetch_metadata(self, name: str, index: Digest) -> bytes | None:
        """Returns the metadata blob that refers to the index, or None."""
        for entry in _listed(self._blobs, self._entries(name), index):
            if our_kind(entry) == "metadata":
                blob = attached_blob(_document(self._blobs, entry))
                if blob is not None:
                    return self._blobs.read(blob)
        return None

    def read_state(self) -> bytes | None:
        """Returns the document in which ssds noted what it wrote: one round trip."""
        return _read(self.store, STATE, OBSERVATION_LIMIT_BYTES)

    def write_state(self, data: bytes) -> None:
        """Keeps that document."""
        opener = functools.partial(io.BytesIO, data)
        self.store.write(STATE, sha256_of(data), len(data), opener)


def _read(store: ObjectStore, key: str, limit_bytes: int) -> bytes | None:
    found = store.read(key)
    return None if found is None else limited_bytes(found, key, store.host, limit_bytes)
