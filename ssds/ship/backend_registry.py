"""A channel that is a registry: repositories ``<prefix>/<name>``."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO

from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError
from ssds.core.platform import Platform
from ssds.lock.model import Released
from ssds.oci import types
from ssds.oci.answers import RegistryError
from ssds.oci.blobs import Blobs
from ssds.oci.copy import HasBlobs, Repository, fetch_release
from ssds.oci.registry import Registry
from ssds.oci.types import Descriptor
from ssds.ship.channels import Attachment
from ssds.ship.evidence import attached, attached_blob, our_kind
from ssds.ship.observation import OBSERVATION_LIMIT_BYTES, Observation, evidence_key
from ssds.ship.plug import lost_parts

LOOKERS = 8
"""So many repositories are asked at once."""

STATE_REPOSITORY = "ssds-state"
STATE_TAG = "state"
STATE_TYPE = "application/vnd.ssds.channel-state.v1+json"


class RegistryChannel:
    """Repositories ``<prefix>/<name>`` of a registry."""

    def __init__(self, registry: Registry, prefix: str) -> None:
        """Takes the client and the repositories' common prefix."""
        self.registry = registry
        self.prefix = prefix
        self._with_empty: set[str] = set()  # repositories that have the empty config

    def _repository(self, name: str) -> str:
        return f"{self.prefix}/{name}"

    def observe(self, wanted: Mapping[str, Sequence[Released]], *, deep: bool) -> Observation:
        """Returns the tags of these repositories, and what is attached to these releases."""
        tags: dict[str, Digest] = {}
        metadata: dict[Digest, Digest] = {}
        evidence: dict[str, Digest] = {}
        lost: dict[str, tuple[Digest, ...]] = {}
        with ThreadPoolExecutor(max_workers=LOOKERS, thread_name_prefix="look") as pool:
            asked = [pool.submit(self._observe_one, n, r, deep) for n, r in wanted.items()]
            try:
                seen = [future.result() for future in asked]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        for found in seen:
            tags |= found.tags
            metadata |= found.metadata
            evidence |= found.evidence
            lost |= found.lost
        return Observation(at=0, tags=tags, metadata=metadata, evidence=evidence, lost=lost)

    def _observe_one(self, name: str, releases: Sequence[Released], deep: bool) -> Observation:
        repository = self._repository(name)
        tags: dict[str, Digest] = {}
        metadata: dict[Digest, Digest] = {}
        evidence: dict[str, Digest] = {}
        lost: dict[str, tuple[Digest, ...]] = {}
        for tag in self.registry.tags(repository):
            if tag.startswith("sha256-"):
                continue  # a list of referrers
            found = self.registry.head_manifest(repository, tag)
            if found is not None:
                tags[f"{name}:{tag}"] = found.digest
        asked: dict[tuple[Digest, bool], bool] = {}

        def has(digest: Digest, manifest: bool) -> bool:
            if (digest, manifest) not in asked:
                asked[digest, manifest] = (
                    self.registry.head_manifest(repository, digest) is not None
                    if manifest
                    else self.registry.has_blob(repository, digest)
                )
            return asked[digest, manifest]

        for released in releases:
            full = f"{name}:{released.full_tag}"
            if tags.get(full) != released.index.digest:
                continue
            halves = released.platforms
            for subject in (
                released.index.digest,
                *(h.manifest.digest for p, h in halves.items() if released.evidence.get(p)),
            ):
                for kind, digest in self._attached(repository, subject).items():
                    if kind == "metadata":
                        metadata[subject] = digest
                    else:
                        evidence[evidence_key(subject, kind)] = digest
            if deep and (gone := lost_parts(released, has)):
                lost[full] = gone
        return Observation(at=0, tags=tags, metadata=metadata, evidence=evidence, lost=lost)

    def _attached(self, repository: str, subject: Digest) -> dict[str, Digest]:
        return attached(
            self.registry.referrers(repository, subject),
            lambda entry: self.registry.fetch_manifest(repository, entry.digest)[1],
        )

    def has(self, name: str, item: Descriptor, *, manifest: bool) -> bool:
        """Whether the registry says that it has it, with its size."""
        repository = self._repository(name)
        if manifest:
            return self.registry.head_manifest(repository, item.digest) is not None
        return self.registry.blob_size(repository, item.digest) in (item.size_bytes, -1)

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

    def attach(self, name: str, item: Attachment, manifest: bytes, content: bytes) -> None:
        """Makes ``manifest`` the one of its kind at its subject; those of others stay."""
        repository = self._repository(name)
        blob = types.parse_manifest(manifest).layers[0]
        opener = functools.partial(io.BytesIO, content)
        self.registry.push_blob(repository, blob.digest, blob.size_bytes, opener, missing=True)
        self._put_empty(repository)
        new = types.descriptor_of(manifest, types.MANIFEST).digest
        known = self.registry.referrers(repository, item.subject)
        old = [e.digest for e in known if our_kind(e) == item.kind and e.digest != new]
        self.registry.push_referrer(repository, manifest, replaces=frozenset(old), known=known)
        for digest in old:
            if self._is_our_referrer(repository, digest, item):
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
        if repository not in self._with_empty:
            empty = types.descriptor_of(types.EMPTY_BYTES, types.EMPTY)
            opener = functools.partial(io.BytesIO, types.EMPTY_BYTES)
            self.registry.push_blob(repository, empty.digest, empty.size_bytes, opener)
            self._with_empty.add(repository)

    def tag(
        self, name: str, tags: Mapping[str, Descriptor], documents: Mapping[Digest, bytes]
    ) -> None:
        """Sets tags, in the order given: immutable ones come first."""
        repository = Repository(self.registry, self._repository(name))
        for tag, entry in tags.items():
            repository.set_tag(tag, entry, documents[entry.digest])

    def fetch(
        self,
        name: str,
        index: Descriptor,
        sink: HasBlobs,
        platforms: Sequence[Platform],
        say: Callable[[str], None],
    ) -> None:
        """Brings the index document, and the images of these platforms, to ``sink``."""
        source = Repository(self.registry, self._repository(name))
        fetch_release(source, index, sink, platforms, say)

    def fetch_metadata(self, name: str, index: Descriptor) -> bytes | None:
        """Returns the metadata blob that refers to the index, or None."""
        repository = self._repository(name)
        return self._first_blob(repository, self.registry.referrers(repository, index.digest))

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
