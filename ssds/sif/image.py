"""Makes the SIF of one image: its layers merged, what the runtimes need on top, one file.

Equal images give equal bytes, whoever makes them: no program of the machine but the pinned zlib
takes part, and no time but SOURCE_DATE_EPOCH.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from ssds.core.canonical import Json, canonical_bytes
from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError
from ssds.core.platform import Platform
from ssds.core.records import dataclass
from ssds.host.local import write
from ssds.oci.blobs import Blobs
from ssds.oci.compress import decompress
from ssds.oci.flatten import add_layer, flatten
from ssds.oci.types import Config, Descriptor, parse_config, parse_manifest
from ssds.sif import runtime
from ssds.sif.container import DEFINITION, JSON, LABELS, architecture_code, write_container
from ssds.sif.format import FORMAT
from ssds.sif.squashfs import Written, write_squashfs

_TITLE = ("title", "version")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The image that a SIF is made of.

    Attributes:
        title: ``NAME:VERSION``, for people.
        manifest: digest of its manifest; config_bytes: its config as it stands.
    """

    title: str
    manifest: Digest
    config: Config
    config_bytes: bytes

    @property
    def platform(self) -> Platform:
        """The platform; raises IntegrityError (O124) where the config states none."""
        if self.config.platform is None:
            raise IntegrityError(
                f"the image {self.manifest.short} does not say for which platform it is",
                hint="Build it again.",
                code="O124",
            )
        return self.config.platform


@dataclass(frozen=True, slots=True, kw_only=True)
class Sif:
    """A SIF that was written.

    Attributes:
        digest, size_bytes: of the file.
        dropped: paths of devices and fifos that were left out.
    """

    digest: Digest
    size_bytes: int
    dropped: tuple[str, ...]


def write_sif(
    blobs: Blobs,
    manifest: Digest,
    out: IO[bytes],
    folder: str,
    *,
    stopping: Callable[[], bool] = lambda: False,
) -> Sif:
    """Writes the SIF of the image ``manifest`` to ``out``, an empty file that can seek.

    Args:
        blobs: has the manifest, the config, and each layer plain or compressed.
        folder: an empty folder for what is needed on the way; the caller removes it.
        stopping: True once the user asked to stop.

    Raises:
        UnavailableError: a blob is not here; O020, another zlib; O120 to O122, what no SIF holds.
        IntegrityError: a damaged or hostile layer.
    """
    image = parse_manifest(blobs.read(manifest))
    data = blobs.read(image.config.digest)
    config = parse_config(data)
    if len(config.diff_ids) != len(image.layers):
        raise IntegrityError(
            f"the image {manifest.short} has {len(image.layers)} layers and names "
            f"{len(config.diff_ids)} in its config",
            hint="Build it again.",
            code="O125",
        )
    tars = []
    for number, (layer, diff_id) in enumerate(zip(image.layers, config.diff_ids, strict=True)):
        if blobs.has(diff_id):
            path = blobs.path(diff_id)
            for _ in blobs.chunks(diff_id):  # checks the digest
                pass
        else:
            path = os.path.join(folder, f"{number}.tar")
            _uncompress(blobs, layer, diff_id, path)
        tars.append(path)
    named = (image.annotations.get(f"org.opencontainers.image.{n}", "") for n in _TITLE)
    subject = Subject(
        title=":".join(filter(None, named)) or "image",
        manifest=manifest,
        config=config,
        config_bytes=data,
    )
    return make_sif(subject, tars, os.path.join(folder, "runtime.tar"), out, stopping=stopping)


def _uncompress(blobs: Blobs, layer: Descriptor, diff_id: Digest, path: str) -> None:
    with blobs.open(layer.digest) as source, open(path, "wb") as sink:
        found, _ = decompress(source, sink, layer.media_type)
    if found != diff_id:
        raise IntegrityError(
            f"the layer {layer.digest.short} unpacks to {found.short}, not to {diff_id.short}",
            hint="The blob is damaged; run `ssds store verify` and fetch it again.",
            code="O126",
        )


def make_sif(
    subject: Subject,
    layer_tars: Sequence[str],
    scratch: str,
    out: IO[bytes],
    *,
    stopping: Callable[[], bool] = lambda: False,
) -> Sif:
    """Writes the SIF of an image; as ``write_sif``, from layers that were checked.

    Args:
        layer_tars: uncompressed layers, base first.
        scratch: path of a small file that is the caller's to remove.
    """
    config, platform = subject.config, subject.platform
    architecture_code(platform)  # says at once what cannot be
    epoch = max(config.created or 0, 0)
    labels = {**config.labels, "org.label-schema.schema-version": "1.0"}
    tree = flatten(layer_tars)
    write(scratch, runtime.runtime_layer(tree, config, labels, epoch=epoch))
    add_layer(tree, scratch, "the runtime's layer")
    reports: list[Written] = []

    def partition(file: IO[bytes]) -> int:
        reports.append(write_squashfs(tree, file, epoch=epoch, stopping=stopping))
        return reports[0].size_bytes

    definition = f"bootstrap: docker\nfrom: {subject.title}@{subject.manifest}\n"
    write_container(
        out,
        platform=platform,
        epoch=epoch,
        identity=canonical_bytes({"image": str(subject.manifest), "format": dict(FORMAT)}),
        objects=(
            (DEFINITION, "Def.FILE", definition.encode()),
            (LABELS, "labels.json", canonical_bytes(labels)),
            (JSON, "oci-config.json", subject.config_bytes),
            (JSON, "inspect-metadata.json", _inspected(config, labels, definition)),
        ),
        partition=partition,
    )
    size = out.tell()
    out.seek(0)
    found = hashlib.file_digest(out, "sha256")  # type: ignore[arg-type] # a file, as it wants
    return Sif(
        digest=Digest(f"sha256:{found.hexdigest()}"),
        size_bytes=size,
        dropped=reports[0].dropped,
    )


def _inspected(config: Config, labels: Mapping[str, str], definition: str) -> bytes:
    """Returns what ``apptainer inspect`` shows."""
    attributes: dict[str, Json] = {
        "labels": dict(labels),
        "deffile": definition,
        "runscript": runtime.runscript(config),
        "environment": {f"/{runtime.ENVIRONMENT}": runtime.environment_script(config)},
    }
    return canonical_bytes({"data": {"attributes": attributes}, "type": "container"})
