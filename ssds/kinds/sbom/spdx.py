"""Writes an SBOM as SPDX 2.3 JSON, from the CycloneDX document that the sbom node made.

Packages only, no files. The same document gives the same bytes. Licences that are no SPDX
expression stand as ``LicenseRef-…`` with their text. Source: SPDX specification 2.3, JSON schema.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from ssds.core.canonical import Json
from ssds.kinds.sbom.component import TRIVY
from ssds.oci.document import Place, load_document

LIMIT_BYTES = 64 * 1024 * 1024
LIMIT_COMPONENTS = 200_000
_PURPOSE = {
    "application": "APPLICATION",
    "container": "CONTAINER",
    "library": "LIBRARY",
    "operating-system": "OPERATING_SYSTEM",
}
_NOTHING = "NOASSERTION"


def spdx(data: bytes) -> dict[str, Json]:
    """Returns the SPDX 2.3 document of a CycloneDX one, ready for ``canonical_bytes``.

    Raises:
        IntegrityError: ``data`` is no CycloneDX document that the sbom node made.
    """
    top = load_document(data, "SBOM", limit_bytes=LIMIT_BYTES)
    metadata = top.child("metadata")
    image = metadata.child("component")
    tools = metadata.child("tools").items("components", limit=100)
    texts: dict[str, str] = {}
    root = _package(image, texts)
    found = [_package(c, texts) for c in top.items("components", limit=LIMIT_COMPONENTS)]
    serial = top.text("serialNumber").removeprefix("urn:uuid:")
    name = f"{image.text('name')}-{image.text('version', '')}"
    document: dict[str, Json] = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"urn:uuid:{serial}",
        "creationInfo": {
            "created": metadata.text("timestamp", "1970-01-01T00:00:00Z"),
            "creators": [f"Tool: {t.text('name')}-{t.text('version', '')}" for t in tools],
        },
        "packages": [root, *found],
        "relationships": [
            _relation("SPDXRef-DOCUMENT", "DESCRIBES", root),
            *(_relation(str(root["SPDXID"]), "CONTAINS", p) for p in found),
        ],
    }
    if texts:
        document["hasExtractedLicensingInfos"] = [
            {"licenseId": key, "extractedText": text, "name": text[:200]}
            for key, text in sorted(texts.items())
        ]
    return document


def _relation(one: str, kind: str, other: Mapping[str, Json]) -> Json:
    return {
        "spdxElementId": one,
        "relationshipType": kind,
        "relatedSpdxElement": other["SPDXID"],
    }


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _package(item: Place, texts: dict[str, str]) -> dict[str, Json]:
    name = item.text("name")
    readable = re.sub(r"[^A-Za-z0-9.-]+", "-", name)[:60]
    package: dict[str, Json] = {
        "SPDXID": f"SPDXRef-{readable}-{_hash(item.text('bom-ref'))}",
        "name": name,
        "downloadLocation": _NOTHING,
        "filesAnalyzed": False,
        "licenseConcluded": _NOTHING,
        "licenseDeclared": _licence(item, texts),
        "copyrightText": _NOTHING,
        "primaryPackagePurpose": _PURPOSE.get(item.text("type"), "OTHER"),
    }
    if item.text("version", ""):
        package["versionInfo"] = item.text("version")
    properties = {p.text("name"): p.text("value", "") for p in item.items("properties", limit=1000)}
    source = properties.get(f"{TRIVY}SrcName", "")
    if source:
        number = properties.get(f"{TRIVY}SrcVersion", "")
        release = properties.get(f"{TRIVY}SrcRelease", "")
        package["sourceInfo"] = f"built from {source} {number}{f'-{release}' if release else ''}"
    if item.text("purl", ""):
        package["externalRefs"] = [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": item.text("purl"),
            }
        ]
    return package


def _licence(item: Place, texts: dict[str, str]) -> str:
    """Returns the declared licences as one expression; what is none gets a name of its own."""
    parts: list[str] = []
    for entry in item.items("licenses", limit=100):
        text = entry.text("expression", "")
        if not text:
            inner = entry.child("license")
            text = inner.text("id", "") or inner.text("name", "")
        if not _is_expression(text):
            reference = f"LicenseRef-{_hash(text)}"
            texts[reference] = text
            text = reference
        parts.append(text)
    if len(parts) > 1:
        parts = [f"({p})" if " " in p else p for p in parts]
    return " AND ".join(parts) or _NOTHING


@functools.cache
def _licensing() -> Any:
    """Returns the list of SPDX licences; reading it takes a second."""
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()


def _is_expression(text: str) -> bool:
    from license_expression import ExpressionError

    try:
        return bool(text) and not _licensing().validate(text, strict=True).errors
    except (ExpressionError, ValueError, AttributeError):
        return False
