"""A release as one small document that stands beside its images, for who has no lock file.

It says what a lock says of a release, without pins, evidence or claims; digests name all bytes.
As an artefact its type is RECORD_TYPE and its subject is the index.
"""

from __future__ import annotations

import re

from ssds.core.canonical import Json, canonical_bytes
from ssds.core.digest import ActionKey
from ssds.core.errors import InvalidValue
from ssds.core.model import ReleaseName
from ssds.core.platform import Platform
from ssds.lock.model import (
    IDENTIFIERS,
    IndexRecord,
    LayerRecord,
    Released,
    ReleaseHalf,
    SizedBlob,
)
from ssds.oci.document import Place, load_document
from ssds.oci.programs import FOUND_LIMIT, NAME

RECORD_TYPE = "application/vnd.ssds.release.v1+json"
DATA_RECORD_TYPE = "application/vnd.ssds.dataset.lock.v1+json"
RECORD_VERSION = 1
NO_ACTION = ActionKey("blake3:" + "0" * 64)
"""The key of an index that came without its lock: which action made it is not known."""

_SIZE_LIMIT = 1 << 50
_LAYERS_LIMIT = 1000
_RELEASE = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,127})")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~:-]{0,127}")
_PATH = re.compile(r"(?:/[A-Za-z0-9_.+@%=,~:-]+)+")


def release_record(released: Released) -> bytes:
    """Returns the canonical bytes of a release's record."""
    return canonical_bytes(record_fields(released))


def record_fields(released: Released) -> dict[str, Json]:
    """Returns the record as a map."""
    platforms: dict[str, Json] = {
        str(platform): {
            "manifest": _sized(half.manifest),
            "config": _sized(half.config),
            "layers": [
                {
                    "digest": str(layer.digest),
                    "size": layer.size_bytes,
                    "diff_id": str(layer.diff_id),
                }
                for layer in half.layers
            ],
            "commands": list(half.commands),
            "found": list(half.found),
        }
        for platform, half in released.platforms.items()
    }
    found: dict[str, Json] = {
        "release_version": RECORD_VERSION,
        "name": released.id.name,
        "version": released.id.version,
        "variant": released.id.variant,
        "revision": released.revision,
        "index": {"digest": str(released.index.digest), "size": released.index.size_bytes},
        "identifiers": dict(released.identifiers),
        "platforms": platforms,
    }
    return found | ({"metadata": str(released.metadata)} if released.metadata else {})


def read_record(data: bytes, what: str = "release record") -> Released:
    """Returns the release of a record.

    Raises:
        IntegrityError: O001 to O004; the message says what is wrong and where.
    """
    return parse_record(load_document(data, what))


def parse_record(root: Place) -> Released:
    """Reads a record at ``root``; raises IntegrityError with the path to what is wrong."""
    root.integer("release_version", low=RECORD_VERSION, high=RECORD_VERSION)
    name = _matching(root, "name", _RELEASE)
    version = _matching(root, "version", _VERSION)
    variant = _matching(root, "variant", _RELEASE) if root.text("variant", "") else ""
    index = root.child("index")
    platforms = root.child("platforms")
    halves = {
        _platform(platforms.child(key)): _half(platforms.child(key))
        for key in sorted(platforms.map())
    }
    return Released(
        id=ReleaseName(name, version, variant),
        revision=root.integer("revision", low=0, high=1_000_000),
        index=IndexRecord(
            digest=index.digest("digest"),
            size_bytes=index.integer("size", low=0, high=_SIZE_LIMIT),
            key=NO_ACTION,
            platforms={p: half.manifest.digest for p, half in halves.items()},
        ),
        metadata=root.digest("metadata") if root.has("metadata") else None,
        identifiers={
            key: value
            for key, value in root.text_map("identifiers", limit=50).items()
            if key in IDENTIFIERS
        },
        platforms=halves,
    )


def _sized(blob: SizedBlob) -> dict[str, Json]:
    return {"digest": str(blob.digest), "size": blob.size_bytes}


def _platform(place: Place) -> Platform:
    try:
        return Platform(place.path.rpartition(".")[2])
    except InvalidValue as error:
        place.fail(error.message)


def _half(place: Place) -> ReleaseHalf:
    return ReleaseHalf(
        actions={},
        manifest=_blob(place.child("manifest")),
        config=_blob(place.child("config")),
        layers=tuple(
            LayerRecord(
                digest=layer.digest("digest"),
                size_bytes=layer.integer("size", low=0, high=_SIZE_LIMIT),
                diff_id=layer.digest("diff_id"),
            )
            for layer in place.items("layers", limit=_LAYERS_LIMIT)
        ),
        commands=_commands(place, "commands"),
        found=_commands(place, "found"),
    )


def _blob(place: Place) -> SizedBlob:
    size = place.integer("size", low=0, high=_SIZE_LIMIT)
    return SizedBlob(digest=place.digest("digest"), size_bytes=size)


def _commands(place: Place, key: str) -> tuple[str, ...]:
    found = []
    for item in place.items(key, limit=FOUND_LIMIT):
        text = item.as_text()
        if not is_command(text):
            item.fail(f"{text[:80]!r} cannot be a command")
        found.append(text)
    return tuple(sorted(set(found)))


def is_command(text: str) -> bool:
    """Whether a text is a plain name, or an absolute path of one without dots in between."""
    if "/" not in text:
        return bool(NAME.fullmatch(text))
    parts = text.split("/")
    plain = _PATH.fullmatch(text) and not {".", ".."} & set(parts)
    return bool(plain and NAME.fullmatch(parts[-1]))


def _matching(root: Place, key: str, form: re.Pattern[str]) -> str:
    text = root.text(key)
    if not form.fullmatch(text):
        root.child(key).fail(f"{text[:80]!r} cannot be a {key}")
    return text
