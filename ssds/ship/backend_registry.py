"""A channel that is a registry: repositories ``<prefix>/<name>``."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO

from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import IntegrityError
from ssds.oci import types
from ssds.oci.answers import RegistryError
from ssds.oci.blobs import Blobs
from ssds.oci.copy import HasBlobs, Repository
from ssds.oci.registry import Registry
from ssds.oci.types import Descriptor
from ssds.ship.channels import Attachment
from ssds.ship.evidence import attached, attached_blob, our_kind
from ssds.ship.observation import OBSERVATION_LIMIT_BYTES
from ssds.ship.plug import Attached, Seen
from ssds.ship.signatures import CosignLayer
from ssds.trust.simple import signature_tag, with_signature

STATE_REPOSITORY = "ssds-state"
STATE_TAG = "state"
STATE_TYPE = "application/vnd.ssds.channel-state.v1+json"


class _Seen:
    """One repository; every question is a round trip."""

    def __init__(self, registry: Registry, repository: str) -> None:
        self._registry = registry
        self._repository = repository

    @functools.cached_property
    def _all_tags(self) -> frozenset[str]:
        return frozenset(self._registry.tags(self._repository))

    @functools.cached_property
    def tags(self) -> Mapping[str, Digest]:
        """Tag → what it names, lists of referrers less."""
        found = {}
        for tag in self._all_tags:
            if tag.startswith("sha256-"):
                continue
            there = self._registry.head_manifest(self._repository, tag)
            if there is not None:
                found[tag] = there.digest
        return found

    def attached(self, subject: Digest) -> Mapping[str, Digest]:
        """Returns kind → what of ours is attached to an index or a manifest."""
        return attached(
            self._registry.referrers(self._repository, subject),
            lambda entry: self._registry.fetch_manifest(self._repository, entry.digest)[1],
        )

    def signed(self, subject: Digest) -> bool:
        """Whether something stands under cosign's tag of an index or a manifest."""
        return signature_tag(subject) in self._all_tags

    def has(self, digest: Digest, manifest: bool) -> bool:
        """Whether it is there."""
        if manifest:
            return self._registry.head_manifest(self._repository, digest) is not None
        return self._registry.has_blob(self._repository, digest)


class RegistryChannel:
    """Repositories ``<prefix>/<name>`` of a registry."""

    def __init__(self, registry: Registry, prefix: str) -> None:
        """Takes the client and the repositories' common prefix."""
        self.registry = registry
        self.prefix = prefix
        self._with_empty: set[str] = set()  # repositories that have the empty config

    def _repository(self, name: str) -> str:
        return f"{self.prefix}/{name}"

    def looker(self) -> Callable[[str], Seen]:
        """Returns what asks a repository."""
        return lambda name: _Seen(self.registry, self._repository(name))

    def has(self, name: str, item: Descriptor, *, manifest: bool) -> bool:
        """Whether the registry says that it has it, with its size."""
        repository = self._repository(name)
        if manifest:
            return self.registry.head_manifest(repository, item.digest) is not None
        return self.registry.blob_size(repository, item.digest) in (item.size_bytes, -1)

    def document(self, name: str, digest: Digest) -> bytes | None:
        """Returns the bytes of a manifest or an index."""
        try:
            return self.registry.fetch_manifest(self._repository(name), digest)[1]
        except RegistryError as error:
            if error.status == 404:
                return None
            raise

    def put_blob(self, name: str, item: Descriptor, blobs: Blobs, elsewhere: str) -> bool:
        """Sends a blob as a stream, or mounts it."""
        sent = False

        def opener() -> IO[bytes]:
            nonlocal sent
            sent = True
            return blobs.open(item.digest)

        self.registry.push_blob(
            self._repository(name),
            item.digest,
            item.size_bytes,
            opener,
            mount_from=self._repository(elsewhere) if elsewhere else "",
            missing=True,
        )
        return sent

    def put_manifest(self, name: str, item: Descriptor, data: bytes) -> None:
        """Sends a manifest or an index, and reads it back."""
        repository = self._repository(name)
        self.registry.push_manifest(repository, item.digest, item.media_type, data)
        if self.registry.fetch_manifest(repository, item.digest)[1] != data:
            raise IntegrityError(
                f"{item.digest} is not what was sent when it is read back",
                hint="The registry, or something before it, changes bytes; do not use it.",
                code="O114",
            )

    def attach(self, name: str, documents: Sequence[Attached]) -> None:
        """Makes each manifest the one of its kind at their one subject; those of others stay."""
        repository = self._repository(name)
        for made in documents:
            blob = types.parse_manifest(made.manifest).layers[0]
            opener = functools.partial(io.BytesIO, made.content)
            self.registry.push_blob(repository, blob.digest, blob.size_bytes, opener, missing=True)
        self._put_empty(repository)
        items = {made.item.kind: made.item for made in documents}
        new = {types.descriptor_of(made.manifest, types.MANIFEST).digest for made in documents}
        known = self.registry.referrers(repository, documents[0].item.subject)
        old = {e.digest: our_kind(e) for e in known if our_kind(e) in items}
        old = {digest: kind for digest, kind in old.items() if digest not in new}
        self.registry.push_referrers(
            repository, [made.manifest for made in documents], replaces=old, known=known
        )
        for digest, kind in old.items():
            if self._is_our_referrer(repository, digest, items[kind]):
                self._delete_if_allowed(repository, digest)

    def _is_our_referrer(self, repository: str, digest: Digest, item: Attachment) -> bool:
        """Whether a manifest itself says so: a list's annotations may name any other one."""
        try:
            found = types.parse_manifest(self.registry.fetch_manifest(repository, digest)[1])
        except (IntegrityError, RegistryError):
            return False
        at_subject = found.subject is not None and found.subject.digest == item.subject
        return at_subject and our_kind(found) == item.kind

    def _delete_if_allowed(self, repository: str, digest: Digest) -> None:
        try:
            self.registry.delete_manifest(repository, digest)
        except RegistryError as error:
            if error.status not in (403, 405):
                raise  # many registries allow no removal; what is left there does no harm

    def _put_empty(self, repository: str) -> None:
        """Brings the empty config, once; from a repository that has it, where there is one."""
        if repository not in self._with_empty:
            empty = types.descriptor_of(types.EMPTY_BYTES, types.EMPTY)
            opener = functools.partial(io.BytesIO, types.EMPTY_BYTES)
            there = next(iter(self._with_empty), "")
            self.registry.push_blob(
                repository, empty.digest, empty.size_bytes, opener, mount_from=there, missing=True
            )
            self._with_empty.add(repository)

    def attach_signature(self, name: str, subject: Digest, layer: CosignLayer) -> None:
        """Adds a signature under cosign's tag of the subject; those of others stay."""
        repository = self._repository(name)
        tag = signature_tag(subject)
        try:
            old = self.registry.fetch_manifest(repository, tag)[1]
        except RegistryError as error:
            if error.status != 404:
                raise
            old = None
        manifest, blobs = with_signature(old, layer.payload, layer.signature)
        for data in blobs:
            opener = functools.partial(io.BytesIO, data)
            self.registry.push_blob(repository, sha256_of(data), len(data), opener, missing=True)
        self.registry.push_manifest(repository, tag, types.MANIFEST, manifest)

    def tag(
        self, name: str, tags: Mapping[str, Descriptor], documents: Mapping[Digest, bytes]
    ) -> None:
        """Sets tags, in the order given: immutable ones come first."""
        repository = Repository(self.registry, self._repository(name))
        for tag, entry in tags.items():
            repository.set_tag(tag, entry, documents[entry.digest])

    def fetch_blob(self, name: str, digest: Digest, size_bytes: int, sink: HasBlobs) -> None:
        """Brings a blob to ``sink`` as a stream."""
        with sink.blobs.writer(expected=digest, size_bytes=size_bytes) as writer:
            self.registry.fetch_blob(self._repository(name), digest, size_bytes, writer)

    def fetch_metadata(self, name: str, index: Digest) -> bytes | None:
        """Returns the metadata blob that refers to the index, or None."""
        repository = self._repository(name)
        return self._first_blob(repository, self.registry.referrers(repository, index))

    def _first_blob(self, repository: str, entries: Iterable[Descriptor]) -> bytes | None:
        for entry in entries:
            if our_kind(entry) != "metadata":
                continue
            manifest = self.registry.fetch_manifest(repository, entry.digest)[1]
            if attached_blob(manifest) is not None:
                return self._blob(repository, types.parse_manifest(manifest).layers[0])
        return None

    def _blob(self, repository: str, item: Descriptor) -> bytes:
        sink = io.BytesIO()
        self.registry.fetch_blob(repository, item.digest, item.size_bytes, sink)
        return sink.getvalue()

    def read_state(self) -> bytes | None:
        """Returns the document in which ssds noted what it wrote: two round trips."""
        repository = self._repository(STATE_REPOSITORY)
        try:
            manifest = self.registry.fetch_manifest(repository, STATE_TAG)[1]
        except RegistryError as error:
            if error.status == 404:
                return None
            raise
        try:
            found = types.parse_manifest(manifest)
        except IntegrityError:
            return None
        if found.artifact_type != STATE_TYPE or len(found.layers) != 1:
            return None
        if found.layers[0].size_bytes > OBSERVATION_LIMIT_BYTES:
            return None
        return self._blob(repository, found.layers[0])

    def write_state(self, data: bytes) -> None:
        """Keeps that document under one tag; the one before is removed where that is allowed."""
        repository = self._repository(STATE_REPOSITORY)
        before = self.registry.head_manifest(repository, STATE_TAG)
        blob = types.descriptor_of(data, STATE_TYPE)
        config = types.descriptor_of(types.EMPTY_BYTES, types.EMPTY)
        opener = functools.partial(io.BytesIO, data)
        self.registry.push_blob(repository, blob.digest, blob.size_bytes, opener)
        self._put_empty(repository)
        manifest = types.manifest_bytes(config=config, layers=[blob], artifact_type=STATE_TYPE)
        kept = self.registry.push_manifest(repository, STATE_TAG, types.MANIFEST, manifest)
        if before is not None and before.digest != kept:
            with contextlib.suppress(RegistryError):  # the old document does no harm
                self.registry.delete_manifest(repository, before.digest)
