"""What describes a release: the fields of the metadata blob that its lock names (C13)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Protocol

from ssds.core.canonical import Json
from ssds.core.digest import Digest

METADATA_LIMIT_BYTES = 4 * 1024 * 1024


class Reader(Protocol):
    """A store's blobs, as far as they are read whole."""

    def has(self, digest: Digest) -> bool:
        """Whether the blob is here."""

    def read(self, digest: Digest, limit_bytes: int = ...) -> bytes:
        """Returns its bytes, checked."""


def read_about(digest: Digest | None, blobs: Reader) -> Mapping[str, Json]:
    """Returns the descriptive fields; empty where the lock names none or the bytes are not here."""
    if digest is None or not blobs.has(digest):
        return {}
    try:
        found = json.loads(blobs.read(digest, METADATA_LIMIT_BYTES))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    fields = found.get("fields", found)
    return fields if isinstance(fields, dict) else {}


def environment_of(about: Mapping[str, Json]) -> dict[str, str]:
    """Returns ``deploy.environment`` of descriptive fields: what a module and a wrapper set."""
    given = about.get("deploy", {})
    wanted = given.get("environment", {}) if isinstance(given, Mapping) else {}
    return {str(k): str(v) for k, v in wanted.items()} if isinstance(wanted, Mapping) else {}
