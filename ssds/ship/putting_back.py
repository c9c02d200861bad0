"""Puts an immutable tag back that somebody moved, where all behind it is still there (C14)."""

from __future__ import annotations

from collections.abc import Iterator

from ssds.core.digest import Digest
from ssds.core.errors import UnavailableError
from ssds.host.files import write_point
from ssds.oci import types
from ssds.ship.plug import Backend


def put_back(backend: Backend, name: str, tag: str, digest: Digest) -> None:
    """Makes a tag name ``digest``, where all that it leads to is still there.

    Raises:
        UnavailableError: D037, some of it is gone; the tag is left as it is.
        SsdsError: the place does not answer, or gives other bytes.
    """
    missing: Digest | None = digest
    data = backend.document(name, digest)
    if data is not None:
        parts = _parts(backend, name, digest, data)
        missing = next((part for part, there in parts if not there), None)
    if data is None or missing is not None:
        raise UnavailableError(
            f"{name}:{tag} cannot be put back: {missing} is no longer there",
            hint="Push that revision from a checkout whose lock has it, or let it be: "
            "remove the tag.",
            code="D037",
        )
    item = types.descriptor_of(data, types.INDEX if _is_index(data) else types.MANIFEST)
    backend.tag(name, {tag: item}, {digest: data})
    write_point("sync.tagged")


def _is_index(data: bytes) -> bool:
    """Whether a document is an index; ssds writes canonical bytes, with their type."""
    return f'"mediaType":"{types.INDEX}"'.encode() in data


def _parts(
    backend: Backend, name: str, digest: Digest, data: bytes
) -> Iterator[tuple[Digest, bool]]:
    """Gives what a document leads to, and whether it is there."""
    if not _is_index(data):
        manifest = types.parse_manifest(data, str(digest))
        for item in (*manifest.layers, manifest.config):
            yield item.digest, backend.has(name, item, manifest=False)
        return
    for entry in types.parse_index(data, str(digest)).manifests:
        found = backend.document(name, entry.digest)
        yield entry.digest, found is not None
        if found is not None and not _is_index(found):
            yield from _parts(backend, name, entry.digest, found)
