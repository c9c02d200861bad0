"""One package set: asked of apt, pip or conda, whole, or keeping what is not renewed."""

from __future__ import annotations

from dataclasses import replace

from ssds.core.errors import Refused, UnavailableError
from ssds.core.pins import BasePin, PackageSet
from ssds.engine.renewal import Renewal
from ssds.engine.runner import Crew
from ssds.kinds.build.requests import PackageRequest
from ssds.packages import apt, conda, pip
from ssds.recipe.model import Catalog, Target


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
        asked = apt.AptRequest(
            packages=request.asked,
            platform=target.platform,
            suite=declared.suite,
            components=declared.components,
            installed=tuple(s for s in request.installed if s.manager == "apt"),
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
