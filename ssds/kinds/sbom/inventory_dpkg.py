"""Reads dpkg's database: status, status.d (images without dpkg itself) and the file lists.

Sources: deb-control(5), dpkg(1) "Package states"; the ``status.d`` folder is a convention of
images that are put together from .deb files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ssds.core.errors import IntegrityError
from ssds.kinds.sbom.package import Found, Owners, Package, damaged, file_at
from ssds.oci.flatten import FlatTree
from ssds.packages.debian import paragraphs

STATUS = "var/lib/dpkg/status"
STATUS_FOLDER = "var/lib/dpkg/status.d"
INFO_FOLDER = "var/lib/dpkg/info"
STATUS_LIMIT_BYTES = 256 * 1024 * 1024
LIST_LIMIT_BYTES = 64 * 1024 * 1024
_ABSENT = ("not-installed", "config-files")
_SOURCE = re.compile(r"(\S+)(?: \(([^)\s]+)\))?")


def read(tree: FlatTree) -> Found:
    """Returns the installed Debian packages, with source name and version, and their files.

    Raises:
        IntegrityError: V005, the database is damaged; without it nothing can be said.
    """
    packages: dict[tuple[str, str], Package] = {}
    for path, fields in _records(tree):
        package = _package(path, fields)
        if package is not None:
            packages[package.name, package.architecture] = package
    return Found(packages=tuple(sorted(packages.values())), owners=_owners(tree))


def _records(tree: FlatTree) -> Iterator[tuple[str, dict[str, str]]]:
    paths = [STATUS] if file_at(tree, STATUS) else []
    paths += [
        f"{STATUS_FOLDER}/{name}"
        for name in tree.names(STATUS_FOLDER)
        if not name.endswith(".md5sums") and file_at(tree, f"{STATUS_FOLDER}/{name}")
    ]
    for path in paths:
        text = tree.read(path, STATUS_LIMIT_BYTES).decode("utf-8", "replace")
        try:
            for fields in paragraphs(text):
                yield path, fields
        except IntegrityError as error:
            raise damaged(path, error.message) from error


def _package(path: str, fields: dict[str, str]) -> Package | None:
    state = fields.get("Status", "install ok installed").split()
    name, version = fields.get("Package", ""), fields.get("Version", "")
    if not name or not version or (state and state[-1] in _ABSENT):
        return None
    match = _SOURCE.match(fields.get("Source", ""))
    return Package(
        type="deb",
        name=name,
        version=version,
        architecture=fields.get("Architecture", ""),
        source=match[1] if match else name,
        source_version=(match[2] or version) if match else version,
        location=path,
    )


def _owners(tree: FlatTree) -> Owners:
    """Returns path → package of every file list; links on the way to a file are followed."""
    owners: Owners = {}
    folders: dict[str, str] = {}
    for name in tree.names(INFO_FOLDER):
        if name.endswith(".list"):
            package = name.removesuffix(".list").partition(":")[0]
            for line in _lines(tree, f"{INFO_FOLDER}/{name}"):
                owners[_real(tree, line.strip("/"), folders)] = ("deb", package)
    for name in tree.names(STATUS_FOLDER):
        if name.endswith(".md5sums"):
            for line in _lines(tree, f"{STATUS_FOLDER}/{name}"):
                path = line.partition("  ")[2].strip("/")
                owners[_real(tree, path, folders)] = ("deb", name.removesuffix(".md5sums"))
    return owners


def _lines(tree: FlatTree, path: str) -> list[str]:
    if not file_at(tree, path):
        return []
    return tree.read(path, LIST_LIMIT_BYTES).decode("utf-8", "surrogateescape").splitlines()


def _real(tree: FlatTree, path: str, folders: dict[str, str]) -> str:
    """Returns where a listed path lies: dpkg says /lib/x where the image has /usr/lib/x."""
    folder, _, name = path.rpartition("/")
    real = folders.get(folder)
    if real is None:
        try:
            entry = tree.resolve(folder)
        except IntegrityError:
            entry = None
        real = folders[folder] = entry.path if entry else folder
    return f"{real}/{name}" if real else name
