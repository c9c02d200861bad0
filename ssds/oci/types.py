"""What OCI says in JSON, as immutable values: descriptors, manifests, indexes, configs.

Sources: OCI image specification 1.1 (descriptor.md, manifest.md, image-index.md, config.md) and
Docker's image manifest version 2, schema 2, which is read but never written.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from ssds.core.canonical import Json, canonical_bytes
from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import InvalidValue
from ssds.core.patterns import pattern
from ssds.core.platform import Platform
from ssds.core.records import dataclass, field
from ssds.oci.document import Place, load_document

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"

MANIFEST_TYPES = frozenset({MANIFEST, DOCKER_MANIFEST})
INDEX_TYPES = frozenset({INDEX, DOCKER_INDEX})
CONFIG_TYPES = frozenset({CONFIG, DOCKER_CONFIG})
LAYER_TYPES = frozenset({LAYER, LAYER_GZIP, LAYER_ZSTD, DOCKER_LAYER, DOCKER_LAYER_GZIP})

REF_NAME = "org.opencontainers.image.ref.name"
EMPTY_BYTES = b"{}"

LAYERS_LIMIT = 1000
MANIFESTS_LIMIT = 1000
SIZE_LIMIT_BYTES = 1 << 50
_MEDIA_TYPE = pattern(
    r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
)
_TIME = pattern(r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(?:\.\d+)?([Zz]|[+-]\d{2}:\d{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """What names a blob: media type, digest and size (descriptor.md).

    Attributes:
        platform: in an index, the platform of the image, where it is one that ssds knows.
        foreign_platform: the text of a platform that ssds does not know (``linux/s390x``).
        annotations: free texts; ``org.opencontainers.image.ref.name`` is a layout's tag.
        artifact_type: what a referrer is.
    """

    media_type: str
    digest: Digest
    size_bytes: int
    platform: Platform | None = None
    foreign_platform: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""

    def to_json(self) -> dict[str, Json]:
        """Returns the JSON form."""
        entry: dict[str, Json] = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size_bytes,
        }
        if self.platform:
            entry["platform"] = self.platform.oci()
        elif self.foreign_platform:
            os, architecture, *variant = self.foreign_platform.split("/")
            entry["platform"] = {
                "os": os,
                "architecture": architecture,
                **({"variant": variant[0]} if variant else {}),
            }
        if self.annotations:
            entry["annotations"] = dict(self.annotations)
        if self.artifact_type:
            entry["artifactType"] = self.artifact_type
        return entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """An image manifest: one platform's config and layers, base first (manifest.md)."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)
    subject: Descriptor | None = None
    artifact_type: str = ""
    media_type: str = MANIFEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """An image index: one manifest per platform (image-index.md)."""

    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)
    subject: Descriptor | None = None
    artifact_type: str = ""
    media_type: str = INDEX


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """An image config (config.md).

    Attributes:
        platform: None where it is one that ssds does not know.
        diff_ids: digests of the uncompressed layer tars, base first.
        environment: in the order of the config; the last of doubles wins.
        working_folder: absolute, or empty.
        created: seconds since the Unix epoch, or None where it is not stated.
    """

    platform: Platform | None
    diff_ids: tuple[Digest, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    working_folder: str = ""
    user: str = ""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    created: int | None = None


def descriptor_of(
    data: bytes,
    media_type: str,
    *,
    platform: Platform | None = None,
    annotations: Mapping[str, str] | None = None,
    artifact_type: str = "",
) -> Descriptor:
    """Returns the descriptor of these bytes."""
    return Descriptor(
        media_type=media_type,
        digest=sha256_of(data),
        size_bytes=len(data),
        platform=platform,
        annotations=annotations or {},
        artifact_type=artifact_type,
    )


def parse_descriptor(place: Place) -> Descriptor:
    """Reads a descriptor at ``place``; raises IntegrityError with the path to what is wrong."""
    media_type = place.text("mediaType")
    if not _MEDIA_TYPE.fullmatch(media_type):
        place.child("mediaType").fail(f"{media_type[:80]!r} is not a media type")
    platform, foreign = _platform(place)
    return Descriptor(
        media_type=media_type,
        digest=place.digest("digest"),
        size_bytes=place.integer("size", low=0, high=SIZE_LIMIT_BYTES),
        platform=platform,
        foreign_platform=foreign,
        annotations=place.text_map("annotations"),
        artifact_type=place.text("artifactType", ""),
    )


def parse_manifest(data: bytes, what: str = "image manifest") -> Manifest:
    """Reads an image manifest, OCI or Docker schema 2.

    Raises:
        IntegrityError: O001 to O005; the message says what is wrong and where.
    """
    root = load_document(data, what)
    media_type = _media_type(root, MANIFEST_TYPES, MANIFEST)
    if root.has("manifests"):
        root.fail("is an index and a manifest at once, which readers understand differently")
    root.child("layers")
    return Manifest(
        config=parse_descriptor(root.child("config")),
        layers=tuple(parse_descriptor(p) for p in root.items("layers", limit=LAYERS_LIMIT)),
        annotations=root.text_map("annotations"),
        subject=_subject(root),
        artifact_type=root.text("artifactType", ""),
        media_type=media_type,
    )


def parse_index(data: bytes, what: str = "image index") -> Index:
    """Reads an image index or a Docker manifest list; raises IntegrityError (O001 to O005)."""
    root = load_document(data, what)
    media_type = _media_type(root, INDEX_TYPES, INDEX)
    if root.has("layers") or root.has("config"):
        root.fail("is an index and a manifest at once, which readers understand differently")
    root.child("manifests")
    return Index(
        manifests=tuple(
            parse_descriptor(p) for p in root.items("manifests", limit=MANIFESTS_LIMIT)
        ),
        annotations=root.text_map("annotations"),
        subject=_subject(root),
        artifact_type=root.text("artifactType", ""),
        media_type=media_type,
    )


def parse_config(data: bytes, what: str = "image config") -> Config:
    """Reads an image config, OCI or Docker; raises IntegrityError (O001 to O005)."""
    root = load_document(data, what)
    platform, _ = _platform_at(root)
    rootfs = root.child("rootfs")
    if rootfs.text("type") != "layers":
        rootfs.child("type").fail("expected layers")
    settings = root.child("config") if root.has("config") else Place(what, "config", {})
    environment: dict[str, str] = {}
    for item in settings.items("Env", limit=10_000):
        name, equals, value = item.as_text().partition("=")
        if not name or not equals:
            item.fail("expected NAME=VALUE")
        environment[name] = value
    return Config(
        platform=platform,
        diff_ids=tuple(p.as_digest() for p in rootfs.items("diff_ids", limit=LAYERS_LIMIT)),
        environment=environment,
        working_folder=settings.text("WorkingDir", ""),
        user=settings.text("User", ""),
        entrypoint=settings.texts("Entrypoint"),
        command=settings.texts("Cmd"),
        labels=settings.text_map("Labels"),
        created=_time(root),
    )


def manifest_bytes(
    *,
    config: Descriptor,
    layers: Sequence[Descriptor],
    annotations: Mapping[str, str] | None = None,
    subject: Descriptor | None = None,
    artifact_type: str = "",
) -> bytes:
    """Returns the canonical bytes of an OCI image manifest; equal values, equal bytes."""
    document: dict[str, Json] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.to_json(),
        "layers": [layer.to_json() for layer in layers],
    }
    return canonical_bytes(_optional(document, annotations, subject, artifact_type))


def index_bytes(
    manifests: Sequence[Descriptor],
    *,
    annotations: Mapping[str, str] | None = None,
    subject: Descriptor | None = None,
    artifact_type: str = "",
) -> bytes:
    """Returns the canonical bytes of an OCI image index, its manifests in the given order."""
    document: dict[str, Json] = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [manifest.to_json() for manifest in manifests],
    }
    return canonical_bytes(_optional(document, annotations, subject, artifact_type))


def config_bytes(
    *,
    platform: Platform,
    diff_ids: Sequence[Digest],
    created: int,
    environment: Mapping[str, str] | None = None,
    working_folder: str = "",
    user: str = "",
    entrypoint: Sequence[str] = (),
    command: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    history: Sequence[str] = (),
) -> bytes:
    """Returns the canonical bytes of an OCI image config.

    Args:
        created: SOURCE_DATE_EPOCH in seconds; the only time in the config (C18).
        history: one text per layer (what made it), or none at all.

    Raises:
        InvalidValue: a variable's name that cannot be one, or a history of another length.
    """
    moment = rfc3339(created)
    settings: dict[str, Json] = {}
    variables = environment or {}
    for name in variables:
        if not name or "=" in name or "\0" in name + variables[name]:
            raise InvalidValue(f"{name[:60]!r} cannot be the name of an environment variable")
    values: dict[str, Json] = {
        "Env": [f"{name}={value}" for name, value in sorted(variables.items())],
        "WorkingDir": working_folder,
        "User": user,
        "Entrypoint": list(entrypoint),
        "Cmd": list(command),
        "Labels": dict(labels or {}),
    }
    settings = {name: value for name, value in values.items() if value}
    document: dict[str, Json] = {
        **platform.oci(),
        "created": moment,
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [str(d) for d in diff_ids]},
    }
    if history:
        if len(history) != len(diff_ids):
            raise InvalidValue(
                f"{len(history)} history entries for {len(diff_ids)} layers; give one per layer"
            )
        document["history"] = [{"created": moment, "created_by": text} for text in history]
    return canonical_bytes(document)


def rfc3339(epoch: int) -> str:
    """Returns seconds since the Unix epoch as RFC 3339 text in UTC."""
    if not 0 <= epoch <= 253402300799:
        raise InvalidValue(f"{epoch} is not a time between 1970 and 9999")
    moment = dt.datetime.fromtimestamp(epoch, tz=dt.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _optional(
    document: dict[str, Json],
    annotations: Mapping[str, str] | None,
    subject: Descriptor | None,
    artifact_type: str,
) -> dict[str, Json]:
    if annotations:
        document["annotations"] = dict(annotations)
    if subject:
        document["subject"] = subject.to_json()
    if artifact_type:
        document["artifactType"] = artifact_type
    return document


def _media_type(root: Place, known: frozenset[str], default: str) -> str:
    if root.integer("schemaVersion", low=0, high=1000) != 2:
        root.child("schemaVersion").fail("only version 2 is known", code="O005")
    media_type = root.text("mediaType", default)
    if media_type not in known:
        root.child("mediaType").fail(
            f"{media_type[:100]!r} is not one of {', '.join(sorted(known))}", code="O005"
        )
    return media_type


def _subject(root: Place) -> Descriptor | None:
    return parse_descriptor(root.child("subject")) if root.has("subject") else None


def _platform(place: Place) -> tuple[Platform | None, str]:
    return _platform_at(place.child("platform")) if place.has("platform") else (None, "")


def _platform_at(place: Place) -> tuple[Platform | None, str]:
    text = f"{place.text('os')}/{place.text('architecture')}"
    variant = place.text("variant", "")
    if text == "linux/arm64" and variant == "v8":
        variant = ""  # v8 is the only arm64 there is; OCI calls it the default
    text += f"/{variant}" if variant else ""
    try:
        return Platform(text), ""
    except InvalidValue:
        return None, text[:200]


def _time(root: Place) -> int | None:
    text = root.text("created", "")
    match = _TIME.fullmatch(text)
    if not match:
        return None
    date, time, zone = match.groups()
    try:
        moment = dt.datetime.fromisoformat(f"{date}T{time}{zone.upper()}")
    except ValueError:
        return None
    return int(moment.timestamp())
