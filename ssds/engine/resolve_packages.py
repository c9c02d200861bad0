"""One package set: asked of apt, pip or conda, whole, or keeping what is not renewed."""

from __future__ import annotations

from dataclasses import replace

from ssds.core.errors import Refused, UnavailableError
from ssds.core.pins import BasePin, PackageSet
from ssds.engine.renewal import Renewal
from ssds.engine.runner import Crew
from ssds.kinds.base.image import dpkg_status
from ssds.kinds.build.requests import PackageRequest
from ssds.packages import apt, conda, pip
from ssds.recipe.model import Base, Catalog, Target


def resolve_packages(
    request: PackageRequest,
    target: Target,
    base: BasePin | None,
    catalog: Catalog,
    crew: Crew,
    cache: str,
    held: PackageSet | None,
    renewal: Renewal,
) -> PackageSet:
    """Returns the set that answers a request.

    Args:
        request, target, base: what is asked for, by whom, on which base.
        catalog, crew, cache: as for ``resolve``.
        held: a set of which everything stays that is not renewed by name, where that is possible.
        renewal: what is renewed by name.
    """
    renew = renewal.packages(held) if held is not None else ()
    declared = catalog.bases[base.name] if base is not None else None

    def ask(held: PackageSet | None) -> PackageSet:
        if request.manager == "pip":
            staying = held.packages if held is not None else ()
            kept = {p.name: p.version for p in staying if p.name not in renew}
            python = request.python
            return pip.resolve(request.asked, target.platform, python, crew.mirrors, kept=kept)
        if request.manager == "conda":
            wanted = conda.CondaRequest(
                channels=request.channels,
                packages=request.asked,
                platform=target.platform,
                glibc=request.glibc,
            )
            return conda.resolve(wanted, crew.mirrors, cache, held=held, renew=renew)
        assert declared is not None
        assert base is not None
        installed = tuple(s for s in request.installed if s.manager == "apt")
        status = ""
        if base.image is not None:
            installed = tuple(s for s in installed if s is not base.packages)
            status = dpkg_status(base, crew.store, crew.mirrors, lambda _: None)
        asked = apt.AptRequest(
            packages=request.asked,
            platform=target.platform,
            suite=suite_of(declared, base),
            components=declared.components,
            installed=installed,
            status=status,
        )
        return apt.resolve(
            asked, crew.mirrors, cache, held=held, renew=renew, blobs=crew.store.blobs
        )

    try:
        found = ask(held)
    except (UnavailableError, Refused):
        if held is None or renew:
            raise
        found = ask(None)  # what stands below moved, and the old set does not fit on it
    return replace(found, request=request.request)


def suite_of(base: Base, pin: BasePin) -> str:
    """Returns the suite of the Debian archive that a base's packages come from.

    Raises:
        Refused: E210, an image that is no Debian: its packages cannot be pinned.
    """
    if pin.image is None:
        return base.suite
    system, _, suite = pin.image.system.partition(" ")
    if system != "debian" or not suite:
        found = pin.image.system or "something that its os-release does not name"
        raise Refused(
            f"apt packages are pinned for Debian only; {pin.image.reference} is {found}",
            hint="Install them in a `run` step with `network: true`, or take a Debian image.",
            code="E210",
        )
    return suite
