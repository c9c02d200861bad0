"""What a channel held when somebody last looked, kept in ``.ssds/observed/`` (C14)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from ssds.core.canonical import Json, fingerprint, pretty_bytes
from ssds.core.digest import Digest
from ssds.core.model import ReleaseName
from ssds.core.records import dataclass, field
from ssds.host.files import atomic_write

OBSERVATION_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a channel held when somebody looked.

    Attributes:
        at: seconds since the Unix epoch.
        tags: ``name:tag`` → digest.
        metadata: index digest → digest of the metadata blob that is attached to it.
    """

    at: int
    tags: Mapping[str, Digest] = field(default_factory=dict)
    metadata: Mapping[Digest, Digest] = field(default_factory=dict)


def state_of(release: ReleaseName, observed: Observation) -> Digest:
    """Returns the fingerprint of the tags that a push of this release would write or move."""
    prefix = f"{release.name}:"
    ours = re.compile(rf"(?:{re.escape(release.tag)}(?:-r[1-9][0-9]*)?|latest)(?:-sif)?")
    tags: dict[str, Json] = {
        text: str(digest)
        for text, digest in observed.tags.items()
        if text.startswith(prefix) and ours.fullmatch(text.removeprefix(prefix))
    }
    return fingerprint(tags, "channel state")


def write_observation(path: str, observed: Observation) -> None:
    """Keeps an observation (``.ssds/observed/<channel>.json``)."""
    data = pretty_bytes(
        {
            "observation_version": OBSERVATION_VERSION,
            "at": observed.at,
            "tags": {tag: str(digest) for tag, digest in observed.tags.items()},
            "metadata": {str(index): str(blob) for index, blob in observed.metadata.items()},
        }
    )
    atomic_write(path, data, point="observation")


def read_observation(path: str) -> Observation | None:
    """Returns the last observation; None where there is none or it cannot be used."""
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read(64 * 1024 * 1024))
        if found["observation_version"] != OBSERVATION_VERSION:
            return None
        return Observation(
            at=int(found["at"]),
            tags={str(tag): Digest(str(d)) for tag, d in found["tags"].items()},
            metadata={Digest(k): Digest(str(d)) for k, d in found["metadata"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
