"""Moving base to pin: the essential and required packages, apt, and what the base includes."""

from __future__ import annotations

import datetime as dt

from ssds.core.canonical import fingerprint
from ssds.core.errors import UnavailableError
from ssds.core.pins import BasePin
from ssds.core.platform import Platform
from ssds.host.mirrors import Mirrors
from ssds.kinds.base.spec import asked_of
from ssds.packages.apt import AptRequest, resolve_base_packages
from ssds.recipe.model import Base


def resolve_base(base: Base, platform: Platform, mirrors: Mirrors, cache: str) -> BasePin:
    """Returns the pin of a base; its ``diff_id`` is known once the node has run.

    The date and the epoch are those that the archive signed, not today's.

    Raises:
        UnavailableError: the suite or a package is not there, or no mirror answers.
    """
    if base.image:
        raise UnavailableError(
            f"{base.image} is an image of a registry, which cannot be locked yet",
            hint="Use a base with a suite until then.",
        )
    packages = resolve_base_packages(
        AptRequest(
            packages=base.include,
            platform=platform,
            suite=base.suite,
            components=base.components,
        ),
        mirrors,
        cache,
    )
    date = dt.datetime.fromtimestamp(packages.epoch, dt.UTC).strftime("%Y%m%d")
    request = fingerprint({**asked_of(base), "platform": str(platform)}, "base-request")
    return BasePin(
        name=base.name, date=date, request=request, packages=packages, epoch=packages.epoch
    )
