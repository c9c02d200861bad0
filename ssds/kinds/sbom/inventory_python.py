"""Reads installed Python distributions from their metadata folders.

Sources: PyPA "Core metadata specifications" 2.4 and "Recording installed projects".
"""

from __future__ import annotations

import csv
import io
import posixpath
import re

from ssds.core.errors import SsdsError
from ssds.core.text import printable
from ssds.kinds.sbom.package import Found, Owners, Package
from ssds.oci.flatten import FlatTree

METADATA_LIMIT_BYTES = 1024 * 1024
RECORD_LIMIT_BYTES = 64 * 1024 * 1024
_RECORDS = re.compile(r"(?:.*/)?[^/]+(?:\.dist-info/METADATA|\.egg-info/PKG-INFO|\.egg-info)")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[0-9A-Za-z!.+_-]+")


def read(tree: FlatTree) -> Found:
    """Returns every Python distribution, wherever it lies, and the files that it recorded."""
    packages: list[Package] = []
    owners: Owners = {}
    unreadable: list[str] = []
    for path, entry in sorted(tree.entries.items()):
        if entry.type != "file" or not _RECORDS.fullmatch(path):
            continue
        package = _package(tree, path)
        if package is None:
            unreadable.append(printable(path))
            continue
        packages.append(package)
        if path.endswith(".dist-info/METADATA"):
            record = path.removesuffix("METADATA") + "RECORD"
            owners.update(dict.fromkeys(_recorded(tree, record), ("pypi", package.name)))
    return Found(packages=tuple(packages), owners=owners, unreadable=tuple(unreadable))


def _package(tree: FlatTree, path: str) -> Package | None:
    try:
        with tree.open(path) as file:
            text = file.read(METADATA_LIMIT_BYTES).decode("utf-8", "replace")
    except SsdsError:
        return None
    fields = _headers(text)
    name, version = fields.get("name", ""), fields.get("version", "")
    if not _NAME.fullmatch(name) or not _VERSION.fullmatch(version) or len(name + version) > 300:
        return None
    expression = fields.get("license-expression", "")
    stated = expression or fields.get("license", "")
    return Package(
        type="pypi",
        name=name,
        version=version,
        location=path,
        licence=stated if len(stated) <= 100 and stated.isprintable() else "",
        spdx=bool(expression),
    )


def _headers(text: str) -> dict[str, str]:
    """Returns the first value of each header, names in lower case; ends at the first empty line."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip():
            break
        name, colon, value = line.partition(":")
        if colon and line[0] not in " \t":
            fields.setdefault(name.strip().lower(), value.strip())
    return fields


def _recorded(tree: FlatTree, record: str) -> list[str]:
    """Returns the paths in a RECORD file, as paths of the image."""
    site = posixpath.dirname(posixpath.dirname(record))
    try:
        text = tree.read(record, RECORD_LIMIT_BYTES).decode("utf-8", "surrogateescape")
        rows = [row[0] for row in csv.reader(io.StringIO(text)) if row]
    except (SsdsError, csv.Error):
        return []
    return [posixpath.normpath(posixpath.join("/", site, row)).strip("/") for row in rows]
