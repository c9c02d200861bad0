"""Images of others for tests: our own base's layer, and one more with whiteouts, as a layout."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from e2e_workspace import Site

from ssds.core.digest import Digest, sha256_of
from ssds.core.platform import Platform
from ssds.oci.flatten import flatten
from ssds.oci.layout import Layout
from ssds.oci.types import DOCKER_LAYER_GZIP, LAYER, Descriptor, descriptor_of, index_bytes
from ssds.oci.types import manifest_bytes as manifest_of

NAME = "docker.io/library/debian:12"
CREATED = "2026-07-20T10:00:00.5Z"
AMD64 = Platform("linux/amd64")
NOTHING: Mapping[str, str] = MappingProxyType({})
SETTINGS: dict[str, Any] = {
    "Env": ["PATH=/opt/their/bin:/usr/local/bin:/usr/bin:/bin", "THEIR_HOME=/opt/their"],
    "WorkingDir": "/opt/their",
    "Labels": {"org.example.kept": "yes", "org.opencontainers.image.version": "12"},
    "Cmd": ["their-command"],
}


def older(status: str, name: str, version: str) -> str:
    """Returns dpkg's status with an older version of a package."""
    paragraphs = status.split("\n\n")
    return "\n\n".join(
        re.sub(r"(?m)^Version: .*$", f"Version: {version}", text)
        if text.startswith(f"Package: {name}\n")
        else text
        for text in paragraphs
    )


def small_layer(text: str = "theirs", more: Mapping[str, str] = NOTHING) -> bytes:
    """Returns a tar with a program, a file that hides one below, and an opaque folder."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in (
            ("opt/their/bin/their-command", "#!/bin/sh\ncat /opt/their/text\n"),
            ("opt/their/text", text + "\n"),
            ("etc/.wh.issue.net", ""),
            ("usr/share/common-licenses/.wh..wh..opq", ""),
            *more.items(),
        ):
            data = content.encode()
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def base_layer(site: Site) -> Digest:
    """Returns the diffID of the base that the warm start has bootstrapped."""
    shared = json.loads((site.workspace / "lockfiles/catalog.lock.json").read_text())
    sections = [base["platforms"]["linux/amd64"] for base in shared["bases"].values()]
    return next(Digest(section["diff_id"]) for section in sections if "diff_id" in section)


def add_image(
    layout: Layout,
    site: Site,
    tag: str = NAME,
    *,
    text: str = "theirs",
    more: Mapping[str, str] = NOTHING,
    settings: dict[str, Any] | None = None,
    diff_ids: list[str] | None = None,
    platform: Platform = AMD64,
) -> Digest:
    """Puts an image of two layers under a tag of the layout; returns the index digest."""
    below = base_layer(site)
    place = Path(layout.blobs.folder) / below.hex
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        os.link(site.store / "blobs/sha256" / below.hex, place)
    small = small_layer(text, more)
    packed = gzip.compress(small, mtime=0)
    config = json.dumps(
        {
            **platform.oci(),
            "created": CREATED,
            "config": {**SETTINGS, **(settings or {})},
            "rootfs": {"type": "layers", "diff_ids": diff_ids or [below, sha256_of(small)]},
        }
    ).encode()
    layers = [
        Descriptor(media_type=LAYER, digest=below, size_bytes=place.stat().st_size),
        descriptor_of(packed, DOCKER_LAYER_GZIP),
    ]
    about = descriptor_of(config, "application/vnd.oci.image.config.v1+json")
    manifest = manifest_of(config=about, layers=layers)
    entry = descriptor_of(manifest, "application/vnd.oci.image.manifest.v1+json", platform=platform)
    index = index_bytes([entry])
    for data in (packed, config, manifest, index):
        layout.put_blob(data)
    top = descriptor_of(index, "application/vnd.oci.image.index.v1+json")
    layout.set_tags({tag: top})
    return top.digest


def status_of(site: Site) -> str:
    """Returns dpkg's status file of the base that the warm start has bootstrapped."""
    tree = flatten([str(site.blob(base_layer(site)))])
    return tree.read("var/lib/dpkg/status", 1 << 24).decode()
