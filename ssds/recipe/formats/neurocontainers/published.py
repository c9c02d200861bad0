"""NeuroDesk's published images, and the recipes of a checkout that make them.

``vnmd/fsl_6.0.3:20200905`` and ``HOST/neurodesk/fsl:6.0.3_20200905`` are the image of ``fsl`` in
version 6.0.3, in whichever registry or mirror; the date is when it was built. A variant or
``arm64`` may stand before the version.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssds.core.patterns import pattern
from ssds.core.platform import Platform
from ssds.core.records import dataclass
from ssds.oci.image_name import ImageName
from ssds.recipe.formats.neurocontainers.choices import choices, release_name, selector_of
from ssds.recipe.steps import RecipeRef

_PLACE = pattern(r"[^/]+/(?:vnmd|neurodesk)(?:/caid)?/([^/]+)")
_DATE = pattern(r"(.+)_[0-9]{8}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One published image.

    Attributes:
        name: the recipe's.
        version: as the image has it, with variant and architecture before it.
    """

    name: str
    version: str


def recipe_of(image: ImageName) -> Published | None:
    """Returns whose image that is; None for others, and for one that a digest fixes."""
    place = _PLACE.fullmatch(image.place)
    if place is None or image.digest is not None:
        return None
    name, _, version = place[1].partition("_")
    if not version:
        dated = _DATE.fullmatch(image.tag)
        version = dated[1] if dated else image.tag
    return Published(name=name, version=version)


def held(data: Mapping[str, Any] | None, image: Published, platform: Platform) -> RecipeRef | None:
    """Returns the release of a recipe that makes the image on this platform; None without one."""
    if data is None:
        return None
    for chosen in choices(data):
        selector = selector_of(chosen.variant, platform)
        names = {f"{mark}_{chosen.version}".lower() for mark in (chosen.variant, selector)}
        if platform in chosen.platforms and image.version in {n.lstrip("_") for n in names}:
            found = release_name(data, chosen)
            return RecipeRef(name=found.name, version=found.version, variant=found.variant)
    return None
