"""Resolves what moves into pins: bases, sources, package sets (C8-C10).

Pins are stale when their request changed, and only then; ``upgrade`` renews them all the same.
Requests follow each other: what apt may install depends on the base, what pip may on apt's Python.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ssds.core.digest import Digest
from ssds.core.errors import InputError, SsdsError
from ssds.core.model import Claim, ReleaseName
from ssds.core.pins import BasePin, PackageSet, PlatformPins, SharedPins, SourcePin
from ssds.core.platform import Platform
from ssds.engine.report import Reporter
from ssds.engine.runner import Crew
from ssds.host.local import remove_folder
from ssds.kinds.api import Bench
from ssds.kinds.base import spec as base_spec
from ssds.kinds.base.resolve import resolve_base
from ssds.kinds.base.run import run as run_base
from ssds.kinds.build.requests import (
    PackageRequest,
    base_pin,
    base_request,
    ref_release,
    requests_of,
    source_request,
)
from ssds.kinds.source.resolve import resolve_source
from ssds.packages import apt, pip
from ssds.recipe.model import Base, Catalog, CopyStep, Target


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
        upgrade: of ``base sources packages``: renewed though they are not stale.
    """

    targets: tuple[Target, ...]
    upgrade: frozenset[str] = frozenset()


def resolve(
    catalog: Catalog, pins: Pins, order: Order, crew: Crew, reporter: Reporter, cache: str
) -> Pins:
    """Fills ``pins`` for the order's targets; problems are collected, none stops the others.

    Args:
        cache: a folder for package indexes, used for this one call.
    """
    renewed: set[tuple[str, Platform]] = set()
    for target in _below_first(catalog, order.targets):
        try:
            _resolve_target(catalog, pins, target, order, crew, reporter, cache, renewed)
        except SsdsError as error:
            if isinstance(error, InputError):
                raise
            what = f"{target.release} [{target.platform}]: {error.message}"
            pins.problems.append(type(error)(what, hint=error.hint, code=error.code))
    return pins


def _below_first(catalog: Catalog, targets: tuple[Target, ...]) -> list[Target]:
    """Returns the targets with the recipes that they contain before them."""
    ordered: dict[tuple[ReleaseName, Platform], Target] = {}

    def visit(target: Target) -> None:
        refs = [s.recipe for s in target.steps if isinstance(s, CopyStep) and s.recipe]
        if target.base_recipe is not None:
            refs.append(target.base_recipe)
        for ref in refs:
            below = catalog.releases[ref_release(ref)].targets.get(target.platform)
            if below is not None:
                visit(below)
        ordered.setdefault((target.release, target.platform), target)

    for target in targets:
        visit(target)
    return list(ordered.values())


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
    if target.base_recipe is None:
        base = catalog.bases[target.base]
        identity = _resolve_base(
            base, target, pins, order, crew, reporter, cache, renewed, catalog.salt
        )
        held = pins.releases.get(name, PlatformPins())
        pins.releases[name] = replace(held, base=identity)
    _resolve_sources(catalog, pins, target, order, crew, reporter, cache)
    fresh: set[str] = set()
    while True:
        asked = requests_of(target, catalog, pins.shared, pins.releases)
        held = pins.releases.get(name, PlatformPins())
        request = _next_request(asked.packages, held, order, fresh)
        if request is None:
            break
        reporter.note(f"{target.release} [{target.platform}]: {request.manager} {request.place}")
        found = _resolve_packages(request, target, asked.base, catalog, crew, cache)
        fresh.add(request.place)
        pins.releases[name] = replace(held, packages={**held.packages, request.place: found})
    _finish(target, asked.base, pins, {r.place for r in asked.packages})


def _next_request(
    requests: tuple[PackageRequest, ...], held: PlatformPins, order: Order, fresh: set[str]
) -> PackageRequest | None:
    for request in requests:
        pin = held.packages.get(request.place)
        if pin is None or pin.request != request.request:
            return request
        if "packages" in order.upgrade and request.place not in fresh:
            return request
    return None


def _resolve_base(
    base: Base,
    target: Target,
    pins: Pins,
    order: Order,
    crew: Crew,
    reporter: Reporter,
    cache: str,
    renewed: set[tuple[str, Platform]],
    salt: str,
) -> str:
    platform = target.platform
    held = pins.releases.get((target.release, platform), PlatformPins())
    identity = held.base or pins.shared.current.get(base.name, "")
    if "base" in order.upgrade:
        identity = pins.shared.current.get(base.name, "")
    pin = pins.shared.bases.get((identity, platform))
    stale = pin is None or pin.request != base_request(base, platform)
    if stale or ("base" in order.upgrade and (base.name, platform) not in renewed):
        reporter.note(f"base {base.name} [{platform}]: resolving")
        request = base_request(base, platform)
        pin = replace(resolve_base(base, platform, crew.mirrors, cache), request=request)
        known = pins.shared.bases.get((pin.identity, platform))
        if known is not None and known.packages == pin.packages:
            pin = known
        _keep_base(pins, pin, platform)
    assert pin is not None
    renewed.add((base.name, platform))
    if pin.diff_id is None and crew.sandbox is not None:
        diff_id = _bootstrap(base, platform, pin, crew, reporter, salt)
        pin = replace(pin, diff_id=diff_id)
        _keep_base(pins, pin, platform)
    return pin.identity


def _keep_base(pins: Pins, pin: BasePin, platform: Platform) -> None:
    pins.shared = replace(
        pins.shared,
        bases={**pins.shared.bases, (pin.identity, platform): pin},
        current={**pins.shared.current, pin.name: pin.identity},
    )


def _bootstrap(
    base: Base, platform: Platform, pin: BasePin, crew: Crew, reporter: Reporter, salt: str
) -> Digest:
    """Returns the base's diffID: from a claim with its bytes, or by making it once."""
    node = base_spec.node(base, platform, pin)
    action = node.resolve({}, salt)
    for known in crew.store.claims.find(action.key):
        if crew.store.blobs.has(known.outputs["layer"]):
            return known.outputs["layer"]
    reporter.note(f"base {base.name} [{platform}]: bootstrapping {pin.identity}")
    folder = crew.store.new_folder()
    bench = Bench(
        action=action,
        store=crew.store,
        sandbox=crew.sandbox,
        mirrors=crew.mirrors,
        folder=folder,
        workspace=crew.workspace,
        say=lambda line: reporter.said(node.id, line),
        log=lambda _: None,
    )
    try:
        outcome = run_base(bench)
    finally:
        remove_folder(folder)
    claim = Claim(
        key=action.key,
        kind="base",
        outputs=outcome.outputs,
        builder="embedded",
        mode=outcome.mode,
        emulated=outcome.emulated,
        tools=outcome.tools,
        made_at=int(time.time()),
    )
    crew.store.claims.add(claim, action.preimage_bytes, str(node.id))
    return outcome.outputs["layer"]


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
        if pin is not None and pin.request == request and "sources" not in order.upgrade:
            continue
        twin = _twin_source(pins, target, key)
        if twin is not None and twin.request == request and "sources" not in order.upgrade:
            sources[key] = twin
            continue
        reporter.note(f"{target.release} [{target.platform}]: source {key}")
        found = resolve_source(
            source, crew.mirrors, cache, suite=declared.suite, components=declared.components
        )
        sources[key] = replace(found, request=request)
    pins.releases[name] = replace(held, sources=sources)


def _twin_source(pins: Pins, target: Target, key: str) -> SourcePin | None:
    """Returns the pin that another platform of the release has for the same source."""
    for (release, _), held in pins.releases.items():
        if release == target.release and key in held.sources:
            return held.sources[key]
    return None


def _resolve_packages(
    request: PackageRequest,
    target: Target,
    base: BasePin | None,
    catalog: Catalog,
    crew: Crew,
    cache: str,
) -> PackageSet:
    if request.manager == "pip":
        found = pip.resolve(request.asked, target.platform, request.python, crew.mirrors)
    else:
        assert base is not None
        declared = catalog.bases[base.name]
        found = apt.resolve(
            apt.AptRequest(
                packages=request.asked,
                platform=target.platform,
                suite=declared.suite,
                components=declared.components,
                installed=tuple(s for s in request.installed if s.manager == "apt"),
            ),
            crew.mirrors,
            cache,
        )
    return replace(found, request=request.request)


def _finish(target: Target, base: BasePin | None, pins: Pins, places: set[str]) -> None:
    """Drops pins that nobody asks for any more and sets the epoch: the newest date of all."""
    name = (target.release, target.platform)
    held = pins.releases.get(name, PlatformPins())
    packages: Mapping[str, PackageSet] = {p: s for p, s in held.packages.items() if p in places}
    dates = [base.epoch if base else 0]
    dates += [s.epoch for s in packages.values()]
    dates += [s.epoch for s in held.sources.values()]
    pins.releases[name] = replace(held, packages=packages, epoch=max(dates))
