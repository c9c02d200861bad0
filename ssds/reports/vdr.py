"""A report as a vulnerability disclosure report: CycloneDX 1.6 with ``vulnerabilities``.

One document for all images: each is a component, with the packages that are affected inside it.
The same report gives the same bytes. Remarks on files and what nobody looked at stand in the
image's properties. Source: CycloneDX 1.6 (ECMA-424), ``vulnerabilities``.
"""

from __future__ import annotations

import uuid

from ssds.core.canonical import Json, canonical_bytes
from ssds.core.text import shown
from ssds.kinds.gate.findings import IMAGE, Finding
from ssds.kinds.scan.severity import LEVELS
from ssds.reports.model import Image, Report
from ssds.version import VERSION

_WORDS = {"negligible": "info"}
"""Level → CycloneDX's word, where that is another."""


def vdr(report: Report) -> dict[str, Json]:
    """Returns the document."""
    components = [_image(image) for image in report.images]
    found: dict[str, list[tuple[Image, Finding]]] = {}
    for image in report.images:
        for finding in image.findings:
            if finding.ecosystem != IMAGE:
                found.setdefault(finding.id, []).append((image, finding))
    vulnerabilities: list[Json] = [_vulnerability(n, p) for n, p in sorted(found.items())]
    body: dict[str, Json] = {"components": components, "vulnerabilities": vulnerabilities}
    name = uuid.uuid5(uuid.NAMESPACE_OID, canonical_bytes(body).decode())
    tool: Json = {"type": "application", "name": "ssds", "version": VERSION}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{name}",
        "version": 1,
        "metadata": {"tools": {"components": [tool]}},
        **body,
    }


def _image(image: Image) -> Json:
    packages = {
        _reference(image, found): found for found in image.findings if found.ecosystem != IMAGE
    }
    basis = image.scan.advisories if image.scan is not None else ""
    said = [
        *([("ssds:advisories", basis)] if basis else []),
        *(("ssds:not-looked-at", gap) for gap in image.gaps),
        *(("ssds:remark", found.sentence) for found in image.findings if found.ecosystem == IMAGE),
    ]
    name, _, version = image.release.partition("@")
    properties: list[Json] = [{"name": key, "value": shown(text)} for key, text in said]
    component: dict[str, Json] = {
        "type": "container",
        "bom-ref": shown(f"{image.release} {image.platform}"),
        "name": shown(name),
        "version": shown(version),
        "properties": properties,
    }
    if packages:
        component["components"] = [
            {
                "type": "library",
                "bom-ref": reference,
                "name": shown(found.package),
                "version": shown(found.version),
                "group": shown(found.ecosystem),
            }
            for reference, found in sorted(packages.items())
        ]
    return component


def _reference(image: Image, found: Finding) -> str:
    parts = (image.release, image.platform, found.ecosystem, found.package, found.version)
    return shown(" ".join(parts))


def _vulnerability(name: str, pairs: list[tuple[Image, Finding]]) -> Json:
    affects: dict[str, Json] = {}
    for image, found in pairs:
        status: Json = [{"version": shown(found.version), "status": "affected"}]
        reference = _reference(image, found)
        affects[reference] = {"ref": reference, "versions": status}
    ratings = {(found.severity, found.severity_source): _rating(found) for _, found in pairs}
    remedies = sorted({f"{found.package}: {found.remedy}" for _, found in pairs})
    known = [("ssds:kev", found.kev) for _, found in pairs if found.kev]
    known += [("ssds:epss", found.epss) for _, found in pairs if found.epss]
    others = sorted({other for _, found in pairs for other in found.names} - {name})
    entry: dict[str, Json] = {
        "bom-ref": shown(f"vulnerability {name}"),
        "id": shown(name),
        "ratings": [rating for _, rating in sorted(ratings.items())],
        "recommendation": shown("; ".join(remedies)),
        "affects": [affects[reference] for reference in sorted(affects)],
    }
    if others:
        entry["references"] = [{"id": shown(o), "source": {"name": _source(o)}} for o in others]
    if known:
        entry["properties"] = [{"name": k, "value": shown(v)} for k, v in sorted(set(known))]
    return entry


def _source(name: str) -> str:
    return shown(name.partition("-")[0] or name)


def _rating(found: Finding) -> Json:
    level = found.severity if found.severity in LEVELS else "unknown"
    rating: dict[str, Json] = {"severity": _WORDS.get(level, level), "method": "other"}
    if found.severity_source:
        rating["justification"] = shown(found.severity_source)
    return rating
