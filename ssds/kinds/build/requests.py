"""What a release asks of the resolver, and whether its pins still answer that. Pure.

A pin is stale when the fingerprint of its request differs, and only then (C9). The fingerprint
holds everything that the answer depends on: the packages asked for and what is installed before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ssds.core.canonical import Json, fingerprint
from ssds.core.digest import Digest
from ssds.core.model import ReleaseName
from ssds.core.pins import BasePin, PackageSet, PlatformPins, SharedPins
from ssds.core.platform import Platform
from ssds.kinds.build.contained import PinMap, release_of, target_of, unanswered
from ssds.recipe.model import (
    AptStep,
    Base,
    Catalog,
    PipStep,
    RunStep,
    SourceRequest,
    Step,
    Target,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageRequest:
    """One package set that a step needs.

    Attributes:
        place: its place in the lock (``build/2``).
        manager: ``apt`` or ``pip``.
        asked: what the recipe names.
        python: the image's Python (``3.11``) for pip.
        installed: the sets that are there before, base first.
        request: the fingerprint.
    """

    place: str
    manager: str
    asked: tuple[str, ...]
    installed: tuple[PackageSet, ...]
    request: Digest
    python: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Everything that one target asks for, as far as its pins allow to say it.

    Attributes:
        base: the pin of the base below, or None when it is not pinned.
        packages: by place, in step order.
        missing: texts that name what has no valid pin; empty means locked.
        stopped: True when a later request cannot be said before an earlier one is answered.
        image: the sets that the finished image has, base first; what builds on it starts there.
    """

    base: BasePin | None
    packages: tuple[PackageRequest, ...]
    missing: tuple[str, ...]
    stopped: bool
    image: tuple[PackageSet, ...] = ()


def base_request(base: Base, platform: Platform) -> Digest:
    """Returns the fingerprint of what a base asks for on one platform."""
    return fingerprint(
        {
            "suite": base.suite,
            "components": list(base.components),
            "include": list(base.include),
            "platform": str(platform),
        },
        "base-request",
    )


def source_request(source: SourceRequest) -> Digest:
    """Returns the fingerprint of a source request; addresses and unpacking are not part of it."""
    asked: dict[str, Json]
    if source.deb_src:
        asked = {"deb_src": source.deb_src, "file": source.file}
    elif source.pypi:
        asked = {"pypi": source.pypi, "file": source.file}
    else:
        asked = {"sha256": str(source.sha256 or ""), "url": "" if source.sha256 else source.url}
    return fingerprint(asked, "source-request")


def base_pin(target: Target, catalog: Catalog, shared: SharedPins, pins: PinMap) -> BasePin | None:
    """Returns the bootstrapped base below a target, through recipes that it builds on."""
    seen: set[ReleaseName] = set()
    while target.base_recipe is not None:
        below = target_of(target.base_recipe, target, catalog, pins)
        if below is None or below.release in seen:
            return None
        seen.add(below.release)
        target = below
    held = pins.get((target.release, target.platform))
    identity = held.base if held and held.base else shared.current.get(target.base, "")
    return shared.bases.get((identity, str(target.platform)))


def requests_of(target: Target, catalog: Catalog, shared: SharedPins, pins: PinMap) -> Requests:
    """Says what the target needs pinned and which of it is missing or stale."""
    missing = list(unanswered(target, catalog, pins))
    base = base_pin(target, catalog, shared, pins)
    own_base = catalog.bases.get(target.base)
    if base is None:
        below = target.base_recipe
        if below is None or release_of(below, target, catalog, pins) is not None:
            missing.append(f"base {below.name if below else target.base}")
    elif own_base and base.request != base_request(own_base, target.platform):
        missing.append(f"base {target.base}")
    held = pins.get((target.release, target.platform), PlatformPins())
    if base is not None and not missing and not held.epoch:
        missing.append(f"base {base.name}")  # known to others; this lock does not hold it yet
    for name, source in target.sources.items():
        pin = held.sources.get(name)
        if pin is None or pin.request != source_request(source):
            missing.append(f"source {name}")
    installed = _below(target, catalog, shared, pins, base)
    if installed is None:
        return Requests(base=base, packages=(), missing=tuple(missing), stopped=True)
    packages, absent, image = _package_requests(target.steps, held, installed, target.platform)
    return Requests(
        base=base,
        packages=packages,
        missing=(*missing, *absent),
        stopped=bool(absent),
        image=image,
    )


def _below(
    target: Target, catalog: Catalog, shared: SharedPins, pins: PinMap, base: BasePin | None
) -> tuple[PackageSet, ...] | None:
    """Returns what is installed before the first step, or None when that is not locked."""
    if base is None:
        return None
    if target.base_recipe is None:
        return (base.packages,)
    parent = target_of(target.base_recipe, target, catalog, pins)
    asked = requests_of(parent, catalog, shared, pins) if parent else None
    return None if asked is None or asked.missing or asked.stopped else asked.image


def _package_requests(
    steps: Sequence[Step],
    held: PlatformPins,
    installed: tuple[PackageSet, ...],
    platform: Platform,
) -> tuple[tuple[PackageRequest, ...], list[str], tuple[PackageSet, ...]]:
    """Returns the requests, what is missing (the first one stops), and the sets of the image."""
    found: list[PackageRequest] = []
    missing: list[str] = []
    for number, step in enumerate(steps):
        if isinstance(step, AptStep):
            manager, asked = "apt", step.packages
        elif isinstance(step, RunStep) and step.tools:
            manager, asked = "apt", step.tools
        elif isinstance(step, PipStep):
            manager, asked = "pip", step.requirements
        else:
            continue
        place = f"build/{number}"
        python = image_python(installed) if manager == "pip" else ""
        request = fingerprint(
            {
                "manager": manager,
                "asked": list(asked),
                "platform": str(platform),
                "python": python,
                "installed": [str(_content(s)) for s in installed],
            },
            "package-request",
        )
        found.append(
            PackageRequest(
                place=place,
                manager=manager,
                asked=asked,
                python=python,
                installed=installed,
                request=request,
            )
        )
        pin = held.packages.get(place)
        if pin is None or pin.request != request:
            missing.append(f"{manager} packages of {step.address}")
            return tuple(found), missing, installed
        if not isinstance(step, RunStep):
            installed = (*installed, pin)
    return tuple(found), missing, installed


def _content(packages: PackageSet) -> Digest:
    return fingerprint(
        [[p.name, p.version, p.architecture, str(p.file.digest)] for p in packages.packages],
        "package-set",
    )


def image_python(installed: Sequence[PackageSet]) -> str:
    """Returns the version of the image's Python (``3.11``), or the empty string without one."""
    for packages in reversed(installed):
        if packages.manager != "apt":
            continue
        for package in packages.packages:
            match = re.fullmatch(r"python(3\.\d+)(?:-minimal)?", package.name)
            if match:
                return match[1]
    return ""
