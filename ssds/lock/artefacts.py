"""Every file that locks pin by digest: sources, packages of sets and of bases. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ssds.core.digest import Digest
from ssds.core.pins import GitPlace, PinnedFile, PlatformPins, SharedPins
from ssds.core.records import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """One pinned file.

    Attributes:
        file: what it is and where it may be had.
        git: for an archive that is made from a commit; ``file.urls`` are then repositories.
    """

    file: PinnedFile
    git: GitPlace | None = None


def artefacts(pins: Iterable[PlatformPins], shared: SharedPins) -> list[Artefact]:
    """Returns the files of these pins and of the bases that they name, each once, by name."""
    found: dict[Digest, Artefact] = {}
    bases: set[str] = set()
    for held in pins:
        bases.add(held.base)
        for artefact in _own(held):
            found.setdefault(artefact.file.digest, artefact)
    for (identity, _), pin in shared.bases.items():
        if identity in bases:
            for file in pin.files:
                found.setdefault(file.digest, Artefact(file=file))
    return sorted(found.values(), key=lambda a: (a.file.name, a.file.digest))


def _own(held: PlatformPins) -> Iterator[Artefact]:
    for source in held.sources.values():
        yield Artefact(file=source.file, git=source.git)
    for packages in held.packages.values():
        for package in packages.packages:
            yield Artefact(file=package.file)
