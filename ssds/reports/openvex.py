"""A report as OpenVEX 0.2.0: what is said of each finding, for scanners that suppress by it.

A finding that a waiver accepts is ``not_affected``, with the waiver's reason, owner and last day as
the impact statement. One with a fix is ``affected``, and the fix is the action; any other is
``under_investigation``. The same report gives the same bytes. Source: OpenVEX specification 0.2.0.
"""

from __future__ import annotations

import uuid

from ssds.core.canonical import Json, canonical_bytes
from ssds.core.text import shown
from ssds.kinds.gate.findings import IMAGE, Finding
from ssds.kinds.gate.judge import covers
from ssds.kinds.sbom.component import purl_of
from ssds.kinds.scan.components import ECOSYSTEMS
from ssds.reports.model import Image, Report

CONTEXT = "https://openvex.dev/ns/v0.2.0"
_SYSTEMS = {
    "AlmaLinux": ("rpm", "almalinux"), "Alpine": ("apk", "alpine"),
    "Chainguard": ("apk", "chainguard"), "Debian": ("deb", "debian"),
    "Mageia": ("rpm", "mageia"), "Red Hat": ("rpm", "redhat"), "Rocky Linux": ("rpm", "rocky"),
    "Ubuntu": ("deb", "ubuntu"), "Wolfi": ("apk", "wolfi"), "openEuler": ("rpm", "openeuler"),
    "openSUSE": ("rpm", "opensuse"),
}  # fmt: skip
"""OSV's ecosystem of a distribution → purl type and namespace."""
_LANGUAGES = {ecosystem: kind for kind, ecosystem in ECOSYSTEMS.items()}
"""OSV's ecosystem of a language → purl type; what is in neither table is ``generic``."""


def openvex(report: Report, date: str) -> dict[str, Json]:
    """Returns one document over all images.

    Args:
        date: the day that it speaks of, as YYYY-MM-DD.
    """
    statements: list[Json] = [
        _statement(image, found)
        for image in report.images
        for found in image.findings
        if found.ecosystem != IMAGE
    ]
    body: dict[str, Json] = {"statements": statements}
    name = uuid.uuid5(uuid.NAMESPACE_OID, canonical_bytes({**body, "date": date}).decode())
    return {
        "@context": CONTEXT,
        "@id": f"urn:uuid:{name}",
        "author": "ssds scan",
        "role": "Document Creator",
        "timestamp": f"{date}T00:00:00Z",
        "version": 1,
        **body,
    }


def _statement(image: Image, found: Finding) -> Json:
    others: list[Json] = [shown(name) for name in sorted(found.names - {found.id})]
    product: Json = {"@id": _product(image), "subcomponents": [{"@id": _package(found)}]}
    return {
        "vulnerability": {"name": shown(found.id), **({"aliases": others} if others else {})},
        "products": [product],
        **_status(image, found),
    }


def _status(image: Image, found: Finding) -> dict[str, Json]:
    for waiver in image.waivers:
        if covers(waiver, found):
            reason, owner, until = (shown(str(waiver[k])) for k in ("reason", "owner", "until"))
            text = f"{reason} ({owner}, until {until})"
            return {"status": "not_affected", "impact_statement": text}
    if found.fixed or found.partly:
        return {"status": "affected", "action_statement": shown(f"{found.remedy}: renew it.")}
    return {"status": "under_investigation"}


def _product(image: Image) -> str:
    """Returns the image's purl: by its digest where it was released."""
    name, _, version = image.release.partition("@")
    if image.manifest is not None:
        return purl_of("oci", "", name, str(image.manifest), {})
    return purl_of("generic", "", name or "image", version, {})


def _package(found: Finding) -> str:
    family, _, release = found.ecosystem.partition(":")
    if family in _SYSTEMS:
        kind, namespace = _SYSTEMS[family]
        stated = {"distro": f"{namespace}-{release}" if release else ""}
        return purl_of(kind, namespace, found.package, found.version, stated)
    kind, whole = _LANGUAGES.get(family, "generic"), found.source or found.package
    namespace, _, name = whole.rpartition(":" if kind == "maven" else "/")
    return purl_of(kind, namespace, name, found.version, {})
