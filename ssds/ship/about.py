"""What describes a release: the fields of the metadata blob that its lock names (C13)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Protocol

from ssds.core.canonical import Json
from ssds.core.digest import Digest
from ssds.core.errors import InvalidValue

METADATA_LIMIT_BYTES = 4 * 1024 * 1024


class Reader(Protocol):
    """A store's blobs, as far as they are read whole."""

    def has(self, digest: Digest) -> bool:
        """Whether the blob is here."""

    def read(self, digest: Digest, limit_bytes: int = ...) -> bytes:
        """Returns its bytes, checked."""


def read_about(digest: Digest | None, blobs: Reader) -> Mapping[str, Json]:
    """Returns the descriptive fields; empty where the lock names none or the bytes are not here."""
    found = _blob(digest, blobs)
    fields = found.get("fields", found)
    return fields if isinstance(fields, dict) else {}


def read_files(digest: Digest | None, blobs: Reader) -> dict[str, Digest]:
    """Returns role → the one file of it (``icon``, ``webapp.icon``), of the same blob."""
    files = _blob(digest, blobs).get("files")
    found = {}
    for role, entries in files.items() if isinstance(files, dict) else ():
        one = entries[0] if isinstance(entries, list) and len(entries) == 1 else None
        text = one.get("sha256") if isinstance(one, dict) else None
        if isinstance(text, str):
            with contextlib.suppress(InvalidValue):
                found[role] = Digest(text)
    return found


def _blob(digest: Digest | None, blobs: Reader) -> dict[str, Json]:
    if digest is None or not blobs.has(digest):
        return {}
    try:
        found = json.loads(blobs.read(digest, METADATA_LIMIT_BYTES))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def environment_of(about: Mapping[str, Json]) -> dict[str, str]:
    """Returns ``deploy.environment`` of descriptive fields: what a module and a wrapper set."""
    given = about.get("deploy", {})
    wanted = given.get("environment", {}) if isinstance(given, Mapping) else {}
    return {str(k): str(v) for k, v in wanted.items()} if isinstance(wanted, Mapping) else {}
