"""Labels of an image that say what fields of a recipe say.

Sources: OCI image specification 1.1, "Pre-Defined Annotation Keys"; BioContainers specification,
"Metadata" (``about.…``, ``software.…``).
"""

from __future__ import annotations

import re
from typing import Any

OCI = "org.opencontainers.image."
_FIELDS = {
    f"{OCI}description": "summary",
    f"{OCI}url": "homepage",
    f"{OCI}source": "homepage",
    f"{OCI}licenses": "licenses",
    f"{OCI}authors": "maintainers",
    f"{OCI}version": "version",
    "about.summary": "summary",
    "about.home": "homepage",
    "about.license": "licenses",
    "software.version": "version",
}


def into_field(name: str, value: str, metadata: dict[str, Any]) -> bool:
    """Whether a label went into an empty field of ``metadata``."""
    from ssds.recipe.formats.ssds_metadata import license_problem

    field = _FIELDS.get(name, "")
    if not field or field in metadata or "\n" in value or not 0 < len(value) < 200:
        return False
    told: Any = value
    if field == "homepage" and not re.fullmatch(r"https?://[!-~]+", value):
        return False
    if field == "licenses":
        told = [value.removeprefix("SPDX:")]
        if license_problem(told[0]):
            return False
    if field == "maintainers":
        told = [{"name": value}]
    metadata[field] = told
    return True
