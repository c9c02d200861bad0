"""Pins as canonical JSON, for a node's slice and hints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ssds.core.canonical import Json
from ssds.core.digest import Digest
from ssds.core.errors import InvalidValue
from ssds.core.model import Node
from ssds.core.pins import PinnedFile, PinnedPackage


def file_to_json(file: PinnedFile) -> dict[str, Json]:
    """Returns everything about a pinned file; for hints, never for a slice (it holds places)."""
    return {
        "name": file.name,
        "sha256": str(file.digest),
        "size": file.size_bytes,
        "archive": file.archive,
        "path": file.path,
        "urls": list(file.urls),
    }


def file_from_json(value: Json) -> PinnedFile:
    """Reads what ``file_to_json`` wrote; raises InvalidValue for anything else."""
    try:
        assert isinstance(value, Mapping)
        urls = value["urls"]
        assert isinstance(urls, list | tuple)
        return PinnedFile(
            name=str(value["name"]),
            digest=Digest(str(value["sha256"])),
            size_bytes=int(value["size"]),
            archive=str(value["archive"]),
            path=str(value["path"]),
            urls=tuple(str(url) for url in urls),
        )
    except (AssertionError, KeyError, TypeError) as error:
        raise InvalidValue("a pinned file in a node's hints is not well-formed") from error


def package_to_json(package: PinnedPackage) -> dict[str, Json]:
    """Returns everything about a pinned package; for hints."""
    return {**identity(package), "file": file_to_json(package.file)}


def package_from_json(value: Json) -> PinnedPackage:
    """Reads what ``package_to_json`` wrote."""
    if not isinstance(value, Mapping) or not {"name", "version", "architecture", "file"} <= set(
        value
    ):
        raise InvalidValue("a pinned package in a node's hints is not well-formed")
    return PinnedPackage(
        name=str(value["name"]),
        version=str(value["version"]),
        architecture=str(value["architecture"]),
        file=file_from_json(value["file"]),
        build=str(value.get("build", "")),
    )


def packages_from_json(value: Json) -> tuple[PinnedPackage, ...]:
    """Reads a list of packages."""
    if not isinstance(value, list | tuple):
        raise InvalidValue("the packages in a node's hints are no list")
    return tuple(package_from_json(item) for item in value)


def identity(package: PinnedPackage) -> dict[str, Json]:
    """Returns what a slice holds of a package: what it is, not where it is.

    A conda package's channel is written into the image, so it is a part of what it is.
    """
    found: dict[str, Json] = {
        "name": package.name,
        "version": package.version,
        "architecture": package.architecture,
        "sha256": str(package.file.digest),
    }
    if package.build:
        found |= {"build": package.build, "channel": package.channel}
    return found


def identities(packages: Iterable[PinnedPackage]) -> list[Json]:
    """Returns the identities of a set, sorted."""
    return [
        identity(package)
        for package in sorted(packages, key=lambda p: (p.name, p.architecture, p.version))
    ]


def files_of(node: Node) -> list[PinnedFile]:
    """Returns every file that the pins of a node fix by digest: packages, and a source's own."""
    packages = node.hints.get("packages", ())
    entries = packages.values() if isinstance(packages, Mapping) else packages
    assert isinstance(entries, Iterable)
    files = [package_from_json(entry).file for entry in entries]
    if node.kind == "base":
        own = node.hints.get("files", ())
        assert isinstance(own, Iterable)
        files += [file_from_json(entry) for entry in own]
    if node.kind == "source":
        files += [file_from_json(node.hints["file"])] if "file" in node.hints else []
    return files
