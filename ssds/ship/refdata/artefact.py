"""Data sets in channels: an index over one manifest of the list of files and the layers.

They are releases named ``data/<set>``: what channels do for releases they do for sets. The manifest
holds content only; what the lock says of a set is attached to the index, as a release's record is.

Source: OCI image specification 1.1, "Guidelines for Artifact Usage".
"""

from __future__ import annotations

import functools

from ssds.core.canonical import canonical_bytes
from ssds.core.diagnostics import Collector
from ssds.core.digest import sha256_of
from ssds.core.errors import IntegrityError
from ssds.core.model import ReleaseName
from ssds.core.records import replace
from ssds.lock.data import DataLock, parse_data_lock_bytes
from ssds.lock.model import IndexRecord, Released, SizedBlob, lock_file_name
from ssds.lock.sets import SetRecord
from ssds.ship.record import NO_ACTION

PREFIX = "data/"
SET_TYPE = "application/vnd.ssds.dataset.v1"
LIST_TYPE = "application/vnd.ssds.dataset.list.v1+json"


def released_set(lock: DataLock) -> Released | None:
    """Returns a made data set as channels take it; None for one that was not made."""
    from ssds.oci import types

    made = lock.made
    if made is None:
        return None
    blob = functools.partial(types.Descriptor, media_type=types.LAYER)
    content = types.Descriptor(
        media_type=LIST_TYPE, digest=made.content.digest, size_bytes=made.content.size_bytes
    )
    layers = [blob(digest=b.digest, size_bytes=b.size_bytes) for b in made.layers]
    manifest = types.manifest_bytes(
        config=types.descriptor_of(types.EMPTY_BYTES, types.EMPTY),
        layers=[content, *layers],
        artifact_type=SET_TYPE,
    )
    entry = types.descriptor_of(manifest, types.MANIFEST, artifact_type=SET_TYPE)
    index = types.index_bytes([entry], artifact_type=SET_TYPE)
    return Released(
        id=ReleaseName(PREFIX + lock.id.name, lock.id.version),
        revision=0,
        index=IndexRecord(
            digest=sha256_of(index), size_bytes=len(index), key=NO_ACTION, platforms={}
        ),
        metadata=None,
        identifiers={},
        platforms={},
        dataset=SetRecord(
            content=made.content.digest,
            blobs=(made.content, *made.layers),
            manifest=SizedBlob(digest=sha256_of(manifest), size_bytes=len(manifest)),
            documents=(types.EMPTY_BYTES, manifest, index),
            record=data_record(lock),
        ),
    )


def data_record(lock: DataLock) -> bytes:
    """Returns what a lock says of a set, without sources and steps: canonical bytes."""
    actions = {name: claim for name, claim in lock.actions.items() if name == "dataset"}
    return canonical_bytes(replace(lock, sources={}, actions=actions).to_dict())


def read_data_record(data: bytes, name: str, version: str) -> DataLock:
    """Returns the lock in a record of that set.

    Raises:
        IntegrityError: D049, it is damaged, hostile, or that of another set.
    """
    collector = Collector()
    lock = parse_data_lock_bytes(data, lock_file_name(name, version), collector)
    if lock is None or collector.failed or lock.made is None:
        problems = "; ".join(d.summary for d in collector.sorted()[:3]) or "it says nothing"
        raise IntegrityError(
            f"the record of the data set {name}@{version} cannot be used: {problems}",
            hint="Push the set again from a workspace that has its lock: ssds sync.",
            code="D049",
        )
    return lock
