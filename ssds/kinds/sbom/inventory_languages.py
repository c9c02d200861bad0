"""Reads installed packages of R, npm and Julia from the records in their own folders."""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Callable

from ssds.core.errors import IntegrityError, SsdsError
from ssds.core.text import printable
from ssds.kinds.sbom.package import Found, Owners, Package, plain_licence
from ssds.oci.document import load_document
from ssds.oci.flatten import FlatTree
from ssds.packages.debian import paragraph

RECORD_LIMIT_BYTES = 16 * 1024 * 1024
_R = re.compile(r"(?:.*/)?(?:site-)?library/([A-Za-z][A-Za-z0-9.]*)/DESCRIPTION")
_NPM = re.compile(r"(?:.*/)?node_modules/((?:@[^/]+/)?[^@/][^/]*)/package\.json")
_JULIA = re.compile(r"(?:.*/)?packages/([A-Za-z0-9_]+)/[A-Za-z0-9]{5}/Project\.toml")
_JULIA_MANIFEST = re.compile(r"(?:.*/)?environments/[^/]+/Manifest\.toml")
_WORD = re.compile(r"[A-Za-z0-9@._-][A-Za-z0-9@/.+_~-]{0,213}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,127}")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def read_r(tree: FlatTree) -> Found:
    """Returns R's installed packages; a source folder without ``Built`` is none.

    Source: Writing R Extensions, "The DESCRIPTION file". Names differ in case.
    """
    return _each(tree, _R, _r_package)


def read_npm(tree: FlatTree) -> Found:
    """Returns the packages in ``node_modules`` folders. Source: npm, package.json(5)."""
    return _each(tree, _NPM, _npm_package)


def read_julia(tree: FlatTree) -> Found:
    """Returns the packages of Julia's depots, and what manifests of environments name besides.

    Source: Pkg.jl, "Project.toml and Manifest.toml", manifest formats 1 and 2.
    """
    found = _each(tree, _JULIA, _julia_package)
    known = {(p.name, p.version) for p in found.packages}
    packages = list(found.packages)
    unreadable = list(found.unreadable)
    for path, entry in sorted(tree.entries.items()):
        if entry.type == "file" and _JULIA_MANIFEST.fullmatch(path):
            try:
                named = _manifest(tree, path)
            except (SsdsError, ValueError, RecursionError):
                unreadable.append(printable(path))
                continue
            packages += [p for p in named if (p.name, p.version) not in known]
            known.update((p.name, p.version) for p in named)
    return Found(packages=tuple(packages), owners=found.owners, unreadable=tuple(unreadable))


_Reader = Callable[[FlatTree, str], "Package | None"]


def _each(tree: FlatTree, records: re.Pattern[str], read: _Reader) -> Found:
    """Reads each record; the files in its folder are the package's, but for packages inside."""
    packages: list[Package] = []
    owners: Owners = {}
    unreadable: list[str] = []
    for path, entry in sorted(tree.entries.items()):
        if entry.type != "file" or not records.fullmatch(path):
            continue
        try:
            package = read(tree, path)
        except (SsdsError, ValueError, RecursionError):
            unreadable.append(printable(path))
            continue
        if package is None:
            continue
        packages.append(package)
        for inside in tree.walk(posixpath.dirname(path)):
            owners[inside.path] = (package.type, package.name)
    return Found(packages=tuple(packages), owners=owners, unreadable=tuple(unreadable))


def _checked(kind: str, name: object, version: object, path: str, **more: str) -> Package:
    if not isinstance(name, str) or not _WORD.fullmatch(name):
        raise IntegrityError(f"/{printable(path)}: it has no package name")
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise IntegrityError(f"/{printable(path)}: it has no version")
    licence = plain_licence(more.pop("licence", ""))
    return Package(
        type=kind,
        name=name,
        version=version,
        location=path,
        licence=licence,
        qualifiers=tuple(sorted((k, v) for k, v in more.items() if v)),
    )


def _r_package(tree: FlatTree, path: str) -> Package | None:
    text = tree.read(path, RECORD_LIMIT_BYTES).decode("utf-8", "replace")
    fields = paragraph(text.strip() + "\n")
    if "Built" not in fields:
        return None
    kind = "bioconductor" if "biocViews" in fields else "cran"
    return _checked(
        kind,
        fields.get("Package"),
        fields.get("Version"),
        path,
        licence=" ".join(fields.get("License", "").split()),
    )


def _npm_package(tree: FlatTree, path: str) -> Package | None:
    data = tree.read(path, RECORD_LIMIT_BYTES)
    record = load_document(data, f"/{printable(path)}", limit_bytes=RECORD_LIMIT_BYTES).map()
    if "name" not in record or "version" not in record:
        return None  # a folder of a package that only says how it is loaded
    licence = record.get("license", "")
    return _checked(
        "npm",
        record["name"],
        record["version"],
        path,
        licence=licence if isinstance(licence, str) else "",
    )


def _toml(tree: FlatTree, path: str) -> dict[str, object]:
    return tomllib.loads(tree.read(path, RECORD_LIMIT_BYTES).decode("utf-8"))


def _uuid(value: object) -> str:
    return value if isinstance(value, str) and _UUID.fullmatch(value) else ""


def _julia_package(tree: FlatTree, path: str) -> Package | None:
    record = _toml(tree, path)
    if "version" not in record:
        return None
    uuid = _uuid(record.get("uuid"))
    return _checked("julia", record.get("name"), record["version"], path, uuid=uuid)


def _manifest(tree: FlatTree, path: str) -> list[Package]:
    record = _toml(tree, path)
    named = record.get("deps", {}) if "manifest_format" in record else record
    found: list[Package] = []
    for name, entries in sorted(named.items()) if isinstance(named, dict) else ():
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and "version" in entry:
                uuid = _uuid(entry.get("uuid"))
                found.append(_checked("julia", name, entry["version"], path, uuid=uuid))
    return found
