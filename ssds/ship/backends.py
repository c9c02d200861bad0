"""The two kinds of channels: an OCI layout folder and a registry."""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence

from ssds.core.digest import Digest
from ssds.core.errors import InvalidValue, Refused
from ssds.core.platform import Platform
from ssds.oci import types
from ssds.oci.copy import End, HasBlobs, Repository, copy_release, reader
from ssds.oci.layout import Layout
from ssds.oci.registry import Registry
from ssds.oci.types import Descriptor
from ssds.recipe.model import Channel
from ssds.ship.channels import (
    METADATA_TYPE,
    Backend,
    attached_blob,
    metadata_manifest,
    split_location,
)
from ssds.ship.observation import Observation


class LayoutChannel:
    """A layout folder; ref names are ``name:tag``, referrers stand under ``name:sha256-<hex>``."""

    def __init__(self, path: str) -> None:
        """Takes the folder's path; it is made by the first push."""
        self.path = path

    def observe(self, names: Iterable[str], indexes: Mapping[str, Sequence[Digest]]) -> Observation:
        """Returns the tags of these repositories, and the metadata of these indexes."""
        if not os.path.isdir(self.path) or not os.listdir(self.path):
            return Observation(at=0)
        layout = Layout(self.path, create=False)
        wanted = set(names)
        tags = {
            text: descriptor.digest
            for text, descriptor in layout.tags().items()
            if text.partition(":")[0] in wanted
        }
        metadata = {}
        for name, digests in indexes.items():
            for digest in digests:
                found = tags.get(f"{name}:{_referrers_tag(digest)}")
                for entry in types.parse_index(layout.read(found)).manifests if found else ():
                    blob = attached_blob(layout.read(entry.digest))
                    if blob is not None:
                        metadata[digest] = blob
        return Observation(at=0, tags=tags, metadata=metadata)

    def copy(
        self, name: str, index: Descriptor, source: HasBlobs, say: Callable[[str], None]
    ) -> None:
        """Brings an index with all it names."""
        del name  # one folder for all
        copy_release(source, Layout(self.path), index, say=say)

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
        _fetch(Layout(self.path, create=False), index, sink, platforms, say)

    def fetch_metadata(self, name: str, index: Descriptor) -> bytes | None:
        """Returns the metadata blob that refers to the index, or None."""
        layout = Layout(self.path, create=False)
        known = layout.tags().get(f"{name}:{_referrers_tag(index.digest)}")
        for entry in types.parse_index(layout.read(known.digest)).manifests if known else ():
            blob = attached_blob(layout.read(entry.digest))
            if blob is not None:
                return layout.blobs.read(blob)
        return None

    def tag(self, name: str, tags: Mapping[str, Descriptor]) -> None:
        """Sets tags, all at once."""
        Layout(self.path).set_tags({f"{name}:{tag}": entry for tag, entry in tags.items()})

    def attach(self, name: str, index: Descriptor, metadata: bytes) -> None:
        """Makes ``metadata`` the one metadata blob that refers to the index."""
        layout = Layout(self.path)
        layout.put_blob(metadata)
        layout.put_blob(types.EMPTY_BYTES)
        data = metadata_manifest(index, metadata)
        layout.put_blob(data)
        listed = types.index_bytes([*self._others(layout, name, index.digest), _as_referrer(data)])
        layout.put_blob(listed)
        entry = types.descriptor_of(listed, types.INDEX)
        layout.set_tags({f"{name}:{_referrers_tag(index.digest)}": entry})

    def _others(self, layout: Layout, name: str, digest: Digest) -> list[Descriptor]:
        """Returns the referrers that others have put into the list."""
        known = layout.tags().get(f"{name}:{_referrers_tag(digest)}")
        entries = types.parse_index(layout.read(known.digest)).manifests if known else ()
        return [entry for entry in entries if entry.artifact_type != METADATA_TYPE]


class RegistryChannel:
    """Repositories ``<prefix>/<name>`` of a registry."""

    def __init__(self, registry: Registry, prefix: str) -> None:
        """Takes the client and the repositories' common prefix."""
        self.registry = registry
        self.prefix = prefix

    def _repository(self, name: str) -> str:
        return f"{self.prefix}/{name}"

    def observe(self, names: Iterable[str], indexes: Mapping[str, Sequence[Digest]]) -> Observation:
        """Returns the tags of these repositories, and the metadata of these indexes."""
        tags: dict[str, Digest] = {}
        metadata: dict[Digest, Digest] = {}
        for name in names:
            repository = self._repository(name)
            for tag in self.registry.tags(repository):
                found = self.registry.head_manifest(repository, tag)
                if found is not None:
                    tags[f"{name}:{tag}"] = found.digest
            for digest in indexes.get(name, ()):
                if digest in tags.values():
                    blob = self._attached(repository, digest)
                    if blob is not None:
                        metadata[digest] = blob
        return Observation(at=0, tags=tags, metadata=metadata)

    def _attached(self, repository: str, digest: Digest) -> Digest | None:
        for entry in self._referrers(repository, digest):
            blob = attached_blob(self.registry.fetch_manifest(repository, entry.digest)[1])
            if blob is not None:
                return blob
        return None

    def _referrers(self, repository: str, digest: Digest) -> list[Descriptor]:
        """Returns our referrers; those of others are never touched."""
        found = self.registry.referrers(repository, digest)
        return [entry for entry in found if entry.artifact_type == METADATA_TYPE]

    def copy(
        self, name: str, index: Descriptor, source: HasBlobs, say: Callable[[str], None]
    ) -> None:
        """Brings an index with all it names."""
        copy_release(source, Repository(self.registry, self._repository(name)), index, say=say)

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
        _fetch(source, index, sink, platforms, say)

    def fetch_metadata(self, name: str, index: Descriptor) -> bytes | None:
        """Returns the metadata blob that refers to the index, or None."""
        repository = self._repository(name)
        for entry in self._referrers(repository, index.digest):
            manifest = self.registry.fetch_manifest(repository, entry.digest)[1]
            if attached_blob(manifest) is None:
                continue
            layer = types.parse_manifest(manifest).layers[0]
            sink = io.BytesIO()
            self.registry.fetch_blob(repository, layer.digest, layer.size_bytes, sink)
            return sink.getvalue()
        return None

    def tag(self, name: str, tags: Mapping[str, Descriptor]) -> None:
        """Sets tags, in the order given: immutable ones come first."""
        repository = Repository(self.registry, self._repository(name))
        for tag, entry in tags.items():
            repository.set_tag(tag, entry)

    def attach(self, name: str, index: Descriptor, metadata: bytes) -> None:
        """Makes ``metadata`` the one metadata blob that refers to the index."""
        repository = self._repository(name)
        data = metadata_manifest(index, metadata)
        manifest = types.parse_manifest(data)
        for blob, content in ((manifest.layers[0], metadata), (manifest.config, types.EMPTY_BYTES)):
            opener = functools.partial(io.BytesIO, content)
            self.registry.push_blob(repository, blob.digest, blob.size_bytes, opener)
        new = types.descriptor_of(data, types.MANIFEST).digest
        old = [e.digest for e in self._referrers(repository, index.digest) if e.digest != new]
        self.registry.push_referrer(repository, data, replaces=old[0] if old else None)
        for digest in old:
            self.registry.delete_manifest(repository, digest)


def _fetch(
    source: End,
    index: Descriptor,
    sink: HasBlobs,
    platforms: Sequence[Platform],
    say: Callable[[str], None],
) -> None:
    """Brings an index document, and the images of these platforms."""
    if platforms:
        copy_release(source, sink, index, platforms=platforms, say=say)
    sink.blobs.put(reader(source)(index), index.digest)


def _referrers_tag(digest: Digest) -> str:
    """Returns the tag of a referrers list (OCI distribution specification 1.1, tag schema)."""
    return f"{digest.algorithm}-{digest.hex}"


def _as_referrer(manifest: bytes) -> Descriptor:
    found = types.descriptor_of(manifest, types.MANIFEST)
    return Descriptor(
        media_type=found.media_type,
        digest=found.digest,
        size_bytes=found.size_bytes,
        artifact_type=METADATA_TYPE,
    )


def open_channel(
    channel: Channel, workspace: str, *, ca_bundle: str = "", proxy: str = ""
) -> Backend:
    """Returns the backend of a channel; nothing is contacted yet.

    Args:
        channel: kind and location.
        workspace: the folder that a layout's location is relative to.
        ca_bundle: a PEM file of further authorities; proxy: an address, or the empty string.
    """
    if channel.kind == "layout":
        place = os.path.join(os.path.realpath(workspace), channel.location)
        if os.path.realpath(place) != place:
            raise Refused(
                f"the folder {channel.location} of the channel {channel.name} lies behind a link",
                hint="Write its real place below the workspace into channels.yaml.",
                code="D033",
            )
        return LayoutChannel(place)
    if channel.kind == "registry":
        host, prefix = split_location(channel.location)
        registry = Registry(host, insecure=channel.insecure, ca_bundle=ca_bundle, proxy=proxy)
        return RegistryChannel(registry, prefix)
    raise InvalidValue(
        f"the channel {channel.name} is of the unknown kind {channel.kind!r}",
        hint="Use layout or registry.",
        code="D032",
    )
