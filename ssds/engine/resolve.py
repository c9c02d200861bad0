"""Resolves what moves into pins: ranges of recipes, bases, sources, package sets (C8-C10, C16).

Pins are stale when their request changed, and only then; ``upgrade`` renews them all the same.
Requests follow each other: what apt may install depends on the base, what pip may on apt's Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ssds.core.errors import InputError, SsdsError, UsageError
from ssds.core.model import ReleaseName
from ssds.core.pins import (
    PackageSet,
    PlatformPins,
    RecipePin,
    SharedPins,
    SourcePin,
)
from ssds.core.platform import Platform
from ssds.engine.renewal import NOTHING, Renewal
from ssds.engine.report import Reporter
from ssds.engine.resolve_base import Asking, resolve_base, with_packages
from ssds.engine.resolve_packages import resolve_packages
from ssds.engine.runner import Crew
from ssds.kinds.build.contained import Lost, pin_of, refuse_removal, target_of
from ssds.kinds.build.requests import (
    PackageRequest,
    Requests,
    base_pin,
    requests_of,
    source_request,
)
from ssds.kinds.source.resolve import resolve_source
from ssds.recipe.model import Catalog, Target
from ssds.recipe.ranges import answers, range_requests, references
from ssds.recipe.uses import build_sources


@dataclass(slots=True)
class Pins:
    """Pins while they are being resolved."""

    shared: SharedPins
    releases: dict[tuple[ReleaseName, Platform], PlatformPins] = field(default_factory=dict)
    problems: list[SsdsError] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to resolve.

    Attributes:
        targets: in any order; recipes that they contain come along.
        renewal: what is renewed though it is not stale.
    """

    targets: tuple[Target, ...]
    renewal: Renewal = NOTHING


def resolve(
    catalog: Catalog, pins: Pins, order: Order, crew: Crew, reporter: Reporter, cache: str
) -> Pins:
    """Fills ``pins`` for the order's targets; problems are collected, none stops the others.

    Args:
        cache: a folder for package indexes, used for this one call.
    """
    renewed: set[tuple[str, Platform]] = set()
    failed: set[tuple[ReleaseName, Platform]] = set()
    for target in _below_first(catalog, pins, order, reporter, failed):
        name = (target.release, target.platform)
        below = [target_of(ref, target, catalog, pins.releases) for ref in references(target)]
        if any(t is not None and (t.release, t.platform) in failed for t in below):
            failed.add(name)  # what it contains is among the problems; its own pins stay
            continue
        try:
            _resolve_target(catalog, pins, target, order, crew, reporter, cache, renewed)
        except SsdsError as error:
            if isinstance(error, InputError):
                raise
            failed.add(name)
            what = f"{target.release} [{target.platform}]: {error.message}"
            problem = type(error)(what, hint=error.hint, code=error.code)
            problem.where = error.where
            pins.problems.append(problem)
    return pins


def _below_first(
    catalog: Catalog,
    pins: Pins,
    order: Order,
    reporter: Reporter,
    failed: set[tuple[ReleaseName, Platform]],
) -> tuple[Target, ...]:
    """Pins the ranges of recipes; returns the targets with what they contain before them.

    A target whose ranges cannot be answered is in ``failed`` instead, and among the problems.
    """
    ordered: dict[tuple[ReleaseName, Platform], Target] = {}

    def visit(target: Target) -> None:
        key = (target.release, target.platform)
        if key in ordered or key in failed:
            return
        try:
            _resolve_recipes(catalog, pins, target, order, reporter)
        except SsdsError as error:
            pins.problems.append(error)
            failed.add(key)
            return
        for ref in references(target):
            below = target_of(ref, target, catalog, pins.releases)
            if below is not None:
                visit(below)
        ordered[key] = target

    for target in order.targets:
        visit(target)
    return tuple(ordered.values())


def _resolve_recipes(
    catalog: Catalog, pins: Pins, target: Target, order: Order, reporter: Reporter
) -> None:
    """Pins each range at the newest version that answers it; a valid pin stays where it is.

    Raises:
        Refused: a valid pin names what the catalog does not offer any more; nothing is pinned.
    """
    name = (target.release, target.platform)
    chosen: dict[str, RecipePin] = {}
    for request in range_requests(target):
        known = answers(request, catalog, target.platform)
        pin = pin_of(request, target, pins.releases)
        if pin is None or order.renewal.of("recipe", request.name):
            if not known:
                raise UsageError(
                    f"{target.release} [{target.platform}]: no {request.name} is {request.text}",
                    hint="Widen the range, or give the other recipe a version that lies in it.",
                )
            newest = RecipePin(request=request.request, version=known[0])
            if newest != pin:
                word = f"recipe {request.name} {newest.version} for {request.text}"
                reporter.note(f"{target.release} [{target.platform}]: {word}")
            pin = newest
        elif pin.version not in known:
            pinned = f"{request.name}@{pin.version}"
            refuse_removal([Lost(by=name[0], platform=name[1], pinned=pinned, asked=request.text)])
        chosen[request.name] = pin
    held = pins.releases.get(name, PlatformPins())
    if dict(held.recipes) != chosen:
        pins.releases[name] = replace(held, recipes=chosen)


def _resolve_target(
    catalog: Catalog,
    pins: Pins,
    target: Target,
    order: Order,
    crew: Crew,
    reporter: Reporter,
    cache: str,
    renewed: set[tuple[str, Platform]],
) -> None:
    name = (target.release, target.platform)
    before = pins.releases.get(name, PlatformPins()).packages
    answered = {
        r.place
        for r in requests_of(target, catalog, pins.shared, pins.releases).packages
        if r.place in before and before[r.place].request == r.request
    }
    if target.base_recipe is None:
        base = catalog.bases[target.base]
        asking = Asking(crew=crew, reporter=reporter, cache=cache, salt=catalog.salt)
        identity, pins.shared = resolve_base(
            base, target, pins.shared, pins.releases, order.renewal, renewed, asking
        )
    else:
        identity = ""
    held = pins.releases.get(name, PlatformPins())
    pins.releases[name] = replace(held, base=identity)
    pins.shared = with_packages(target, catalog, pins.shared, pins.releases, crew, reporter)
    _resolve_sources(catalog, pins, target, order, crew, reporter, cache)
    fresh: set[str] = set()
    while True:
        asked = requests_of(target, catalog, pins.shared, pins.releases)
        held = pins.releases.get(name, PlatformPins())
        request = _next_request(asked.packages, held, order, fresh)
        if request is None:
            break
        reporter.note(f"{target.release} [{target.platform}]: {request.manager} {request.place}")
        keep = order.renewal.single and request.place in answered
        keep = keep and request.manager not in order.renewal.sorts
        pin = held.packages[request.place] if keep else None
        try:
            found = resolve_packages(
                request, target, asked.base, catalog, crew, cache, pin, order.renewal
            )
        except SsdsError as error:
            step = target.steps[int(request.place.removeprefix("build/"))]
            error.where = (catalog.releases[target.release].recipe_path, step.address)
            raise
        fresh.add(request.place)
        pins.releases[name] = replace(held, packages={**held.packages, request.place: found})
    below = [target_of(ref, target, catalog, pins.releases) for ref in references(target)]
    locked = [pins.releases.get((t.release, t.platform)) for t in below if t is not None]
    contained = [other.epoch for other in locked if other is not None]
    _finish(target, asked, pins, contained)


def _next_request(
    requests: tuple[PackageRequest, ...], held: PlatformPins, order: Order, fresh: set[str]
) -> PackageRequest | None:
    for request in requests:
        pin = held.packages.get(request.place)
        if pin is None or pin.request != request.request:
            return request
        if request.place not in fresh and order.renewal.touches(pin):
            return request
    return None


def _resolve_sources(
    catalog: Catalog,
    pins: Pins,
    target: Target,
    order: Order,
    crew: Crew,
    reporter: Reporter,
    cache: str,
) -> None:
    name = (target.release, target.platform)
    held = pins.releases.get(name, PlatformPins())
    base = base_pin(target, catalog, pins.shared, pins.releases)
    if base is None:
        return
    declared = catalog.bases[base.name]
    sources = {n: p for n, p in held.sources.items() if n in target.sources}
    for key, source in target.sources.items():
        request = source_request(source)
        pin = sources.get(key)
        renewing = order.renewal.of("source", key)
        if pin is not None and pin.request == request and not renewing:
            continue
        twin = _twin_source(pins, target, key)
        if twin is not None and twin.request == request and not renewing:
            sources[key] = twin
            continue
        reporter.note(f"{target.release} [{target.platform}]: source {key}")
        found = resolve_source(
            source,
            crew.mirrors,
            cache,
            suite=declared.suite,
            components=declared.components,
            blobs=crew.store.blobs,
        )
        sources[key] = replace(found, request=request)
        if source.url and source.sha256 is None:
            word = f"source {key} is {found.file.digest} from now on: its recipe states no sha256"
            reporter.note(f"{target.release} [{target.platform}]: {word}")
    pins.releases[name] = replace(held, sources=sources)


def _twin_source(pins: Pins, target: Target, key: str) -> SourcePin | None:
    """Returns the pin that another platform of the release has for the same source."""
    for (release, _), held in pins.releases.items():
        if release == target.release and key in held.sources:
            return held.sources[key]
    return None


def _finish(target: Target, asked: Requests, pins: Pins, contained: list[int]) -> None:
    """Drops pins that nobody asks for any more and sets the epoch: the newest date of all.

    All are the inputs of the image, those of the recipes that it contains too. Data that only
    tests read has no part in it: a test never makes another image.
    """
    name = (target.release, target.platform)
    held = pins.releases.get(name, PlatformPins())
    places = {request.place for request in asked.packages}
    packages: Mapping[str, PackageSet] = {p: s for p, s in held.packages.items() if p in places}
    dates = [asked.base.epoch if asked.base else 0, *contained]
    dates += [s.epoch for s in packages.values()]
    used = build_sources(target)
    dates += [s.epoch for n, s in held.sources.items() if n in used]
    pins.releases[name] = replace(held, packages=packages, epoch=max(dates))
