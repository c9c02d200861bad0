"""Layers into the engine, and the layer that a step made out of it, as docker-archives."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Sequence
from typing import Any

from ssds.builders.docker_engine.client import (
    BASES,
    CHUNK,
    STEPS,
    Client,
    known,
    sdk_errors,
    untag,
)
from ssds.builders.plug import Layer, Work, chain_name
from ssds.core.canonical import canonical_bytes
from ssds.core.digest import sha256_of
from ssds.core.errors import EnvironmentProblem
from ssds.oci.document import load_document
from ssds.oci.types import config_bytes

_DOCUMENT_LIMIT = 16 << 20


def image_of(client: Client, work: Work) -> str:
    """Returns the name of an image with exactly these layers; brings what the engine lacks."""
    name = _name(work.layers)
    if known(client, name):
        return name
    lower = next(
        (n for n in range(len(work.layers) - 1, 0, -1) if known(client, _name(work.layers[:n]))),
        0,
    )
    try:
        client.load_image(_archive(work, name, lower))
    except sdk_errors().APIError:
        if not lower:
            raise
        client.load_image(_archive(work, name, 0))  # an engine that wants every layer again
    if not known(client, name):
        raise EnvironmentProblem(
            "the Docker Engine took the layers and has no image of them",
            hint="Look at the engine's log.",
            code="H003",
        )
    if lower > 1:
        untag(client, _name(work.layers[:lower]))
    return name


def _name(layers: Sequence[Layer]) -> str:
    chain = chain_name(layers)
    return f"{BASES}:{chain}" if len(layers) == 1 else f"{STEPS}:{os.getpid()}-{chain}"


def _archive(work: Work, name: str, there: int) -> Iterator[bytes]:
    """Gives a docker-archive of the layers, without the tars of the first ``there`` ones."""
    config = config_bytes(
        platform=work.platform, diff_ids=[layer.digest for layer in work.layers], created=0
    )
    file = f"{sha256_of(config).hex}.json"
    tars = [f"{layer.digest.hex}/layer.tar" for layer in work.layers]
    manifest = [{"Config": file, "RepoTags": [name], "Layers": list[Any](tars)}]
    for member, data in ((file, config), ("manifest.json", canonical_bytes(manifest))):
        yield from (_header(member, len(data)), data, _padding(len(data)))
    for member, layer in list(zip(tars, work.layers, strict=True))[there:]:
        size = os.path.getsize(layer.tar)
        yield _header(member, size)
        with open(layer.tar, "rb") as source:
            while chunk := source.read(CHUNK):
                yield chunk
        yield _padding(size)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def last_layer(saved: str, target: str, below: int) -> bool:
    """Copies the last layer of a docker-archive; returns False where there is none on top.

    Raises:
        EnvironmentProblem: the archive is not what an engine writes.
    """
    try:
        with tarfile.open(saved) as archive:
            manifest = b'{"images":' + _read(archive, "manifest.json") + b"}"
            entry = load_document(manifest, "the engine's archive").items("images", limit=1)[0]
            config = load_document(_read(archive, entry.text("Config")), "the engine's config")
            count = len(config.child("rootfs").texts("diff_ids"))
            if count == below:
                return False
            layers = entry.texts("Layers")
            if count != below + 1 or len(layers) != below + 1:
                raise KeyError("the last layer")
            source = archive.extractfile(layers[-1])
            if source is None:
                raise KeyError(layers[-1])
            with open(target, "wb") as file:
                while chunk := source.read(CHUNK):
                    file.write(chunk)
    except (tarfile.TarError, KeyError, IndexError) as error:
        raise EnvironmentProblem(
            f"the Docker Engine gave an archive that cannot be read: {error}",
            hint="Look at the engine's log.",
            code="H004",
        ) from error
    return True


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    source = archive.extractfile(name)
    if source is None:
        raise KeyError(name)
    return source.read(_DOCUMENT_LIMIT)
