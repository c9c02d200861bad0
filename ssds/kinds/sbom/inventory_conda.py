"""Reads conda's records (``conda-meta/*.json``) of every environment in the image."""

from __future__ import annotations

import posixpath
import re

from ssds.core.errors import SsdsError
from ssds.core.text import printable
from ssds.kinds.sbom.package import Found, Owners, Package
from ssds.oci.document import load_document
from ssds.oci.flatten import FlatTree

RECORD_LIMIT_BYTES = 64 * 1024 * 1024
_RECORD = re.compile(r"(?:.*/)?conda-meta/[^/]+\.json")
_CHANNEL = re.compile(r"([^/]+)(?:/(?:noarch|linux-[a-z0-9_]+))?/?$")


def read(tree: FlatTree) -> Found:
    """Returns every conda package and the files that its record lists."""
    packages: list[Package] = []
    owners: Owners = {}
    unreadable: list[str] = []
    for path, entry in sorted(tree.entries.items()):
        if entry.type != "file" or not _RECORD.fullmatch(path):
            continue
        try:
            package, files = _package(tree, path)
        except SsdsError:
            unreadable.append(printable(path))
            continue
        packages.append(package)
        owners.update(dict.fromkeys(files, ("conda", package.name)))
    return Found(packages=tuple(packages), owners=owners, unreadable=tuple(unreadable))


def _package(tree: FlatTree, path: str) -> tuple[Package, list[str]]:
    data = tree.read(path, RECORD_LIMIT_BYTES)
    record = load_document(data, f"/{printable(path)}", limit_bytes=RECORD_LIMIT_BYTES)
    prefix = posixpath.dirname(posixpath.dirname(path))
    channel = _CHANNEL.search(record.text("channel", ""))
    stated = {
        "build": record.text("build", ""),
        "channel": channel[1] if channel else "",
        "subdir": record.text("subdir", ""),
    }
    licence = record.text("license", "")
    package = Package(
        type="conda",
        name=record.text("name"),
        version=record.text("version"),
        location=path,
        licence=licence if len(licence) <= 100 and licence.isprintable() else "",
        qualifiers=tuple(sorted((k, v) for k, v in stated.items() if v)),
    )
    files = [
        posixpath.normpath(posixpath.join("/", prefix, name)).strip("/")
        for name in record.texts("files", limit=1_000_000)
    ]
    return package, files
