"""Reads apk's database of installed packages.

Source: Alpine's apk-tools, apk-v2(5): one letter, a colon, a value; an empty line ends a package.
"""

from __future__ import annotations

import re

from ssds.kinds.sbom.package import Found, Owners, Package, damaged, file_at, plain_licence
from ssds.oci.flatten import FlatTree

DATABASES = ("lib/apk/db/installed", "usr/lib/apk/db/installed")
LIMIT_BYTES = 256 * 1024 * 1024
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._~-]{0,199}")


def read(tree: FlatTree) -> Found:
    """Returns the installed packages, with their origin, and the files that they own.

    Raises:
        IntegrityError: V005, the database is damaged; without it nothing can be said.
    """
    for path in DATABASES:
        if file_at(tree, path):
            return _database(path, tree.read(path, LIMIT_BYTES).decode("utf-8", "replace"))
    return Found(packages=())


def _database(path: str, text: str) -> Found:
    packages: list[Package] = []
    owners: Owners = {}
    for block in re.split(r"\n{2,}", text):
        fields: dict[str, str] = {}
        files: list[str] = []
        folder = ""
        for line in block.splitlines():
            letter, _, value = line.partition(":")
            if letter == "F":
                folder = value.strip("/")
            elif letter == "R":
                files.append(f"{folder}/{value}" if folder else value)
            else:
                fields.setdefault(letter, value)
        if not fields:
            continue
        package = _package(path, fields)
        packages.append(package)
        owners.update(dict.fromkeys(files, ("apk", package.name)))
    return Found(packages=tuple(sorted(packages)), owners=owners)


def _package(path: str, fields: dict[str, str]) -> Package:
    name, version = fields.get("P", ""), fields.get("V", "")
    if not _WORD.fullmatch(name) or not _WORD.fullmatch(version):
        raise damaged(path, "a package without name or version")
    return Package(
        type="apk",
        name=name,
        version=version,
        architecture=fields.get("A", "")[:40],
        source=fields.get("o", "") or name,
        source_version=version,
        location=path,
        licence=plain_licence(fields.get("L", "")),
    )
