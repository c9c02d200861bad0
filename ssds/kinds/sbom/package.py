"""What the readers of package databases give."""

from __future__ import annotations

from dataclasses import dataclass, field

from ssds.core.errors import IntegrityError
from ssds.oci.flatten import Entry, FlatTree

Owners = dict[str, tuple[str, str]]
"""Path without a leading slash → (package type, package name)."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Package:
    """One package that a database in the image names.

    Attributes:
        type: the purl's type: ``deb rpm apk pypi conda npm cran bioconductor julia``.
        source, source_version: of a distribution package, where it was built from.
        location: the path of its record, without a leading slash.
        owner: the distribution package that installed a language package, or the empty string.
        licence: as its record states it; an SPDX expression only where ``spdx`` is True.
        qualifiers: further purl qualifiers, sorted.
    """

    type: str
    name: str
    version: str
    architecture: str = ""
    source: str = ""
    source_version: str = ""
    location: str = ""
    owner: str = ""
    licence: str = ""
    spdx: bool = False
    qualifiers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one reader found: packages, owned paths, records that could not be read."""

    packages: tuple[Package, ...]
    owners: Owners = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()


def file_at(tree: FlatTree, path: str) -> Entry | None:
    """Returns the file that a path means, links followed, or None where there is none."""
    entry = tree.resolve(path)
    return entry if entry is not None and entry.type == "file" else None


def damaged(path: str, why: str) -> IntegrityError:
    """Returns V005: without its package database nothing can be said of an image."""
    return IntegrityError(
        f"the image's package database /{path} is damaged: {why}",
        hint="Look at the last build step that touched it; the base itself is checked.",
        code="V005",
    )


def plain_licence(text: str) -> str:
    """Returns a licence as a record states it, or the empty string for what is none."""
    return text if len(text) <= 200 and text.isprintable() else ""
