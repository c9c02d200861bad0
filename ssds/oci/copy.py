"""Copies a release between stores, layouts and registries, byte for byte.

Blobs go first, then manifests, the index last: whoever can read the index can read all of it.
Only what is missing is sent, and what arrived is read back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Protocol

from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import IntegrityError, UnavailableError
from ssds.core.platform import Platform
from ssds.oci.blobs import Blobs
from ssds.oci.document import DOCUMENT_LIMIT_BYTES
from ssds.oci.registry import Registry
from ssds.oci.types import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    Descriptor,
    parse_index,
    parse_manifest,
)

NESTING_LIMIT = 4


class HasBlobs(Protocol):
    """A store or a layout."""

    @property
    def blobs(self) -> Blobs:
        """Its blobs."""


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository of a registry, as an end of a copy."""

    registry: Registry
    name: str

    def set_tag(self, tag: str, descriptor: Descriptor, data: bytes = b"") -> None:
        """Makes ``tag`` name a manifest or index that is there already; ``data`` are its bytes."""
        if not data:
            _, data, _ = self.registry.fetch_manifest(self.name, descriptor.digest)
        self.registry.push_manifest(self.name, tag, descriptor.media_type, data)


End = HasBlobs | Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyReport:
    """What a copy did.

    Attributes:
        copied: digests that were sent, in order; present: those that were there already.
        size_bytes: of what was sent.
    """

    copied: tuple[Digest, ...]
    present: tuple[Digest, ...]
    size_bytes: int


def copy_release(
    source: End,
    sink: End,
    descriptor: Descriptor,
    *,
    platforms: Sequence[Platform] = (),
    say: Callable[[str], None] = lambda _: None,
) -> CopyReport:
    """Copies an index or a manifest with all it names; the name or tag is the caller's.

    Args:
        platforms: copy the blobs of these platforms only, and no index; empty means all.
        say: gets one line per blob that is sent.

    Raises:
        IntegrityError: bytes that do not have their digest or size, at either end.
        UnavailableError: the source lacks something; ``RegistryError`` as a registry says.
    """
    plan = list(_walk(source, descriptor, platforms, 0))
    copied: list[Digest] = []
    present: list[Digest] = []
    size = 0
    for item, data in plan:
        if item.digest in copied or item.digest in present:
            continue
        if _has(sink, item, is_manifest=data is not None):
            present.append(item.digest)
            continue
        say(f"{'manifest' if data is not None else 'blob'} {item.digest.short} ({item.size_bytes})")
        if data is not None:
            _put_manifest(sink, item, data)
        else:
            _put_blob(source, sink, item)
        copied.append(item.digest)
        size += item.size_bytes
    for item, data in plan:
        _read_back(sink, item, data)
    return CopyReport(copied=tuple(copied), present=tuple(present), size_bytes=size)


def parts_of(source: End, descriptor: Descriptor) -> list[tuple[Descriptor, bytes | None]]:
    """Returns everything that an index or a manifest names, the parts before what names them.

    The second value is a document's bytes, checked; None for a blob.

    Raises:
        IntegrityError, UnavailableError: as ``copy_release``.
    """
    return list(_walk(source, descriptor, (), 0))


def reader(end: End) -> Callable[[Descriptor], bytes]:
    """Returns a function that reads small documents (manifests, indexes, configs) from an end."""

    def read(descriptor: Descriptor) -> bytes:
        return _document(end, descriptor)

    return read


def _walk(
    source: End, descriptor: Descriptor, platforms: Sequence[Platform], depth: int
) -> Iterator[tuple[Descriptor, bytes | None]]:
    """Gives what is to be copied, the parts before what names them."""
    if depth > NESTING_LIMIT:
        raise IntegrityError(
            f"the index {descriptor.digest} is nested more than {NESTING_LIMIT} deep",
            hint="No release is; the index is damaged or hostile.",
            code="O110",
        )
    data = _document(source, descriptor)
    what = f"{descriptor.digest}"
    if descriptor.media_type in INDEX_TYPES:
        for entry in parse_index(data, what).manifests:
            if not platforms or entry.platform in platforms:
                yield from _walk(source, entry, platforms, depth + 1)
        if not platforms:
            yield descriptor, data
    elif descriptor.media_type in MANIFEST_TYPES:
        manifest = parse_manifest(data, what)
        for blob in (*manifest.layers, manifest.config):
            yield blob, None
        yield descriptor, data
    else:
        raise IntegrityError(
            f"{descriptor.digest} is {descriptor.media_type}, not an index or a manifest",
            hint="Only images and their indexes can be copied.",
            code="O111",
        )


def _document(end: End, descriptor: Descriptor) -> bytes:
    """Reads a manifest or index and checks it against its descriptor."""
    if descriptor.size_bytes > DOCUMENT_LIMIT_BYTES:
        raise IntegrityError(
            f"{descriptor.digest} is said to be {descriptor.size_bytes} bytes, too many for a "
            "manifest",
            hint="The index is damaged or hostile.",
            code="O001",
        )
    if isinstance(end, Repository):
        _, data, _ = end.registry.fetch_manifest(end.name, descriptor.digest)
    else:
        data = end.blobs.read(descriptor.digest, DOCUMENT_LIMIT_BYTES)
    if len(data) != descriptor.size_bytes or sha256_of(data) != descriptor.digest:
        raise IntegrityError(
            f"{descriptor.digest} has {len(data)} bytes where {descriptor.size_bytes} are promised",
            hint="The index or the manifest is damaged.",
            code="O112",
        )
    return data


def _has(end: End, item: Descriptor, *, is_manifest: bool) -> bool:
    if not isinstance(end, Repository):
        return end.blobs.has(item.digest) and end.blobs.size(item.digest) == item.size_bytes
    if is_manifest:
        return end.registry.head_manifest(end.name, item.digest) is not None
    return end.registry.has_blob(end.name, item.digest)


def _put_manifest(sink: End, item: Descriptor, data: bytes) -> None:
    if isinstance(sink, Repository):
        sink.registry.push_manifest(sink.name, item.digest, item.media_type, data)
    else:
        sink.blobs.put(data, item.digest)


def _put_blob(source: End, sink: End, item: Descriptor) -> None:
    if not isinstance(sink, Repository):
        with sink.blobs.writer(expected=item.digest, size_bytes=item.size_bytes) as writer:
            if isinstance(source, Repository):
                fetch = source.registry.fetch_blob
                fetch(source.name, item.digest, item.size_bytes, writer)
            else:
                for chunk in source.blobs.chunks(item.digest):
                    writer.write(chunk)
        return
    if isinstance(source, Repository):
        raise UnavailableError(
            "a release is not copied from one registry straight to another",
            hint="Copy it into the store first, then from the store.",
            code="O113",
        )
    blobs = source.blobs

    def opened() -> IO[bytes]:
        return blobs.open(item.digest)

    sink.registry.push_blob(sink.name, item.digest, item.size_bytes, opened)


def _read_back(sink: End, item: Descriptor, data: bytes | None) -> None:
    """Proves that the sink has what it should have."""
    if data is not None:
        same = _document(sink, item) == data
    elif isinstance(sink, Repository):
        same = sink.registry.blob_size(sink.name, item.digest) in (item.size_bytes, -1)
    else:
        same = sink.blobs.size(item.digest) == item.size_bytes
    if not same:
        raise IntegrityError(
            f"{item.digest} is not what was sent when it is read back",
            hint="The registry, or something before it, changes or loses bytes; do not use it.",
            code="O114",
        )


def platform_manifests(data: bytes) -> Mapping[Platform, Descriptor]:
    """Returns an index's manifests by platform; the first of doubles wins, as for other tools."""
    found: dict[Platform, Descriptor] = {}
    for entry in parse_index(data).manifests:
        if entry.platform is not None:
            found.setdefault(entry.platform, entry)
    return found
