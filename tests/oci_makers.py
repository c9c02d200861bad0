"""Makers of layers and releases for the tests of the OCI room."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from ssds.core.digest import Digest
from ssds.core.platform import Platform
from ssds.oci import types
from ssds.oci.blobs import Blobs
from ssds.oci.compress import compress_chunks
from ssds.oci.types import Descriptor

Item = tuple[str, ...] | tuple[str, str, bytes]


def entry(
    name: str,
    kind: str = "file",
    content: bytes = b"",
    target: str = "",
    mode: int | None = None,
    mtime: int = 1_000_000_000,
    pax: dict[str, str] | None = None,
) -> tuple[tarfile.TarInfo, bytes]:
    """One tar entry."""
    info = tarfile.TarInfo(name)
    info.type = {
        "file": tarfile.REGTYPE,
        "folder": tarfile.DIRTYPE,
        "symlink": tarfile.SYMTYPE,
        "hardlink": tarfile.LNKTYPE,
        "char": tarfile.CHRTYPE,
        "block": tarfile.BLKTYPE,
        "fifo": tarfile.FIFOTYPE,
    }[kind]
    info.linkname = target
    info.mode = mode if mode is not None else (0o755 if kind == "folder" else 0o644)
    info.mtime = mtime
    info.size = len(content) if kind == "file" else 0
    info.pax_headers = pax or {}
    return info, content


def folder(name: str, **more: object) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, "folder", **more)  # type: ignore[arg-type]


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, "symlink", target=target)


def hard(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, "hardlink", target=target)


def tar_bytes(
    entries: Iterable[tuple[tarfile.TarInfo, bytes]], form: int = tarfile.PAX_FORMAT
) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def write_tars(where: Path, layers: Sequence[Sequence[tuple[tarfile.TarInfo, bytes]]]) -> list[str]:
    paths = []
    for number, entries in enumerate(layers):
        path = where / f"layer-{number}.tar"
        path.write_bytes(tar_bytes(entries))
        paths.append(str(path))
    return paths


def put_image(blobs: Blobs, platform: str, layers: Sequence[bytes]) -> Descriptor:
    """Puts one image with gzip layers; returns its manifest's descriptor for an index."""
    diff_ids, descriptors = [], []
    for tar in layers:
        packed = b"".join(compress_chunks(iter([tar])))
        blobs.put(packed)
        diff_ids.append(Digest("sha256:" + hashlib.sha256(tar).hexdigest()))
        descriptors.append(types.descriptor_of(packed, types.LAYER_GZIP))
    config = types.config_bytes(
        platform=Platform(platform),
        diff_ids=diff_ids,
        created=1_700_000_000,
        environment={"PATH": "/usr/bin:/bin"},
        labels={"org.opencontainers.image.title": "probe"},
        history=[f"layer {i}" for i in range(len(layers))],
    )
    blobs.put(config)
    manifest = types.manifest_bytes(
        config=types.descriptor_of(config, types.CONFIG), layers=descriptors
    )
    blobs.put(manifest)
    return types.descriptor_of(manifest, types.MANIFEST, platform=Platform(platform))


def put_release(blobs: Blobs, mark: bytes = b"") -> Descriptor:
    """Puts a release of two platforms that share one layer; returns the index's descriptor."""
    shared = tar_bytes([folder("etc"), entry("etc/issue", content=b"shared\n" * 500)])
    manifests = []
    for platform in ("linux/amd64", "linux/arm64"):
        own = tar_bytes([entry("program", content=platform.encode() + mark, mode=0o755)])
        manifests.append(put_image(blobs, platform, [shared, own]))
    index = types.index_bytes(manifests, annotations={"org.example.name": "probe"})
    blobs.put(index)
    return types.descriptor_of(index, types.INDEX)
