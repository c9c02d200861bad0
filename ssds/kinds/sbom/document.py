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
from ssds.kinds.sbom.inventory import Distribution, Inventory
from ssds.kinds.sbom.package import Package, printable
from ssds.oci.types import Config, rfc3339

_TRIVY = "aquasecurity:trivy:"
_ROOT = "image"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What the SBOM speaks of: an image by its config, and the sbom node's slice."""

    digest: Digest
    config: Config
    slice: Mapping[str, Json]


def document(inventory: Inventory, subject: Subject) -> dict[str, Json]:
    """Returns the CycloneDX 1.6 document, ready for ``canonical_bytes``."""
    components = [_component(p, inventory.distribution) for p in inventory.packages]
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


def _property(name: str, value: str) -> Json:
    return {"name": name, "value": value}


def _purl(kind: str, namespace: str, name: str, version: str, qualifiers: Mapping[str, str]) -> str:
    from packageurl import PackageURL

    stated = {k: v for k, v in qualifiers.items() if v}
    return PackageURL(kind, namespace or None, name, version, stated or None).to_string()


def _image(subject: Subject) -> dict[str, Json]:
    release = subject.slice["release"]
    assert isinstance(release, Mapping)
    layers = [_property(f"{_TRIVY}DiffID", str(d)) for d in subject.config.diff_ids]
    return {
        "type": "container",
        "bom-ref": _ROOT,
        "name": release["name"],
        "version": release["version"],
        "properties": [_property(f"{_TRIVY}ImageID", str(subject.digest)), *layers],
    }


def _tool(node: Mapping[str, Json]) -> dict[str, Json]:
    tool = node["inventory"]
    assert isinstance(tool, Mapping)
    return {"type": "application", "name": tool["name"], "version": str(tool["version"])}


def _coverage(inventory: Inventory) -> list[Json]:
    owned = [
        _property(f"ssds:files:{name}", str(count))
        for name, count in sorted(inventory.owned.items())
    ]
    return [
        _property("ssds:files:total", str(inventory.files)),
        _property("ssds:files:unowned", str(inventory.unowned)),
        *owned,
        *(_property("ssds:unread-database", name) for name in inventory.unread),
        *(_property("ssds:unreadable", path) for path in inventory.unreadable),
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
                _property(f"{_TRIVY}Class", "os-pkgs"),
                _property(f"{_TRIVY}Type", distribution.id),
            ],
        }
    ]


def _component(package: Package, distribution: Distribution) -> dict[str, Json]:
    make = {"deb": _deb, "pypi": _python, "conda": _conda}[package.type]
    component = make(package, distribution)
    if package.licence:
        component["licenses"] = [
            {"expression": package.licence}
            if package.spdx
            else {"license": {"name": package.licence}}
        ]
    return component


def _deb(package: Package, distribution: Distribution) -> dict[str, Json]:
    upstream = "" if package.source == package.name else package.source
    if package.source_version != package.version:
        upstream = f"{package.source}@{package.source_version}"
    purl = _purl(
        "deb",
        distribution.id or "debian",
        package.name,
        package.version,
        {"arch": package.architecture, "distro": distribution.qualifier, "upstream": upstream},
    )
    return {
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "purl": purl,
        "properties": [
            _property(f"{_TRIVY}PkgID", f"{package.name}@{package.version}"),
            _property(f"{_TRIVY}PkgType", distribution.id or "debian"),
            _property(f"{_TRIVY}SrcName", package.source),
            _property(f"{_TRIVY}SrcVersion", package.source_version),
        ],
    }


def _python(package: Package, _: Distribution) -> dict[str, Json]:
    purl = _purl("pypi", "", package.name, package.version, {})
    return _with_place(
        {
            "type": "library",
            "name": package.name,
            "version": package.version,
            "purl": purl,
            "properties": [
                *([_property("ssds:owned-by", package.owner)] if package.owner else []),
                _property(f"{_TRIVY}PkgType", "python-pkg"),
                _property(f"{_TRIVY}FilePath", printable(package.location)),
            ],
        },
        purl,
        package,
    )


def _conda(package: Package, _: Distribution) -> dict[str, Json]:
    purl = _purl("conda", "", package.name, package.version, dict(package.qualifiers))
    return _with_place(
        {
            "type": "library",
            "name": package.name,
            "version": package.version,
            "purl": purl,
            "properties": [
                _property(f"{_TRIVY}PkgType", "conda-pkg"),
                _property(f"{_TRIVY}FilePath", printable(package.location)),
            ],
        },
        purl,
        package,
    )


def _with_place(component: dict[str, Json], purl: str, package: Package) -> dict[str, Json]:
    """Adds reference and place; the same package may lie in several places."""
    place = printable(package.location)
    component["bom-ref"] = f"{purl}#{place}"
    component["evidence"] = {"occurrences": [{"location": f"/{place}"}]}
    return component


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
    purl = _purl("generic", "", name, version, {"checksum": checksum})
    component: dict[str, Json] = {
        "type": "application",
        "bom-ref": f"declared:{purl}",
        "name": name,
        "version": version,
        "purl": purl,
        "properties": [
            _property("ssds:declared", "recipe"),
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
        _property(f"ssds:source:{source['name']}:{key}", str(source[key]))
        for key in ("deb_src", "pypi", "sha256")
        if key in source
    ]


def _identifiers(identifiers: Json) -> list[Json]:
    if not isinstance(identifiers, Mapping):
        return []
    return [
        _property(f"ssds:identifier:{key}", str(value))
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
