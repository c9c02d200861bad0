"""Joining two locks that grew apart (C11); ``ssds lock merge`` and the git merge driver.

A three-way merge of values, not of lines: platform sections made on different machines join; where
the joined sections are no longer what the index holds, index and revision are dropped and the
highest revision is kept, so that the next apply makes the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from ssds.core.errors import InputError, Refused
from ssds.core.model import Claim
from ssds.core.pins import PlatformPins, SharedPins
from ssds.core.platform import Platform
from ssds.host.files import atomic_write
from ssds.lock.model import (
    ADOPTED,
    BUILT,
    CatalogLock,
    IndexRecord,
    Lock,
    PlatformLock,
    VariantLock,
)
from ssds.lock.read import CATALOG_LOCK, DATA_FOLDER, read_catalog_lock, read_lock
from ssds.lock.write import catalog_lock_bytes, lock_bytes

T = TypeVar("T")
K = TypeVar("K")


class Conflicts:
    """Addresses that both sides changed in different ways."""

    def __init__(self) -> None:
        self.addresses: list[str] = []

    def three(self, base: T, ours: T, theirs: T, address: str) -> T:
        """Returns the value that changed; keeps the address when both did."""
        if theirs in (ours, base):
            return ours
        if ours != base:
            self.addresses.append(address)
        return theirs

    def maps(
        self,
        base: Mapping[str, T],
        ours: Mapping[str, T],
        theirs: Mapping[str, T],
        address: str,
    ) -> dict[str, T]:
        """Merges maps key by key; a key that one side removed is removed."""
        result = {}
        for key in sorted({*ours, *theirs}):
            sides = (base.get(key), ours.get(key), theirs.get(key))
            found = self.three(*sides, f"{address}.{key}")
            if found is not None:
                result[key] = found
        return result

    def refuse(self) -> None:
        """Raises Refused, with the first addresses, where there is any."""
        if self.addresses:
            places = ", ".join(self.addresses[:8])
            raise Refused(
                f"both sides changed {places}",
                hint="Take one side of the file, then run ssds lock or ssds apply to renew the "
                "rest.",
            )


def merge(base: Lock | None, ours: Lock, theirs: Lock) -> Lock:
    """Returns both locks joined; ``base`` is their common ancestor, if there is one.

    Raises:
        Refused: they are of different releases, or changed one thing in two ways (each is named).
    """
    if (ours.name, ours.version) != (theirs.name, theirs.version):
        raise Refused(
            f"{ours.name}@{ours.version} and {theirs.name}@{theirs.version} are different locks",
            hint="Merge two states of one lock file.",
        )
    start = base or Lock(name=ours.name, version=ours.version)
    conflicts = Conflicts()
    variants: dict[str, VariantLock] = {}
    for name in sorted({*ours.variants, *theirs.variants}):
        sides = (start.variants.get(name), ours.variants.get(name), theirs.variants.get(name))
        if None in sides[1:] and sides[0] is not None:
            found = conflicts.three(*sides, f"variants.{name or 'default'}")
        else:
            before, mine, other = (side or VariantLock() for side in sides)
            mine = mine if sides[1] else replace(mine, origin=other.origin)
            found = _variant(conflicts, before, mine, other, f"variants.{name or 'default'}")
        if found is not None:
            variants[name] = found
    conflicts.refuse()
    return Lock(name=ours.name, version=ours.version, variants=variants)


def _variant(
    c: Conflicts, base: VariantLock, ours: VariantLock, theirs: VariantLock, at: str
) -> VariantLock:
    platforms: dict[Platform, PlatformLock] = {}
    for p in sorted({*ours.platforms, *theirs.platforms}):
        sides = (base.platforms.get(p), ours.platforms.get(p), theirs.platforms.get(p))
        found = _section(c, sides, f"{at}.platforms.{p}")
        if found is not None:
            platforms[p] = found
    origins = {ours.origin, theirs.origin}
    if len(origins) > 1 and base.origin != ADOPTED:
        c.addresses.append(f"{at}.origin")
    index, revision = _index(base, ours, theirs, platforms)
    highest = max(ours.highest_revision, theirs.highest_revision)
    return VariantLock(
        origin=ours.origin if len(origins) == 1 else BUILT,
        revision=revision,
        superseded_revision=highest if highest > revision else 0,
        index=index,
        metadata=joined_claim(base.metadata, ours.metadata, theirs.metadata),
        identifiers=c.maps(
            base.identifiers, ours.identifiers, theirs.identifiers, f"{at}.identifiers"
        ),
        platforms=platforms,
        withdrawn=c.three(base.withdrawn, ours.withdrawn, theirs.withdrawn, f"{at}.withdrawn"),
    )


def _index(
    base: VariantLock,
    ours: VariantLock,
    theirs: VariantLock,
    platforms: Mapping[Platform, PlatformLock],
) -> tuple[IndexRecord | None, int]:
    """Returns the index that still holds the joined sections' manifests, else none."""
    mine, other = (ours.index, ours.revision), (theirs.index, theirs.revision)
    if other in (mine, (base.index, base.revision)):
        index, revision = mine
    elif mine == (base.index, base.revision):
        index, revision = other
    else:
        return None, 0
    for platform, digest in index.platforms.items() if index else ():
        section = platforms.get(platform)
        if section is None or section.release is None or section.release.manifest.digest != digest:
            return None, 0
    return index, revision


def joined_claim(base: Claim | None, ours: Claim | None, theirs: Claim | None) -> Claim | None:
    """Joins one claim; where both differ it is dropped, and the next apply writes it again."""
    if theirs in (ours, base):
        return ours
    return theirs if ours == base else None


def _section(
    c: Conflicts,
    sides: tuple[PlatformLock | None, PlatformLock | None, PlatformLock | None],
    at: str,
) -> PlatformLock | None:
    base, ours, theirs = sides
    if ours is None or theirs is None:
        return c.three(base, ours, theirs, at)
    start = base or PlatformLock()
    latest = {}
    for kind in sorted({*ours.latest, *theirs.latest}):
        found = joined_claim(start.latest.get(kind), ours.latest.get(kind), theirs.latest.get(kind))
        if found is not None:
            latest[kind] = found
    return PlatformLock(
        pins=_pins(c, start.pins, ours.pins, theirs.pins, f"{at}.pins"),
        release=c.three(start.release, ours.release, theirs.release, f"{at}.release"),
        latest=latest,
        adopted=c.three(start.adopted, ours.adopted, theirs.adopted, f"{at}.adopted"),
    )


def _pins(
    c: Conflicts, base: PlatformPins, ours: PlatformPins, theirs: PlatformPins, at: str
) -> PlatformPins:
    epoch = max(ours.epoch, theirs.epoch)  # the newest date among the inputs (C18)
    if base.epoch in (ours.epoch, theirs.epoch):
        epoch = c.three(base.epoch, ours.epoch, theirs.epoch, f"{at}.epoch")
    return PlatformPins(
        base=c.three(base.base, ours.base, theirs.base, f"{at}.base"),
        advisories=c.three(base.advisories, ours.advisories, theirs.advisories, f"{at}.advisories"),
        sources=c.maps(base.sources, ours.sources, theirs.sources, f"{at}.sources"),
        packages=c.maps(base.packages, ours.packages, theirs.packages, f"{at}.packages"),
        recipes=c.maps(base.recipes, ours.recipes, theirs.recipes, f"{at}.recipes"),
        epoch=epoch,
    )


def merge_catalog(base: CatalogLock | None, ours: CatalogLock, theirs: CatalogLock) -> CatalogLock:
    """Returns the shared pins of both; where both moved a name on, the later date is current.

    Raises:
        Refused: both sides changed one entry in two ways.
    """
    start = (base or CatalogLock()).pins
    c = Conflicts()
    mine, other = ours.pins, theirs.pins
    bases = {}
    for key in sorted({*mine.bases, *other.bases}):
        sides = (start.bases.get(key), mine.bases.get(key), other.bases.get(key))
        found = c.three(*sides, f"bases.{key[0]}.platforms.{key[1]}")
        if found is not None:
            bases[key] = found
    advisories = c.maps(start.advisories, mine.advisories, other.advisories, "advisories")
    c.refuse()
    known = {identity for identity, _ in bases} | set(advisories)
    current = {}
    for name in sorted({*mine.current, *other.current}):
        chosen = {mine.current.get(name, ""), other.current.get(name, "")}
        if len(chosen) > 1:
            chosen.discard(start.current.get(name, ""))
        if newest := max(chosen & known, default=""):
            current[name] = newest
    return CatalogLock(pins=SharedPins(bases=bases, advisories=advisories, current=current))


def merge_files(base: str, ours: str, theirs: str, *, name: str = "") -> bytes:
    """Returns the merged bytes of three lock files; ``name`` is the file's name in the tree.

    ``base`` may be empty or missing. git calls a merge driver with temporary names, so the kind of
    lock follows from ``name``.

    Raises:
        InputError: a side is no sound lock.
        Refused: a conflict.
    """
    folder, _, file = name.rpartition("/")
    if folder.rpartition("/")[2] == DATA_FOLDER:
        from ssds.lock.data_merge import merge_data_files

        return merge_data_files(base, ours, theirs, name=name)
    if file == CATALOG_LOCK:
        start = optional(base, name, read_catalog_lock)
        sides = [read_catalog_lock(path, shown=name) for path in (ours, theirs)]
        return catalog_lock_bytes(merge_catalog(start, *sides))
    mine, other = side(ours, name, read_lock), side(theirs, name, read_lock)
    return lock_bytes(merge(optional(base, name, read_lock), mine, other))


def side(path: str, name: str, read: Callable[..., T | None]) -> T:
    """Returns the lock at ``path``; raises Refused where there is none, InputError if unsound."""
    lock = read(path, shown=name)
    if lock is None:
        raise Refused(f"{path} does not exist", hint="Give two lock files that exist.")
    return lock


def optional(path: str, name: str, read: Callable[..., T | None]) -> T | None:
    """Returns the lock at ``path``; None where there is none, or none that is sound."""
    try:
        return read(path, shown=name)
    except InputError:
        return None  # git gives an empty file where there is no common ancestor


def merge_driver(base: str, ours: str, theirs: str, *, name: str) -> None:
    """Joins three lock files and puts the result at ``ours``, as git asks of a merge driver."""
    atomic_write(ours, merge_files(base, ours, theirs, name=name), point="lock-merge")


def advanced(now: SharedPins, before: SharedPins, after: SharedPins) -> SharedPins:
    """Returns ``now`` with what changed from ``before`` to ``after``; everything else stays.

    For two writers of one file: each brings its own changes and keeps the other's (C20).
    """
    return SharedPins(
        bases=_advanced(now.bases, before.bases, after.bases),
        advisories=_advanced(now.advisories, before.advisories, after.advisories),
        current=_advanced(now.current, before.current, after.current),
    )


def _advanced(now: Mapping[K, T], before: Mapping[K, T], after: Mapping[K, T]) -> dict[K, T]:
    changed = {key: value for key, value in after.items() if before.get(key) != value}
    gone = {key for key in before if key not in after}
    return {key: value for key, value in {**now, **changed}.items() if key not in gone}
