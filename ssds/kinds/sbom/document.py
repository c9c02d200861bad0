"""Writes an inventory as CycloneDX 1.6 JSON: canonical, sorted, the same bytes on any machine.

The serial number comes from the image, the timestamp from its config. Distribution packages carry
source name and version twice, as the purl qualifier ``upstream`` and as ``aquasecurity:trivy:*``
properties: matchers read one or the other. Source: CycloneDX 1.6, ECMA-424; package-url types.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ssds.core.canonical import Json, canonical_bytes
from ssds.core.digest import Digest
from ssds.kinds.sbom.component import TRIVY, component_of, property_of, purl_of
from ssds.kinds.sbom.inventory import Distribution, Inventory
from ssds.oci.types import Config, rfc3339

_ROOT = "image"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What the SBOM speaks of: an image by its config, and the sbom node's slice."""

    digest: Digest
    config: Config
    slice: Mapping[str, Json]


def document(inventory: Inventory, subject: Subject) -> dict[str, Json]:
    """Returns the CycloneDX 1.6 document, ready for ``canonical_bytes``."""
    components = [component_of(p, inventory.distribution) for p in inventory.packages]
    components += _operating_system(inventory.distribution)
    components += _software(subject.slice)
    metadata: dict[str, Json] = {
        "component": _image(subject),
        "tools": {"components": [_tool(subject.slice)]},
        "properties": _coverage(inventory),
    }
    if subject.config.created is not None:
        metadata["timestamp"] = rfc3339(subject.config.created)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": _serial(subject),
        "version": 1,
        "metadata": metadata,
        "components": sorted(components, key=lambda c: str(c["bom-ref"])),
    }


def _serial(subject: Subject) -> str:
    name = f"{subject.digest}\n" + canonical_bytes(subject.slice).decode("utf-8")
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, name)}"


def _image(subject: Subject) -> dict[str, Json]:
    release = subject.slice["release"]
    assert isinstance(release, Mapping)
    layers = [property_of(f"{TRIVY}DiffID", str(d)) for d in subject.config.diff_ids]
    return {
        "type": "container",
        "bom-ref": _ROOT,
        "name": release["name"],
        "version": release["version"],
        "properties": [property_of(f"{TRIVY}ImageID", str(subject.digest)), *layers],
    }


def _tool(node: Mapping[str, Json]) -> dict[str, Json]:
    tool = node["inventory"]
    assert isinstance(tool, Mapping)
    return {"type": "application", "name": tool["name"], "version": str(tool["version"])}


def _coverage(inventory: Inventory) -> list[Json]:
    owned = [
        property_of(f"ssds:files:{name}", str(count))
        for name, count in sorted(inventory.owned.items())
    ]
    return [
        property_of("ssds:files:total", str(inventory.files)),
        property_of("ssds:files:unowned", str(inventory.unowned)),
        *owned,
        *(property_of("ssds:unread-database", name) for name in inventory.unread),
        *(property_of("ssds:unreadable", path) for path in inventory.unreadable),
    ]


def _operating_system(distribution: Distribution) -> list[dict[str, Json]]:
    if not distribution.id:
        return []
    return [
        {
            "type": "operating-system",
            "bom-ref": f"os:{distribution.qualifier}",
            "name": distribution.id,
            "version": distribution.version or distribution.codename or "unknown",
            "description": distribution.title,
            "properties": [
                property_of(f"{TRIVY}Class", "os-pkgs"),
                property_of(f"{TRIVY}Type", distribution.id),
            ],
        }
    ]


def _software(node: Mapping[str, Json]) -> list[dict[str, Json]]:
    """Returns what the recipe itself installs: no package database knows it."""
    software, sources = node["software"], node["sources"]
    assert isinstance(software, Mapping)
    assert isinstance(sources, Sequence)
    name, version = str(software.get("name", "")), str(software.get("version", ""))
    if not name or not version:
        return []
    digests = [s["sha256"] for s in sources if isinstance(s, Mapping) and "sha256" in s]
    checksum = f"sha256:{digests[0]}" if len(digests) == 1 else ""
    purl = purl_of("generic", "", name, version, {"checksum": checksum})
    component: dict[str, Json] = {
        "type": "application",
        "bom-ref": f"declared:{purl}",
        "name": name,
        "version": version,
        "purl": purl,
        "properties": [
            property_of("ssds:declared", "recipe"),
            *(p for s in sources if isinstance(s, Mapping) for p in _source(s)),
            *_identifiers(software.get("identifiers", {})),
        ],
    }
    licences = _licences(software.get("licenses", []))
    if licences:
        component["licenses"] = licences
    if software.get("homepage"):
        component["externalReferences"] = [{"type": "website", "url": software["homepage"]}]
    return [component]


def _source(source: Mapping[str, Json]) -> list[Json]:
    """Returns one source's facts as properties: its digest, its Debian or PyPI name."""
    return [
        property_of(f"ssds:source:{source['name']}:{key}", str(source[key]))
        for key in ("deb_src", "pypi", "sha256")
        if key in source
    ]


def _identifiers(identifiers: Json) -> list[Json]:
    if not isinstance(identifiers, Mapping):
        return []
    return [
        property_of(f"ssds:identifier:{key}", str(value))
        for key, value in sorted(identifiers.items())
    ]


def _licences(stated: Json) -> list[Json]:
    """Returns SPDX texts: one is an expression; several are joined, for all of them hold."""
    texts = [stated] if isinstance(stated, str) else stated
    assert isinstance(texts, Sequence)
    parts = [str(text) for text in texts]
    if len(parts) > 1:
        parts = [f"({p})" if " " in p else p for p in parts]
    return [{"expression": " AND ".join(parts)}] if parts else []
