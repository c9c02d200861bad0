"""Which releases a target contains: those that it names, and those that its pins chose. Pure (C16).

An exact version needs no pin. A range is answered by the pin of that recipe; the pin is stale when
the request differs, and only then: a newer version in the catalog moves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ssds.core.errors import Refused
from ssds.core.model import ReleaseName
from ssds.core.pins import PlatformPins, RecipePin
from ssds.core.platform import Platform
from ssds.core.records import dataclass
from ssds.recipe.model import Catalog, Target
from ssds.recipe.ranges import RangeRequest, offers, range_requests
from ssds.recipe.steps import RecipeRef

PinMap = Mapping[tuple[ReleaseName, Platform], PlatformPins]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A pinned version that its recipe does not offer any more, and who refers to it.

    Attributes:
        by: the release that refers to it.
        pinned: ``samtools@1.16.1``.
        asked: the range.
    """

    by: ReleaseName
    platform: Platform
    pinned: str
    asked: str


def pin_of(request: RangeRequest, target: Target, pins: PinMap) -> RecipePin | None:
    """Returns the pin that answers a request, or None where there is none or it is stale.

    A pin whose version lies outside of the range answers nothing, whatever it says.
    """
    held = pins.get((target.release, target.platform))
    pin = held.recipes.get(request.name) if held else None
    if pin is None or pin.request != request.request:
        return None
    return pin if request.answers((pin.version,), lambda _: True) else None


def release_of(
    ref: RecipeRef, target: Target, catalog: Catalog, pins: PinMap
) -> ReleaseName | None:
    """Returns the release that a reference of ``target`` stands for.

    None where a range has no valid pin, or its pin names what the catalog does not offer.
    """
    if ref.range is None:
        return ReleaseName(ref.name, ref.version, ref.variant)
    request = next(r for r in range_requests(target) if r.name == ref.name)
    pin = pin_of(request, target, pins)
    if pin is None or not request.answers((pin.version,), offers(catalog, target.platform)):
        return None
    return ReleaseName(ref.name, pin.version, ref.variant)


def target_of(ref: RecipeRef, target: Target, catalog: Catalog, pins: PinMap) -> Target | None:
    """Returns the target that a reference stands for, on the same platform or below."""
    name = release_of(ref, target, catalog, pins)
    release = catalog.releases.get(name) if name else None
    platform = target.platform.best_of(release.targets) if release else None
    return release.targets[platform] if release and platform else None


def unanswered(target: Target, catalog: Catalog, pins: PinMap) -> tuple[tuple[str, bool, str], ...]:
    """Returns the recipes whose range has no usable pin: name, whether one is there, what ails it.

    The last text is empty for a pin that answers another range.
    """
    held = pins.get((target.release, target.platform), PlatformPins())
    found = []
    for request in range_requests(target):
        pin = pin_of(request, target, pins)
        if pin is None:
            found.append((request.name, request.name in held.recipes, ""))
        elif not request.answers((pin.version,), offers(catalog, target.platform)):
            found.append((request.name, True, f"the catalog has no {pin.version} any more"))
    return tuple(found)


def lost_versions(catalog: Catalog, pins: PinMap) -> tuple[Lost, ...]:
    """Returns every valid pin of the catalog's releases whose version is not offered any more."""
    found = []
    for (name, platform), held in sorted(pins.items()):
        release = catalog.releases.get(name) if held.recipes else None
        target = release.targets.get(platform) if release else None
        for request in range_requests(target) if target else ():
            pin = pin_of(request, target, pins) if target else None
            if pin and not request.answers((pin.version,), offers(catalog, platform)):
                found.append(
                    Lost(
                        by=name,
                        platform=platform,
                        pinned=f"{request.name}@{pin.version}",
                        asked=request.text,
                    )
                )
    return tuple(found)


def refuse_removal(lost: Iterable[Lost]) -> None:
    """Raises Refused (E087) when a version is referenced and not there: it names who refers."""
    lost = tuple(lost)
    if not lost:
        return
    gone = ", ".join(dict.fromkeys(one.pinned for one in lost))
    rows = [f"{one.by} [{one.platform}] has {one.pinned} for {one.asked}" for one in lost]
    names = " ".join(dict.fromkeys(str(one.by) for one in lost))
    raise Refused(
        f"the catalog does not offer {gone} any more, and locks refer to it:\n      "
        + "\n      ".join(rows),
        hint=f"Put it back, or choose other versions: `ssds lock --upgrade recipes {names}`.",
        code="E087",
    )
