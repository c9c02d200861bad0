"""Makers for ship's tests: images from a folder, locks for them, a site, trees that run."""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rootfs import tiny_rootfs

from ssds.core.canonical import canonical_bytes
from ssds.core.digest import ActionKey, Digest, sha256_of
from ssds.core.model import Claim, ReleaseName
from ssds.core.platform import Platform
from ssds.lock.model import (
    IndexRecord,
    LayerRecord,
    Lock,
    PlatformLock,
    ReleaseHalf,
    SifRecord,
    SizedBlob,
    VariantLock,
)
from ssds.lock.write import with_variant
from ssds.oci import types
from ssds.oci.blobs import Blobs
from ssds.recipe.model import Site
from ssds.ship.generation import Entry
from ssds.sif.artefact import sif_manifest
from ssds.sif.image import write_sif

AMD64 = Platform("linux/amd64")
PROGRAMS = (
    *("cat", "cp", "env", "false", "id", "ls", "mkdir", "mount", "pwd", "readlink", "rm"),
    *("setpriv", "sh", "sleep", "stat", "touch", "true", "umount", "unshare"),
)
ABOUT = {
    "metadata_version": 1,
    "fields": {
        "summary": "Tools for alignments",
        "description": "Reads and writes alignments.",
        "homepage": "https://example.org/tool",
        "licenses": ["MIT"],
        "categories": ["genomics"],
        "citations": [{"doi": "10.1000/xyz", "title": "A paper"}],
        "deploy": {"environment": {"TOOL_DATA": "/opt/data"}},
    },
}


def first_image(entry: Entry) -> Digest:
    """The image of the site's first choice."""
    return next(iter(entry.images.values()))


def site(**more: object) -> Site:
    known = Site(name="example", platforms=(AMD64,), runtimes=("apptainer", "singularity", "plain"))
    return replace(known, **more)  # type: ignore[arg-type]


@functools.cache
def root_tar() -> bytes:
    """The tar of a tiny root file system, made once."""
    with tempfile.TemporaryDirectory() as folder:
        tiny_rootfs(folder, PROGRAMS)
        return tar_of(folder)


def tar_of(folder: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in sorted(os.listdir(folder)):
            tar.add(f"{folder}/{name}", arcname=name)
    return out.getvalue()


def small_tar(files: Mapping[str, bytes | str | tarfile.TarInfo]) -> bytes:
    """A tar of files (bytes), links (text) and whatever else (TarInfo)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            data = content if isinstance(content, bytes) else b""
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            elif isinstance(content, bytes):
                info.mode, info.size = 0o755, len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def script(text: str) -> bytes:
    return f"#!/bin/sh\n{text}\n".encode()


def key(text: str) -> ActionKey:
    return ActionKey("blake3:" + hashlib.sha256(text.encode()).hexdigest())


def image(
    blobs: Blobs,
    layers: Sequence[bytes],
    commands: Sequence[str],
    env: Mapping[str, str],
    platform: Platform = AMD64,
) -> ReleaseHalf:
    """Keeps an image's compressed layers, config and manifest; returns its half of a lock."""
    records, descriptors = [], []
    for tar in layers:
        packed = gzip.compress(tar, 1, mtime=0)
        digest = blobs.put(packed)
        size = len(packed)
        records.append(LayerRecord(digest=digest, size_bytes=size, diff_id=sha256_of(tar)))
        descriptors.append(
            types.Descriptor(media_type=types.LAYER_GZIP, digest=digest, size_bytes=size)
        )
    config = canonical_bytes(
        {
            **platform.oci(),
            "config": {"Env": [f"{name}={value}" for name, value in env.items()]},
            "rootfs": {"type": "layers", "diff_ids": [str(r.diff_id) for r in records]},
        }
    )
    blobs.put(config)
    manifest = types.manifest_bytes(
        config=types.descriptor_of(config, types.CONFIG), layers=descriptors
    )
    blobs.put(manifest)
    return ReleaseHalf(
        actions={},
        manifest=SizedBlob(digest=sha256_of(manifest), size_bytes=len(manifest)),
        config=SizedBlob(digest=sha256_of(config), size_bytes=len(config)),
        layers=tuple(records),
        commands=tuple(sorted(commands)),
    )


def release(
    blobs: Blobs,
    half: ReleaseHalf,
    *,
    name: str = "tool",
    version: str = "1.0",
    variant: str = "",
    before: Lock | None = None,
    about: object = ABOUT,
    others: Mapping[Platform, ReleaseHalf] | None = None,
) -> Lock:
    """A lock that offers an image, or one for each platform, the next revision of ``before``."""
    halves = {AMD64: half, **(others or {})}
    id_ = ReleaseName(name, version, variant)
    manifests = [
        types.Descriptor(
            media_type=types.MANIFEST,
            digest=found.manifest.digest,
            size_bytes=found.manifest.size_bytes,
            platform=platform,
        )
        for platform, found in halves.items()
    ]
    data = types.index_bytes(manifests)
    digest = blobs.put(data)
    index = IndexRecord(
        digest=digest,
        size_bytes=len(data),
        key=key(str(digest)),
        platforms={p: found.manifest.digest for p, found in halves.items()},
    )
    metadata = blobs.put(canonical_bytes(about))  # type: ignore[arg-type]
    claim = Claim(key=key(str(metadata)), kind="metadata", outputs={"metadata": metadata})
    old = before.variants.get(variant, VariantLock()) if before else VariantLock()
    known = before or Lock(name=name, version=version)
    sections = {p: PlatformLock(release=found) for p, found in halves.items()}
    lock = replace(known, variants={**known.variants, variant: replace(old, platforms=sections)})
    made = replace(lock.variant(id_).with_index(index), metadata=claim)
    return with_variant(lock, id_, made)


def releasable_index(lock: Lock) -> types.Descriptor:
    """The descriptor of the index that a lock of one variant offers."""
    (variant,) = lock.variants.values()
    assert variant.index is not None
    return types.Descriptor(
        media_type=types.INDEX, digest=variant.index.digest, size_bytes=variant.index.size_bytes
    )


def with_sif(blobs: Blobs, half: ReleaseHalf) -> ReleaseHalf:
    """The half with the image's SIF file, which is kept too."""
    with tempfile.TemporaryDirectory() as folder, open(f"{folder}/x.sif", "w+b") as file:
        made = write_sif(blobs, half.manifest.digest, file, folder)
        file.seek(0)
        blobs.put(file.read())
    manifest = blobs.put(data := sif_manifest(made.digest, made.size_bytes, {}))
    record = SifRecord(
        file=SizedBlob(digest=made.digest, size_bytes=made.size_bytes),
        manifest=SizedBlob(digest=manifest, size_bytes=len(data)),
    )
    return replace(half, sif=record)


def tool_layer() -> bytes:
    """Commands that show what a program sees."""
    return small_tar(
        {
            "usr/bin/tool": script('printf "%s\\n" "$@"'),
            "usr/bin/show": script('eval "$1"'),
            "usr/bin/sibling": script('exec "$TOOL_WRAPPERS/tool" inner "$@"'),
            "opt/x/bin/aside": script("echo aside"),
            "opt/absolute": "/usr/bin/tool",
        }
    )


def tool_lock(blobs: Blobs, *more: bytes, **options: object) -> Lock:
    commands = ("tool", "show", "sibling", "/opt/x/bin/aside", "cat", "sleep", "false")
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "IMAGE_VALUE": "from the image's $HOME"}
    half = image(blobs, [root_tar(), tool_layer(), *more], commands, env)
    return release(blobs, half, **options)  # type: ignore[arg-type]


def run(
    argv: Sequence[str],
    *,
    user: int = 0,
    cwd: str | None = None,
    stdin: bytes = b"",
    **env: str,
) -> subprocess.CompletedProcess[bytes]:
    """Runs a program with a small environment, as another user where asked."""
    prefix = []
    if user and os.geteuid() == 0:
        prefix = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    given = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/nonexistent", **env}
    return subprocess.run(
        [*prefix, *argv],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        env=given,
        timeout=60,
        check=False,
    )


def digest_of(text: str) -> Digest:
    return sha256_of(text.encode())
