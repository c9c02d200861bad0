"""Writes one package as a CycloneDX component.

Source: package-url, PURL types; the properties are those that other scanners look up.
"""

from __future__ import annotations

from collections.abc import Mapping

from ssds.core.canonical import Json
from ssds.core.text import printable
from ssds.kinds.sbom.inventory import Distribution
from ssds.kinds.sbom.package import Package

TRIVY = "aquasecurity:trivy:"
_SYSTEMS = {"deb": "debian", "rpm": "redhat", "apk": "alpine"}
"""purl type → namespace where os-release names no distribution."""
_LANGUAGES = {
    "bioconductor": "r-pkg",
    "conda": "conda-pkg",
    "cran": "r-pkg",
    "julia": "julia",
    "npm": "node-pkg",
    "pypi": "python-pkg",
}


def property_of(name: str, value: str) -> Json:
    """Returns one property."""
    return {"name": name, "value": value}


def purl_of(
    kind: str, namespace: str, name: str, version: str, qualifiers: Mapping[str, str]
) -> str:
    """Returns a package URL; qualifiers without a value are left out."""
    from packageurl import PackageURL

    stated = {k: v for k, v in qualifiers.items() if v}
    return PackageURL(kind, namespace or None, name, version, stated or None).to_string()


def component_of(package: Package, distribution: Distribution) -> dict[str, Json]:
    """Returns the component of a package that a database in the image names."""
    system = package.type in _SYSTEMS
    component = _system(package, distribution) if system else _language(package)
    if package.licence:
        component["licenses"] = [
            {"expression": package.licence}
            if package.spdx
            else {"license": {"name": package.licence}}
        ]
    return component


def _system(package: Package, distribution: Distribution) -> dict[str, Json]:
    """Returns a package of the distribution, its source named for all who read either place."""
    upstream = "" if package.source == package.name else package.source
    if package.source_version != package.version:
        upstream = f"{package.source}@{package.source_version}"
    family = distribution.id or _SYSTEMS[package.type]
    stated = dict(package.qualifiers)
    qualifiers = {
        **stated,
        "arch": package.architecture,
        "distro": distribution.qualifier,
        "upstream": upstream,
    }
    purl = purl_of(package.type, family, package.name, package.version, qualifiers)
    return {
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "purl": purl,
        "properties": [
            property_of(f"{TRIVY}PkgID", f"{package.name}@{package.version}"),
            property_of(f"{TRIVY}PkgType", family),
            *_source(package, stated.get("epoch", "")),
        ],
    }


def _source(package: Package, epoch: str) -> list[Json]:
    named = [property_of(f"{TRIVY}SrcName", package.source)]
    if package.type != "rpm":
        return [*named, property_of(f"{TRIVY}SrcVersion", package.source_version)]
    version, _, release = package.source_version.rpartition("-")
    parts = {"SrcEpoch": epoch, "SrcRelease": release, "SrcVersion": version}
    return [*named, *(property_of(f"{TRIVY}{k}", v) for k, v in parts.items() if v)]


def _language(package: Package) -> dict[str, Json]:
    """Returns a package of a language; the same one may lie in several places."""
    namespace, _, name = package.name.rpartition("/")
    purl = purl_of(package.type, namespace, name, package.version, dict(package.qualifiers))
    place = printable(package.location)
    return {
        "type": "library",
        "bom-ref": f"{purl}#{place}",
        "name": package.name,
        "version": package.version,
        "purl": purl,
        "properties": [
            *([property_of("ssds:owned-by", package.owner)] if package.owner else []),
            property_of(f"{TRIVY}PkgType", _LANGUAGES[package.type]),
            property_of(f"{TRIVY}FilePath", place),
        ],
        "evidence": {"occurrences": [{"location": f"/{place}"}]},
    }
