"""Bases become pins: bootstrapped ones with their layer, images with the digests of a tag (C8)."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from ssds.core.digest import Digest
from ssds.core.errors import UnavailableError
from ssds.core.model import Claim
from ssds.core.pins import BasePin, PlatformPins, SharedPins
from ssds.core.platform import Platform
from ssds.engine.renewal import Renewal
from ssds.engine.report import Reporter
from ssds.engine.runner import Crew
from ssds.host.local import remove_folder
from ssds.kinds.api import Bench
from ssds.kinds.base import spec as base_spec
from ssds.kinds.base.image import look_into, resolve_image
from ssds.kinds.base.resolve import resolve_base as resolve_suite
from ssds.kinds.base.run import run as run_base
from ssds.kinds.build.contained import PinMap
from ssds.kinds.build.requests import base_pin, base_request, package_steps
from ssds.recipe.model import Base, Catalog, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Who asks, and with what.

    Attributes:
        cache: a folder for package indexes, used for one call.
        salt: the catalog's.
    """

    crew: Crew
    reporter: Reporter
    cache: str
    salt: str


def resolve_base(
    base: Base,
    target: Target,
    shared: SharedPins,
    releases: PinMap,
    renewal: Renewal,
    renewed: set[tuple[str, Platform]],
    asking: Asking,
) -> tuple[str, SharedPins]:
    """Returns the identity of a target's base, and the shared pins with it.

    Args:
        renewed: bases and platforms that were renewed in this call; is added to.
    """
    platform = target.platform.baseline  # all levels stand on one base
    held = releases.get((target.release, target.platform), PlatformPins())
    identity = held.base or shared.current.get(base.name, "")
    renewing = renewal.of("base", base.name)
    if renewing:
        identity = shared.current.get(base.name, "")
    pin = shared.bases.get((identity, platform))
    stale = pin is None or pin.request != base_request(base, platform)
    if stale or (renewing and (base.name, platform) not in renewed):
        asking.reporter.note(f"base {base.name} [{platform}]: resolving")
        again = renewing and not any(name == base.name for name, _ in renewed)
        pin = _asked(base, platform, shared, again, asking)
        known = shared.bases.get((pin.identity, platform))
        if known is not None and _same(known, pin):
            pin = known
        shared = _kept(shared, pin, platform)
    assert pin is not None
    renewed.add((base.name, platform))
    if not base.image and pin.diff_id is None and asking.crew.sandbox is not None:
        pin = replace(pin, diff_id=_bootstrap(base, platform, pin, asking))
        shared = _kept(shared, pin, platform)
    return pin.identity, shared


def _asked(
    base: Base, platform: Platform, shared: SharedPins, again: bool, asking: Asking
) -> BasePin:
    """Asks the mirrors, or the registry: there what another platform is pinned to counts."""
    mirrors, request = asking.crew.mirrors, base_request(base, platform)
    if not base.image:
        return replace(resolve_suite(base, platform, mirrors, asking.cache), request=request)
    identity = shared.current.get(base.name, "")
    others = [p.image for (i, _), p in shared.bases.items() if i == identity and p.image]
    digest = next((o.digest for o in others if o.reference == base.image), None)
    if digest is not None and not again:
        try:
            return resolve_image(base, platform, mirrors, digest)
        except UnavailableError as error:
            if error.code == "O131":
                raise
            asking.reporter.note(f"base {base.name}: {identity} is gone; its tag is asked")
    return resolve_image(base, platform, mirrors)


def _same(known: BasePin, new: BasePin) -> bool:
    """Whether a pin says what was just found; what was read in an image stays."""
    if known.image is None or new.image is None:
        return known.packages == new.packages
    return known.request == new.request and replace(known.image, read=False, system="") == replace(
        new.image, read=False, system=""
    )


def _kept(shared: SharedPins, pin: BasePin, platform: Platform) -> SharedPins:
    return replace(
        shared,
        bases={**shared.bases, (pin.identity, platform): pin},
        current={**shared.current, pin.name: pin.identity},
    )


def with_packages(
    target: Target,
    catalog: Catalog,
    shared: SharedPins,
    releases: PinMap,
    crew: Crew,
    reporter: Reporter,
) -> SharedPins:
    """Returns the shared pins with what is installed in the image below, where steps ask for it."""
    pin = base_pin(target, catalog, shared, releases)
    if pin is None or pin.image is None or pin.image.read:
        return shared
    if not any(package_steps(target.steps)):
        return shared
    platform = target.platform.baseline
    reporter.note(f"base {pin.name} [{platform}]: reading what is installed")
    pin = look_into(pin, crew.store, crew.mirrors, reporter.note)
    return replace(shared, bases={**shared.bases, (pin.identity, platform): pin})


def _bootstrap(base: Base, platform: Platform, pin: BasePin, asking: Asking) -> Digest:
    """Returns the base's diffID: from a claim with its bytes, or by making it once."""
    crew, reporter = asking.crew, asking.reporter
    node = base_spec.node(base, platform, pin)
    action = node.resolve({}, asking.salt)
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
