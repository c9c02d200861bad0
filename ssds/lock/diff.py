"""What differs between two locks, in words that a reviewer reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ssds.core.model import Claim
from ssds.core.pins import BasePin, PackageSet, PlatformPins
from ssds.lock.model import CatalogLock, Lock, PlatformLock, ReleaseHalf, VariantLock


@dataclass(frozen=True, slots=True, kw_only=True)
class LockChange:
    """One difference: what it is of, and the texts before and after ("" = not there)."""

    address: str
    before: str
    after: str

    def render(self) -> str:
        """Returns one line."""
        if not self.before:
            return f"+ {self.address}: {self.after}"
        if not self.after:
            return f"- {self.address}: {self.before}"
        return f"~ {self.address}: {self.before} -> {self.after}"


def diff(old: Lock | None, new: Lock | None) -> tuple[LockChange, ...]:
    """Returns the differences, by variant and platform; None stands for "no lock"."""
    before, after = (lock.variants if lock else {} for lock in (old, new))
    some = new or old
    found: list[LockChange] = []
    for name in sorted({*before, *after}):
        title = str(some.release_name(name)) if some else name
        found += _variant(before.get(name, VariantLock()), after.get(name, VariantLock()), title)
    return tuple(found)


def one_change(address: str, before: object, after: object) -> Iterator[LockChange]:
    """Gives the change of one thing, if there is any."""
    if before != after:
        yield LockChange(address=address, before=str(before or ""), after=str(after or ""))


def _variant(old: VariantLock, new: VariantLock, at: str) -> Iterator[LockChange]:
    yield from one_change(f"{at} revision", _revision(old), _revision(new))
    told = (said.text if said else "" for said in (old.withdrawn, new.withdrawn))
    yield from one_change(f"{at} withdrawn", *told)
    yield from claim_changes(
        {"metadata": old.metadata} if old.metadata else {},
        {"metadata": new.metadata} if new.metadata else {},
        at,
    )
    for name in sorted({*old.identifiers, *new.identifiers}):
        yield from one_change(f"{at} {name}", old.identifiers.get(name), new.identifiers.get(name))
    for platform in sorted({*old.platforms, *new.platforms}):
        yield from _platform(
            old.platforms.get(platform, PlatformLock()),
            new.platforms.get(platform, PlatformLock()),
            f"{at} {platform}",
        )


def _revision(variant: VariantLock) -> str:
    return f"r{variant.revision} {variant.index.digest.short}" if variant.index else ""


def _platform(old: PlatformLock, new: PlatformLock, at: str) -> Iterator[LockChange]:
    yield from _pins(old.pins, new.pins, at)
    yield from _release(old.release, new.release, at)
    yield from claim_changes(old.latest, new.latest, at)
    before, after = (
        f"{s.adopted.digest.short} at {s.adopted.locations[0]}" if s.adopted else ""
        for s in (old, new)
    )
    yield from one_change(f"{at} adopted", before, after)


def _release(old: ReleaseHalf | None, new: ReleaseHalf | None, at: str) -> Iterator[LockChange]:
    yield from one_change(f"{at} image", _image(old), _image(new))
    before, after = (set(half.offered) if half else set() for half in (old, new))
    for command in sorted(before ^ after):
        there = "offered" if command in before else ""
        yield from one_change(f"{at} command {command}", there, "" if there else "offered")
    yield from claim_changes(old.actions if old else {}, new.actions if new else {}, at)


def _image(half: ReleaseHalf | None) -> str:
    if half is None:
        return ""
    mib = sum(layer.size_bytes for layer in half.layers) / 2**20
    return f"{half.manifest.digest.short} ({len(half.layers)} layers, {mib:.1f} MiB)"


def claim_changes(
    old: Mapping[str, Claim], new: Mapping[str, Claim], at: str
) -> Iterator[LockChange]:
    """Gives the changes of claims by kind or action."""
    for kind in sorted({*old, *new}):
        yield from one_change(f"{at} {kind}", _claim(old.get(kind)), _claim(new.get(kind)))


def _claim(claim: Claim | None) -> str:
    if claim is None:
        return ""
    words = [claim.verdict, claim.key.short, claim.mode]
    words += ["emulated"] if claim.emulated else []
    words += ["impure"] if claim.impure else []
    return " ".join(word for word in words if word)


def _pins(old: PlatformPins, new: PlatformPins, at: str) -> Iterator[LockChange]:
    yield from one_change(f"{at} base", old.base, new.base)
    yield from one_change(f"{at} advisories", old.advisories, new.advisories)
    yield from one_change(f"{at} epoch", old.epoch, new.epoch)
    for name in sorted({*old.sources, *new.sources}):
        before, after = (
            f"{p.file.name} {p.file.digest.short}" if (p := pins.sources.get(name)) else ""
            for pins in (old, new)
        )
        yield from one_change(f"{at} source {name}", before, after)
    for name in sorted({*old.recipes, *new.recipes}):
        before, after = (
            pin.version if (pin := pins.recipes.get(name)) else "" for pins in (old, new)
        )
        yield from one_change(f"{at} recipe {name}", before, after)
    for step in sorted({*old.packages, *new.packages}):
        yield from _set(old.packages.get(step), new.packages.get(step), f"{at} {step}")


def _set(old: PackageSet | None, new: PackageSet | None, at: str) -> Iterator[LockChange]:
    before, after = (_versions(found) if found else {} for found in (old, new))
    for name in sorted({*before, *after}):
        was, now = before.get(name), after.get(name)
        same_version = bool(was and now and was[0] == now[0])
        texts = [f"{v[0]} ({v[1]})" if same_version else v[0] for v in (was, now) if v]
        if was is None:
            yield from one_change(f"{at} package {name}", "", texts[0])
        elif now is None:
            yield from one_change(f"{at} package {name}", texts[0], "")
        else:
            yield from one_change(f"{at} package {name}", texts[0], texts[1])


def _versions(found: PackageSet) -> dict[str, tuple[str, str]]:
    return {
        f"{p.name}:{p.architecture}": (f"{p.version} {p.build}".rstrip(), p.file.digest.short)
        for p in found.packages
    }


def diff_catalog(old: CatalogLock, new: CatalogLock) -> tuple[LockChange, ...]:
    """Returns the differences between two states of the shared pins."""
    found: list[LockChange] = []
    for name in sorted({*old.pins.current, *new.pins.current}):
        found += one_change(
            f"current {name}", old.pins.current.get(name), new.pins.current.get(name)
        )
    for identity, platform in sorted({*old.pins.bases, *new.pins.bases}):
        key, at = (identity, platform), f"base {identity} {platform}"
        before, after = old.pins.bases.get(key), new.pins.bases.get(key)
        found += one_change(at, _base(before), _base(after))
        if before and after:
            found += _set(before.packages, after.packages, at)
    for identity in sorted({*old.pins.advisories, *new.pins.advisories}):
        texts = [
            pin.digest.short if (pin := side.pins.advisories.get(identity)) else ""
            for side in (old, new)
        ]
        found += one_change(f"advisories {identity}", *texts)
    return tuple(found)


def _base(pin: BasePin | None) -> str:
    if pin is None:
        return ""
    if pin.image is not None:
        mib = sum(layer.size_bytes for layer in pin.image.layers) / 2**20
        return f"{pin.image.manifest.short} ({len(pin.image.layers)} layers, {mib:.1f} MiB)"
    layer = pin.diff_id.short if pin.diff_id else "not bootstrapped"
    return f"{layer} ({len(pin.packages.packages)} packages)"


def render(changes: tuple[LockChange, ...]) -> str:
    """Returns the text of a difference, one line each, and a count."""
    lines = [change.render() for change in changes]
    return "\n".join([*lines, f"{len(lines)} difference{'s' if len(lines) != 1 else ''}"])
