"""What an SBOM says is in the image, as packages to match.

Reads CycloneDX 1.4 to 1.6 JSON: our own, and those of others. The source name and version of a
distribution package come from the ``aquasecurity:trivy:Src*`` properties or, without them, from
the purl qualifier ``upstream=``; of rpm packages this may be the source package's file name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ssds.core.errors import IntegrityError
from ssds.core.patterns import pattern
from ssds.oci.document import Place, load_document

LIMIT_BYTES = 64 * 1024 * 1024
LIMIT_COMPONENTS = 200_000
OWNED_BY = "ssds:owned-by"
UNREAD = "ssds:unread-database"
UNREADABLE = "ssds:unreadable"
_DISTRIBUTIONS = {
    "almalinux": "AlmaLinux:{major}",
    "alpine": "Alpine:v{minor}",
    "chainguard": "Chainguard",
    "debian": "Debian:{major}",
    "mageia": "Mageia:{major}",
    "openeuler": "openEuler:{release}",
    "opensuse-leap": "openSUSE:Leap {release}",
    "rhel": "Red Hat:{major}",
    "rocky": "Rocky Linux:{major}",
    "ubuntu": "Ubuntu:{release}",
    "wolfi": "Wolfi",
}
"""os-release's id → OSV's ecosystem."""
SYSTEMS = ("deb", "rpm", "apk")
"""purl types of distributions' packages."""
ECOSYSTEMS = {
    "bioconductor": "Bioconductor",
    "cargo": "crates.io",
    "composer": "Packagist",
    "cran": "CRAN",
    "gem": "RubyGems",
    "golang": "Go",
    "hex": "Hex",
    "julia": "Julia",
    "maven": "Maven",
    "npm": "npm",
    "nuget": "NuGet",
    "pub": "Pub",
    "pypi": "PyPI",
}
"""purl type → OSV's ecosystem; types that are not here have no advisories anywhere."""
_SOURCE_RPM = pattern(r"(.+)-([^-]+)-([^-]+)\.(?:no)?src\.rpm")
_REMEDY = "Give the SBOM that the sbom node made, or CycloneDX JSON of version 1.4 to 1.6."


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Package:
    """One package of the image.

    Attributes:
        ecosystem: OSV's word (``Debian:12``, ``PyPI``), or the empty string when advisories know
            no such ecosystem (conda, generic).
        name, version: as installed.
        source, source_version: what is looked up; the same as name and version for languages.
        type: the purl's type.
        owner: the distribution package that installed it, or the empty string.
    """

    ecosystem: str
    name: str
    version: str
    source: str
    source_version: str
    type: str
    owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What an SBOM says.

    Attributes:
        packages: sorted, without doubles.
        unread: package systems whose database the inventory saw but cannot read (``rpm``).
        unreadable: paths of package records that the inventory could not read.
    """

    packages: tuple[Package, ...]
    unread: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()


def read_packages(data: bytes) -> list[Package]:
    """Returns the packages of an SBOM; see ``read_sbom``."""
    return list(read_sbom(data).packages)


def read_sbom(data: bytes) -> Contents:
    """Returns what an SBOM says.

    Raises:
        IntegrityError: not CycloneDX JSON, too large, or of a wrong shape.
    """
    top = load_document(data, "SBOM", limit_bytes=LIMIT_BYTES)
    if top.text("bomFormat", "") != "CycloneDX":
        raise IntegrityError("SBOM: bomFormat is not CycloneDX", hint=_REMEDY, code="V002")
    found: set[Package] = set()
    count = 0
    stack = [top]
    while stack:
        for item in stack.pop().items("components", limit=LIMIT_COMPONENTS):
            count += 1
            if count > LIMIT_COMPONENTS:
                top.fail(f"has more than {LIMIT_COMPONENTS} components")
            package = _package(item)
            if package is not None:
                found.add(package)
            stack.append(item)
    metadata = top.child("metadata") if top.has("metadata") else Place("SBOM", "metadata", {})
    said: dict[str, set[str]] = {UNREAD: set(), UNREADABLE: set()}
    for entry in metadata.items("properties", limit=100_000):
        said.get(entry.text("name"), set()).add(entry.text("value", ""))
    return Contents(
        packages=tuple(sorted(found)),
        unread=tuple(sorted(said[UNREAD])),
        unreadable=tuple(sorted(said[UNREADABLE])),
    )


def _package(item: Place) -> Package | None:
    name = item.text("name")
    purl = item.text("purl", "")
    if not purl:
        return None
    parts = _parse(item, purl)
    version = parts.version or item.text("version", "")
    properties = _properties(item)
    owner = properties.get(OWNED_BY, "")
    if parts.type in SYSTEMS:
        epoch = parts.qualifiers.get("epoch", "")
        if parts.type == "rpm" and epoch not in ("", "0") and ":" not in version:
            version = f"{epoch}:{version}"
        source, source_version = _source(item, parts, properties, version)
        return Package(
            ecosystem=_distribution(parts),
            name=parts.name,
            version=version,
            source=source,
            source_version=source_version,
            type=parts.type,
        )
    return Package(
        ecosystem=ECOSYSTEMS.get(parts.type, ""),
        name=name,
        version=version,
        source=_language_name(parts),
        source_version=version,
        type=parts.type,
        owner=owner,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Purl:
    type: str
    namespace: str
    name: str
    version: str
    qualifiers: Mapping[str, str]


def _parse(item: Place, text: str) -> _Purl:
    from packageurl import PackageURL

    try:
        purl = PackageURL.from_string(text)
    except ValueError as error:
        item.fail(f"has a purl that cannot be read ({str(error)[:120]})", code="V002")
    return _Purl(
        type=purl.type,
        namespace=purl.namespace or "",
        name=purl.name,
        version=purl.version or "",
        qualifiers={str(k): str(v) for k, v in dict(purl.qualifiers).items()},
    )


def _properties(item: Place) -> dict[str, str]:
    return {
        entry.text("name"): entry.text("value", "")
        for entry in item.items("properties", limit=1000)
    }


def _language_name(parts: _Purl) -> str:
    """Returns the name that advisories use: ``@scope/name``, ``group:artifact``, a module path."""
    if not parts.namespace:
        return parts.name
    return f"{parts.namespace}{':' if parts.type == 'maven' else '/'}{parts.name}"


def _distribution(parts: _Purl) -> str:
    """Returns OSV's ecosystem: ``debian-12`` gives ``Debian:12``; without a release no release."""
    family, _, release = parts.qualifiers.get("distro", "").rpartition("-")
    form = _DISTRIBUTIONS.get(parts.namespace.lower()) or _DISTRIBUTIONS.get(family.lower())
    if form is None:
        return parts.namespace or parts.type
    if not release:
        return form.partition(":")[0]
    numbers = release.split(".")
    return form.format(release=release, major=numbers[0], minor=".".join(numbers[:2]))


def _source(
    item: Place, parts: _Purl, properties: Mapping[str, str], version: str
) -> tuple[str, str]:
    name = properties.get("aquasecurity:trivy:SrcName", "")
    if name:
        epoch = properties.get("aquasecurity:trivy:SrcEpoch", "")
        upstream = properties.get("aquasecurity:trivy:SrcVersion", "")
        revision = properties.get("aquasecurity:trivy:SrcRelease", "")
        if not upstream:
            return name, version
        text = f"{epoch}:{upstream}" if epoch and epoch != "0" else upstream
        return name, f"{text}-{revision}" if revision else text
    upstream = parts.qualifiers.get("upstream", "")
    named = _SOURCE_RPM.fullmatch(upstream) if parts.type == "rpm" else None
    if named:
        epoch = parts.qualifiers.get("epoch", "0")
        text = f"{named[2]}-{named[3]}"
        return named[1], text if epoch in ("", "0") else f"{epoch}:{text}"
    name, _, source_version = upstream.partition("@")
    if name:
        return name, source_version or version
    return parts.name or item.text("name"), version
