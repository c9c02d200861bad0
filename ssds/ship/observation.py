"""What a channel held when somebody last looked, kept in ``.ssds/observed/`` (C14)."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Mapping
from typing import Any

from ssds.core.canonical import Json, canonical_bytes, fingerprint, pretty_bytes
from ssds.core.digest import Digest
from ssds.core.model import ReleaseName
from ssds.core.records import dataclass, field
from ssds.host.files import atomic_write

OBSERVATION_VERSION = 1
OBSERVATION_LIMIT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a channel held when somebody looked.

    Attributes:
        at: seconds since the Unix epoch.
        tags: ``name:tag`` → digest.
        metadata: index digest → digest of the metadata blob that is attached to it.
        evidence: ``evidence_key`` → digest of the evidence that is attached to a manifest.
        lost: ``name:tag`` of a release → what the tag names, or that names, and is not there.
        wrote: ``name:tag`` → digest, where ssds wrote another one than is there now.
    """

    at: int
    tags: Mapping[str, Digest] = field(default_factory=dict)
    metadata: Mapping[Digest, Digest] = field(default_factory=dict)
    evidence: Mapping[str, Digest] = field(default_factory=dict)
    lost: Mapping[str, tuple[Digest, ...]] = field(default_factory=dict)
    wrote: Mapping[str, Digest] = field(default_factory=dict)

    def with_names(
        self, names: Iterable[str], subjects: Container[Digest], seen: Observation
    ) -> Observation:
        """Returns this with all that concerns some repositories as it was ``seen``.

        Args:
            subjects: the indexes and manifests there that something may be attached to.
        """
        chosen = frozenset(names)

        def others(old: Mapping[str, Any]) -> dict[str, Any]:
            return {k: v for k, v in old.items() if k.partition(":")[0] not in chosen}

        metadata = {k: v for k, v in self.metadata.items() if k not in subjects}
        evidence = {
            k: v for k, v in self.evidence.items() if Digest(k.partition(" ")[0]) not in subjects
        }
        return Observation(
            at=self.at,
            tags={**others(self.tags), **seen.tags},
            metadata={**metadata, **seen.metadata},
            evidence={**evidence, **seen.evidence},
            lost={**others(self.lost), **seen.lost},
            wrote={**others(self.wrote), **seen.wrote},
        )


def evidence_key(subject: Digest, kind: str) -> str:
    """Returns the key of ``Observation.evidence``."""
    return f"{subject} {kind}"


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


def observation_bytes(observed: Observation, *, pretty: bool = False) -> bytes:
    """Returns the JSON form; empty parts are left out."""
    document: dict[str, Json] = {
        "observation_version": OBSERVATION_VERSION,
        "at": observed.at,
        "tags": _texts(observed.tags),
        "metadata": _texts(observed.metadata),
    }
    for name, value in (("evidence", observed.evidence), ("wrote", observed.wrote)):
        if value:
            document[name] = _texts(value)
    if observed.lost:
        document["lost"] = {k: [str(d) for d in v] for k, v in observed.lost.items()}
    return pretty_bytes(document) if pretty else canonical_bytes(document)


def parse_observation(data: bytes) -> Observation | None:
    """Returns an observation; None where the bytes are none that can be used."""
    try:
        found = json.loads(data)
        if found["observation_version"] != OBSERVATION_VERSION:
            return None
        return Observation(
            at=int(found["at"]),
            tags=_digests(found["tags"]),
            metadata={Digest(k): Digest(str(d)) for k, d in found["metadata"].items()},
            evidence={_evidence(k): d for k, d in _digests(found.get("evidence", {})).items()},
            lost={
                _key(k): tuple(Digest(str(d)) for d in v) for k, v in found.get("lost", {}).items()
            },
            wrote=_digests(found.get("wrote", {})),
        )
    except (ValueError, ArithmeticError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def write_observation(path: str, observed: Observation) -> None:
    """Keeps an observation (``.ssds/observed/<channel>.json``)."""
    atomic_write(path, observation_bytes(observed, pretty=True), point="observation")


def read_observation(path: str) -> Observation | None:
    """Returns the last observation; None where there is none or it cannot be used."""
    try:
        with open(path, "rb") as file:
            return parse_observation(file.read(OBSERVATION_LIMIT_BYTES))
    except OSError:
        return None


def _texts(values: Mapping[Any, Digest]) -> dict[str, Json]:
    return {str(key): str(digest) for key, digest in values.items()}


def _evidence(key: str) -> str:
    """Returns a key of ``Observation.evidence``; raises InvalidValue where it is none."""
    subject, _, kind = key.partition(" ")
    return evidence_key(Digest(subject), kind)


def _digests(values: Mapping[Any, Any]) -> dict[str, Digest]:
    return {_key(key): Digest(str(digest)) for key, digest in values.items()}


def _key(key: Any) -> str:
    """Returns a key that can be written again; raises UnicodeEncodeError for a lone surrogate."""
    return str(key).encode().decode()
