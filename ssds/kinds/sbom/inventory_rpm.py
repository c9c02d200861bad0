"""Reads rpm's database: sqlite or ndb. Berkeley DB is left unread, and said."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from ssds.core.errors import IntegrityError
from ssds.kinds.sbom.package import Found, Owners, Package, damaged, file_at, plain_licence
from ssds.kinds.sbom.rpm_database import LIMIT_BYTES, ndb_headers, sqlite_headers
from ssds.kinds.sbom.rpm_header import LIMIT_PATHS, RpmHeader, read_header
from ssds.oci.flatten import FlatTree

FOLDERS = ("var/lib/rpm", "usr/lib/sysimage/rpm")
_READERS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "rpmdb.sqlite": sqlite_headers,
    "Packages.db": ndb_headers,
}
_SOURCE = re.compile(r"(.+)-([^-]+)-([^-]+)\.(?:no)?src\.rpm")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._~^-]{0,199}")


def read(tree: FlatTree) -> Found:
    """Returns the installed packages, with their source package, and the files that they own.

    Raises:
        IntegrityError: V005, the database is damaged; without it nothing can be said.
    """
    packages: list[Package] = []
    owners: Owners = {}
    total = 0
    for path in database_paths(tree):
        try:
            for data in _READERS[path.rpartition("/")[2]](tree.read(path, LIMIT_BYTES)):
                header = read_header(data)
                if header.name == "gpg-pubkey":  # a key that rpm keeps as a package
                    continue
                package = _package(path, header)
                packages.append(package)
                total += sum(map(len, header.files))
                if total > LIMIT_PATHS:
                    raise IntegrityError("its packages' names of files are too long")
                for name in header.files:
                    owners[_real(tree, name.strip("/"))] = ("rpm", package.name)
        except IntegrityError as error:
            raise damaged(path, error.message) from error
    return Found(packages=tuple(sorted(set(packages))), owners=owners)


def database_paths(tree: FlatTree) -> list[str]:
    """Returns the paths of the databases that are read, real, each once."""
    found: set[str] = set()
    for folder in FOLDERS:
        for name in _READERS:
            if entry := file_at(tree, f"{folder}/{name}"):
                found.add(entry.path)
    return sorted(found)


def is_unread(tree: FlatTree) -> bool:
    """Whether there is a database that is not read: Berkeley DB, or a log with unwritten pages."""
    for folder in FOLDERS:
        wal = file_at(tree, f"{folder}/rpmdb.sqlite-wal")
        if wal is not None and wal.size_bytes > 0:
            return True
        if file_at(tree, f"{folder}/Packages") and not database_paths(tree):
            return True
    return False


def _package(path: str, header: RpmHeader) -> Package:
    if not _WORD.fullmatch(header.name) or not _WORD.fullmatch(header.version):
        raise IntegrityError(f"a package has the name {header.name[:40]!r}")
    version = f"{header.version}-{header.release}" if header.release else header.version
    source = _SOURCE.fullmatch(header.source_rpm)
    source_version = f"{source[2]}-{source[3]}" if source else version
    epoch = str(header.epoch) if header.epoch else ""
    stated = {"epoch": epoch, "rpmmod": header.module}
    return Package(
        type="rpm",
        name=header.name,
        version=version,
        architecture=header.architecture[:40],
        source=source[1] if source else header.name,
        source_version=source_version,
        location=path,
        licence=plain_licence(header.licence),
        qualifiers=tuple(sorted((k, v) for k, v in stated.items() if v and len(v) <= 300)),
    )


def _real(tree: FlatTree, path: str) -> str:
    folder, _, name = path.rpartition("/")
    if folder in tree.children:
        return path
    try:
        entry = tree.resolve(folder)
    except IntegrityError:
        entry = None
    return f"{entry.path}/{name}" if entry is not None and entry.path else path
