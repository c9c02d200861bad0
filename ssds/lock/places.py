"""Which pin of a lock a field of a key comes from, and where that pin stands. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ssds.core.model import Input, Node, NodeId
from ssds.core.patterns import pattern
from ssds.core.pins import PinnedPackage
from ssds.core.platform import Platform
from ssds.core.records import dataclass
from ssds.lock.marks import Path
from ssds.lock.model import DEFAULT_VARIANT, Lock, Locks, PlatformLock

_STEP_PACKAGE = pattern(r"slice\.steps\[(\d+)\]\.(?:packages|tools)(?:\.(.+))?", re.DOTALL)
_BASE_PACKAGE = pattern(r"slice\.packages\.(.+)", re.DOTALL)
_SHARED = ("", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class PinPlace:
    """One pin.

    Attributes:
        name: ``base debian-12@20260711``, ``package zlib1g``, ``source archive``.
        lock: name and version of the lock that has it; two empty texts for the shared pins.
        path: where it stands in that file.
    """

    name: str
    lock: tuple[str, str]
    path: Path


def pin_place(locks: Locks, node: Node, path: str) -> PinPlace | None:
    """Returns the pin that a field (a path in a pre-image) of a node's key comes from, or None."""
    if node.kind == "base":
        return _of_base(locks, node.id, path)
    if path.startswith("inputs."):
        role = path.removeprefix("inputs.")
        item = next((i for i in node.inputs if i.role == role), None)
        shared = _shared_input(locks, item) if item else None
        if shared is not None:
            return shared
    found = _section(locks, node.id)
    return None if found is None else _own(*found, node, path)


def _of_base(locks: Locks, base: NodeId, path: str) -> PinPlace | None:
    identity = f"{base.owner}@{base.part}"
    pin = locks.catalog.pins.bases.get((identity, base.platform))
    if pin is None:
        return None
    at: Path = ("bases", identity, "platforms", base.platform)
    package = _BASE_PACKAGE.fullmatch(path)
    if package is None:
        return PinPlace(name=f"base {identity}", lock=_SHARED, path=("bases", identity))
    row = _row(pin.packages.packages, package[1])
    return PinPlace(
        name=f"package {package[1]} of base {identity}",
        lock=_SHARED,
        path=(*at, "packages", "packages", *row),
    )


def _shared_input(locks: Locks, item: Input) -> PinPlace | None:
    """Returns the shared pin behind an input: a base, or an advisory set."""
    if item.node is not None and item.node.kind == "base" and item.node.part:
        return _of_base(locks, item.node, "")
    if item.role != "advisories":
        return None
    for identity, pin in locks.catalog.pins.advisories.items():
        if pin.digest == item.digest:
            path = ("advisories", identity)
            return PinPlace(name=f"advisory set {identity}", lock=_SHARED, path=path)
    return None


def variant_of(locks: Locks, owner: str) -> tuple[Lock, str] | None:
    """Returns the lock that holds the release ``name@version[+variant]``, and which variant.

    A version may have a ``+`` of its own.
    """
    name, _, rest = owner.partition("@")
    ends = [len(rest), *(i for i, letter in enumerate(rest) if letter == "+")]
    for end in ends:
        lock = locks.releases.get((name, rest[:end]))
        variant = rest[end + 1 :]
        if lock is not None and variant in lock.variants:
            return lock, variant
    return None


def _section(locks: Locks, node: NodeId) -> tuple[Lock, PlatformLock, Path] | None:
    """Returns the lock of a release's node, its platform's section, and where its pins stand."""
    found = variant_of(locks, node.owner) if node.platform else None
    if found is None:
        return None
    lock, variant = found
    section = lock.variants[variant].platforms.get(Platform(node.platform))
    if section is None:
        return None
    at = ("variants", variant or DEFAULT_VARIANT, "platforms", node.platform, "pins")
    return lock, section, at


def _own(lock: Lock, section: PlatformLock, at: Path, node: Node, path: str) -> PinPlace | None:
    identity, pins = (lock.name, lock.version), section.pins
    step = _STEP_PACKAGE.fullmatch(path)
    if step is not None:
        place = f"build/{step[1]}"
        held = pins.packages.get(place)
        if held is None:
            return None
        where: Path = (*at, "packages", place)
        if step[2] is None:
            return PinPlace(name=f"packages of {place}", lock=identity, path=where)
        row = _row(held.packages, step[2])
        return PinPlace(
            name=f"package {step[2]}",
            lock=identity,
            path=(*where, "packages", *row) if row else where,
        )
    if path == "source_date_epoch":
        return PinPlace(name="epoch", lock=identity, path=(*at, "epoch"))
    source = path.removeprefix("inputs.source/")
    if source != path and source in pins.sources:
        return PinPlace(name=f"source {source}", lock=identity, path=(*at, "sources", source))
    role = path.removeprefix("inputs.")
    item = next((i for i in node.inputs if i.role == role and i.node is not None), None)
    recipe = item.node.owner.partition("@")[0] if item and item.node else ""
    if role != path and recipe in pins.recipes:
        return PinPlace(name=f"recipe {recipe}", lock=identity, path=(*at, "recipes", recipe))
    return None


def _row(packages: Iterable[PinnedPackage], name: str) -> tuple[int, ...]:
    """Returns the index of a package, or nothing where the set has it no more."""
    found = [index for index, package in enumerate(packages) if package.name == name]
    return tuple(found[:1])
