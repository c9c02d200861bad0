"""Moving base to pin: the essential and required packages, apt, and what the base includes."""

from __future__ import annotations

import datetime as dt

from ssds.core.pins import BasePin
from ssds.core.platform import Platform
from ssds.host.mirrors import Mirrors
from ssds.kinds.base.spec import request_of
from ssds.packages.apt import AptRequest, resolve_base_packages
from ssds.recipe.model import Base


def resolve_base(base: Base, platform: Platform, mirrors: Mirrors, cache: str) -> BasePin:
    """Returns the pin of a base; its ``diff_id`` is known once the node has run.

    The date and the epoch are those that the archive signed, not today's.

    Raises:
        UnavailableError: the suite or a package is not there, or no mirror answers.
    """
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
    return BasePin(
        name=base.name,
        date=date,
        request=request_of(base, platform),
        packages=packages,
        epoch=packages.epoch,
    )
