"""Where a tool is installed from: a registry, an image layout in a folder or on a web server."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import replace
from urllib.parse import urlsplit

from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError, SsdsError, UnavailableError, UsageError
from ssds.core.model import ReleaseName
from ssds.core.platform import Platform
from ssds.core.versions import version_key
from ssds.host.mirrors import Mirrors
from ssds.lock.data import DataLock
from ssds.lock.model import IndexRecord, LayerRecord, Released, ReleaseHalf, SizedBlob
from ssds.oci.answers import RegistryError
from ssds.oci.image_name import ImageName, is_loopback, parse_image_name
from ssds.oci.registry import Sink
from ssds.oci.upstream import FoundImage, Images
from ssds.ship.evidence import METADATA_TYPE
from ssds.ship.record import DATA_RECORD_TYPE, NO_ACTION, RECORD_TYPE, read_record
from ssds.ship.refdata.artefact import PREFIX, read_data_record, released_set
from ssds.ship.revisions import CONTENT

OCI = "oci://"
_HERE = "layout.invalid"
_BESIDE = re.compile(r"sha256-[0-9a-f]{64}.*|.*-sif|.*\.(?:sig|att|sbom)")
_REVISION = re.compile(r"(.+)-r([1-9][0-9]{0,5})")
_VERSION_LABEL = "org.opencontainers.image.version"
_TEXT_LIMIT_BYTES = 4 * 1024 * 1024
SHOWN = 8


class Source:
    """A place that ``--from`` names. Whatever it gives is checked against digests."""

    def __init__(self, text: str, mirrors: Mirrors, *, plain_http: bool = False) -> None:
        """Takes ``oci://HOST/PREFIX``, the address of a layout on a web server, or its folder.

        Raises:
            UsageError: I001, it is none of these; I002, plain http to another machine.
        """
        self.text = text.rstrip("/") if "://" in text else os.path.abspath(text)
        self._mirrors = mirrors
        self._web = self.text.startswith(("https://", "http://"))
        self._registry = ""
        if self.text.startswith(OCI):
            self._registry = self.text.removeprefix(OCI)
            host = self._registry.partition("/")[0]
            if plain_http and not is_loopback(host):
                raise UsageError(
                    f"{host} is another machine: its answers could be changed on the way",
                    hint="Plain http is for loopback addresses; give that registry TLS.",
                    code="I002",
                )
            if plain_http:
                self._mirrors = replace(
                    mirrors, images={self._registry: f"http://{self._registry}"}
                )
        elif self.text.startswith("http://") and not is_loopback(urlsplit(self.text).netloc):
            raise UsageError(
                f"{self.text} is another machine: its answers could be changed on the way",
                hint="Plain http is for loopback addresses; take https://.",
                code="I002",
            )
        elif "://" in self.text and not self._web:
            raise UsageError(
                f"{text!r} names no place of images",
                hint="Write oci://HOST/PREFIX, https://…/LAYOUT or the folder of an image layout.",
                code="I001",
            )
        elif not self._web and not os.path.isdir(self.text):
            raise UsageError(
                f"there is no folder {self.text}",
                hint="--from takes oci://HOST/PREFIX, https://…/LAYOUT or the folder of a layout.",
                code="I001",
            )
        self._images = Images(self._mirrors)

    def released(self, name: str, version: str, platform: Platform) -> tuple[Released, Found]:
        """Returns the release, with what its place says of it, and its image for a platform.

        Raises:
            UsageError: I003, the place does not have that name or version.
            UnavailableError, IntegrityError: it does not answer, or gives wrong bytes.
        """
        tag = self._tag(name, version)
        images, reference = self._reference(name, tag)
        try:
            found = images.image(reference, platform)
        except SsdsError as error:
            self._explain(error, name)
            raise
        place = Found(image=found, images=images, name=reference)
        return self._described(name, tag, platform, place), place

    def data_set(self, name: str, version: str) -> tuple[DataLock, FoundSet]:
        """Returns what the lock of a data set (``data/<set>``) says, and its place.

        Raises:
            UsageError: I003, the place does not have that name or version.
            UnavailableError: I008, it does not say what the set is.
            IntegrityError: D049, or I009: it says it of something else.
        """
        tag = self._tag(name, version)
        images, reference = self._reference(name, tag)
        try:
            index = images.current(reference)
        except SsdsError as error:
            self._explain(error, name)
            raise
        place = FoundSet(images=images, name=reference, index=index)
        record = place.attached(DATA_RECORD_TYPE)
        if record is None:
            raise UnavailableError(
                f"{self.text} does not say what {name}:{tag} is",
                hint="Push it with `ssds sync`, which attaches that.",
                code="I008",
            )
        number = CONTENT.fullmatch(tag)
        lock = read_data_record(record, name.removeprefix(PREFIX), number[1] if number else tag)
        released = released_set(lock)
        if released is None or released.index.digest != index:
            raise IntegrityError(
                f"what {self.text} says of {name}:{tag} is about another content",
                hint="Another writer was at work there; try again.",
                code="I009",
            )
        content = released.dataset.short if released.dataset is not None else ""
        if number and not tag.endswith(f"-{content}"):
            raise IntegrityError(
                f"the tag {name}:{tag} of {self.text} leads to the content {content}",
                hint="Somebody moved it there, and it is never to move; ask who keeps that place.",
                code="I009",
            )
        return lock, place

    # -- tags ----------------------------------------------------------------------------------

    def _tag(self, name: str, version: str) -> str:
        known = [tag for tag in self._tags(name) if not _BESIDE.fullmatch(tag)]
        wanted = ReleaseName(name, version).tag
        if version and wanted in known:
            return wanted
        immutable = CONTENT if name.startswith(PREFIX) else _REVISION
        plain = [t for t in known if not immutable.fullmatch(t) and t != "latest"]
        if not version and plain:
            return max(plain, key=version_key)
        if not version and known:
            return max(known, key=lambda t: (t == "latest", version_key(t)))
        if not known:
            raise UsageError(
                f"{self.text} has no {name}", hint="Check the name and --from.", code="I003"
            )
        near = difflib.get_close_matches(wanted, plain or known, 1)
        best = sorted(plain or known, key=version_key, reverse=True)
        raise UsageError(
            f"{self.text} has no version {version} of {name}",
            hint=(f'Did you mean "{near[0]}"? ' if near else "")
            + f"It has {', '.join(best[:SHOWN])}{' …' if len(best) > SHOWN else ''}.",
            code="I003",
        )

    def _tags(self, name: str) -> list[str]:
        images, reference = self._reference(name, "")
        try:
            tags = images.tags(reference)
        except RegistryError as error:
            if error.status == 404:  # a registry has no list of what it does not have
                return []
            raise
        if self._registry:
            return list(tags)
        prefix = f"{name}:"
        return [tag.removeprefix(prefix) for tag in tags if tag.startswith(prefix)]

    def _reference(self, name: str, tag: str) -> tuple[Images, ImageName]:
        """Returns the reference of a tag, and what reads it; layouts have one map for each tag."""
        if self._registry:
            return self._images, parse_image_name(f"{self._registry}/{name}:{tag or 'latest'}")
        place = f"{_HERE}/{name}"
        own = f"{name}:{tag}" if tag else ""
        to = f"oci+{self.text}#{own}" if self._web else f"oci:{self.text}:{own}"
        images = Images(replace(self._mirrors, images={place: to.removesuffix(":")}))
        return images, ImageName(host=_HERE, repository=name, tag=tag or "latest")

    def _explain(self, error: SsdsError, name: str) -> None:
        """Puts an error into the words of who installs: the place, and what to do there."""
        message = error.message.replace(f"{_HERE}/{name}", f"{self.text}: {name}")
        error.args = (message, *error.args[1:])
        if error.code == "O131":
            error.hint = "Choose one of these with --platform, or another version."

    # -- what is said of it --------------------------------------------------------------------

    def _described(self, name: str, tag: str, platform: Platform, place: Found) -> Released:
        found = place.image
        record = place.attached(RECORD_TYPE)
        if record is not None:
            released = read_record(record, f"the release record of {name}:{tag}")
            half = released.platforms.get(platform)
            if half is not None and released.id.name == name and _speaks_of(released, half, found):
                return released
        settings = found.settings
        half = ReleaseHalf(
            actions={},
            manifest=_sized(found.manifest, found.documents[found.manifest]),
            config=_sized(found.config.digest, found.documents[found.config.digest]),
            layers=tuple(
                LayerRecord(digest=layer.digest, size_bytes=layer.size_bytes, diff_id=diff_id)
                for layer, diff_id in zip(found.layers, settings.diff_ids, strict=True)
            ),
        )
        version = tag if tag != "latest" else _label(settings.labels.get(_VERSION_LABEL, ""), tag)
        revision = _REVISION.fullmatch(version)
        if revision is not None:  # as ssds names it, from a place that has no record of it
            version = revision[1]
        return Released(
            id=ReleaseName(name, version),
            revision=int(revision[2]) if revision else 0,
            index=IndexRecord(
                digest=found.digest,
                size_bytes=len(found.documents[found.digest]),
                key=NO_ACTION,
                platforms={platform: found.manifest},
            ),
            metadata=None,
            identifiers={},
            platforms={platform: half},
        )


class FoundSet:
    """An index in its place, and what is attached to it."""

    def __init__(self, *, images: Images, name: ImageName, index: Digest) -> None:
        self.images, self.name, self.index = images, name, index

    def attached(self, artifact_type: str) -> bytes | None:
        """Returns the one blob of the newest artefact of that type, or None."""
        for manifest in self.images.attached(self.name, self.index, artifact_type):
            if len(manifest.layers) == 1:
                blob = manifest.layers[0]
                if blob.size_bytes > _TEXT_LIMIT_BYTES:
                    continue
                sink = _Whole()
                self.images.fetch(self.name, blob.digest, blob.size_bytes, sink)
                return bytes(sink.data)
        return None

    def fetch(self, digest: Digest, size_bytes: int, sink: Sink) -> None:
        """Writes a blob to ``sink``; the caller checks what came."""
        self.images.fetch(self.name, digest, size_bytes, sink)


class Found(FoundSet):
    """An image in its place, and what is attached to its index."""

    def __init__(self, *, image: FoundImage, images: Images, name: ImageName) -> None:
        super().__init__(images=images, name=name, index=image.digest)
        self.image = image

    def metadata(self) -> bytes | None:
        """Returns the metadata blob that refers to the index, or None."""
        return self.attached(METADATA_TYPE)


class _Whole:
    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes, /) -> int:
        if len(self.data) + len(data) > _TEXT_LIMIT_BYTES:
            raise UnavailableError("a document is larger than it was said to be", code="I004")
        self.data += data
        return len(data)


def _speaks_of(released: Released, half: ReleaseHalf, found: FoundImage) -> bool:
    """Whether a record is about that very image, down to its layers."""
    layers = [(layer.digest, layer.diff_id) for layer in half.layers]
    theirs = zip((d.digest for d in found.layers), found.settings.diff_ids, strict=True)
    return (
        released.index.digest == found.digest
        and half.manifest.digest == found.manifest
        and half.config.digest == found.config.digest
        and layers == list(theirs)
    )


def _sized(digest: Digest, data: bytes) -> SizedBlob:
    return SizedBlob(digest=digest, size_bytes=len(data))


def _label(text: str, otherwise: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}", text) else otherwise
