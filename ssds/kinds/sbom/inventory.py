"""The inventory of an image: which packages its databases name, and what no database knows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ssds.kinds.sbom import (
    inventory_apk,
    inventory_conda,
    inventory_dpkg,
    inventory_languages,
    inventory_python,
    inventory_rpm,
)
from ssds.kinds.sbom.package import Found, Owners, Package, file_at
from ssds.oci.flatten import FlatTree

OS_RELEASE_LIMIT_BYTES = 64 * 1024
_ASSIGNMENT = re.compile(r"([A-Z][A-Z0-9_]*)=(.*)")
_DATABASES = (
    "var/lib/dpkg/",
    "var/lib/apt/",
    "var/lib/rpm/",
    "usr/lib/sysimage/rpm/",
    "lib/apk/db/",
    "usr/lib/apk/db/",
)
_PACMAN = "var/lib/pacman/local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """What /usr/lib/os-release says; empty texts where it says nothing."""

    id: str = ""
    version: str = ""
    codename: str = ""
    title: str = ""

    @property
    def qualifier(self) -> str:
        """The purl qualifier ``distro`` (``debian-12``)."""
        release = self.version or self.codename
        return f"{self.id}-{release}" if self.id and release else self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What is in an image.

    Attributes:
        distribution: what os-release says.
        packages: sorted.
        files: files and symbolic links in the image, package databases aside.
        owned: how many of them each package system knows (``deb``, ``pypi``, ``conda`` …).
        unreadable: paths of package records that could not be read, sorted.
        unread: package systems whose database is there but is not read (``rpm``), sorted.
    """

    distribution: Distribution
    packages: tuple[Package, ...]
    files: int
    owned: Mapping[str, int] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def unowned(self) -> int:
        """How many files no package system knows."""
        return self.files - sum(self.owned.values())


def take(tree: FlatTree) -> Inventory:
    """Returns the inventory of the merged view; nothing is executed.

    Raises:
        IntegrityError: the package database of the distribution is damaged.
    """
    system = _together([r.read(tree) for r in (inventory_dpkg, inventory_rpm, inventory_apk)])
    languages = [
        inventory_conda.read(tree),
        inventory_languages.read_npm(tree),
        inventory_languages.read_r(tree),
        inventory_languages.read_julia(tree),
        inventory_python.read(tree),
    ]
    rest = _together(languages)
    owners = {**rest.owners, **system.owners}
    return Inventory(
        distribution=read_distribution(tree),
        packages=tuple(sorted((*system.packages, *_with_owner(rest, system)))),
        files=sum(1 for _ in _counted(tree)),
        owned=_owned(tree, owners),
        unreadable=tuple(sorted(rest.unreadable)),
        unread=_unread(tree),
    )


def _together(found: Sequence[Found]) -> Found:
    """Returns what several readers found; of two that claim a file, the later one has it."""
    owners: Owners = {}
    for one in found:
        owners.update(one.owners)
    return Found(
        packages=tuple(p for one in found for p in one.packages),
        owners=owners,
        unreadable=tuple(path for one in found for path in one.unreadable),
    )


def _unread(tree: FlatTree) -> tuple[str, ...]:
    """Returns the systems whose database is not read: their packages must not pass as absent."""
    rpm = ("rpm",) if inventory_rpm.is_unread(tree) else ()
    return (*(("pacman",) if _filled(tree, _PACMAN) else ()), *rpm)


def _filled(tree: FlatTree, path: str) -> bool:
    """Whether there is a file, or a folder with something in it."""
    entry = tree.get(path)
    return entry is not None and (entry.type == "file" or bool(tree.names(path)))


def _with_owner(found: Found, system: Found) -> list[Package]:
    """Returns language packages, each with the distribution package that installed it."""
    return [
        replace(p, owner=owner[1]) if (owner := system.owners.get(p.location)) else p
        for p in found.packages
    ]


def _counted(tree: FlatTree) -> list[str]:
    return [
        path
        for path, entry in tree.entries.items()
        if entry.type in ("file", "symlink") and not path.startswith(_DATABASES)
    ]


def _owned(tree: FlatTree, owners: Owners) -> dict[str, int]:
    counts: dict[str, int] = {}
    for path in _counted(tree):
        owner = owners.get(path) or owners.get(_source_of_bytecode(path))
        if owner:
            counts[owner[0]] = counts.get(owner[0], 0) + 1
    return counts


def _source_of_bytecode(path: str) -> str:
    """Returns the .py file that a __pycache__ file was made from, or the empty string."""
    folder, _, name = path.rpartition("/__pycache__/")
    return f"{folder}/{name.partition('.')[0]}.py" if name.endswith(".pyc") else ""


def read_distribution(tree: FlatTree) -> Distribution:
    """Returns what os-release says; an image without one has an empty distribution."""
    values: dict[str, str] = {}
    for path in ("etc/os-release", "usr/lib/os-release"):
        if not file_at(tree, path):
            continue
        text = tree.read(path, OS_RELEASE_LIMIT_BYTES).decode("utf-8", "replace")
        for line in text.splitlines():
            match = _ASSIGNMENT.fullmatch(line.strip())
            if match:
                values[match[1]] = match[2].strip("\"'")
        break
    return Distribution(
        id=values.get("ID", "").lower()[:100],
        version=values.get("VERSION_ID", "")[:100],
        codename=values.get("VERSION_CODENAME", "")[:100],
        title=values.get("PRETTY_NAME", "")[:200],
    )
