"""Matches packages against advisories: findings, one per package and vulnerability.

Distribution packages are looked up by source name and source version; language packages by their
normal name, unless a distribution package installed them: its backported fixes are invisible to
the language's advisories.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ssds.core.canonical import Json
from ssds.kinds.scan.components import Package
from ssds.kinds.scan.osv import AdvisorySet, Affected, Record, evaluate
from ssds.kinds.scan.severity import severity_of, vectors_of
from ssds.kinds.scan.versions import order_of

FORMAT = 1
_PREFERENCE = ("CVE-", "GHSA-", "PYSEC-", "DSA-", "DLA-")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hit:
    record: Record
    affected: Affected
    fixed: str


def findings(
    packages: Sequence[Package], advisories: AdvisorySet | None, *, unread: Sequence[str] = ()
) -> dict[str, Json]:
    """Returns the findings document, canonical JSON.

    ``unread`` are package systems that the inventory could not read: they are not covered.

    Shape: ``{format, scanned, advisories?, packages: {total, matched, owned}, uncovered,
    without_source, problems, findings: [{id, aliases, ecosystem, package, version, source,
    source_version, fixed, severity, severity_source, vectors, origins}]}``. ``scanned`` is False
    without an advisory set: that is not "clean".
    """
    looked: list[Package] = []
    owned = 0
    uncovered: dict[str, int] = dict.fromkeys(unread, 0)
    without: dict[str, int] = {}
    for package in packages:
        if not package.ecosystem:
            without[package.type] = without.get(package.type, 0) + 1
        elif package.owner:
            owned += 1
        elif advisories is None or not advisories.covers(package.ecosystem):
            uncovered[package.ecosystem] = uncovered.get(package.ecosystem, 0) + 1
        else:
            looked.append(package)
    problems: set[str] = set()
    found: list[dict[str, Json]] = []
    if advisories is not None:
        for package in looked:
            found += _of_package(package, advisories, problems)
    document: dict[str, Json] = {
        "format": FORMAT,
        "scanned": advisories is not None,
        "packages": {"total": len(packages), "matched": len(looked), "owned": owned},
        "uncovered": uncovered,
        "without_source": without,
        "problems": sorted(problems),
        "findings": sorted(found, key=_position),
    }
    if advisories is not None:
        document["advisories"] = {
            "name": advisories.name,
            "date": advisories.date,
            "digest": str(advisories.digest),
            "ecosystems": {e: advisories.basis.get(e, "") for e in advisories.ecosystems},
        }
    return document


def _position(finding: dict[str, Json]) -> tuple[str, ...]:
    names = ("ecosystem", "source", "package", "version", "id")
    return tuple(str(finding[name]) for name in names)


def _of_package(
    package: Package, advisories: AdvisorySet, problems: set[str]
) -> list[dict[str, Json]]:
    order = order_of(package.ecosystem)
    if order is None or order(package.source_version) is None:
        problems.add(
            f"{package.ecosystem} {package.source}: version {package.source_version[:100]!r} "
            "has no order; only listed versions were compared"
        )
    hits: list[_Hit] = []
    for record, affected in advisories.about(package.ecosystem, package.source):
        answer = evaluate(affected, package.ecosystem, package.source_version)
        problems.update(f"{record.id}: version {v[:100]!r} has no order" for v in answer.unread)
        if answer.affected:
            hits.append(_Hit(record=record, affected=affected, fixed=answer.fixed))
    return [_finding(package, group) for group in grouped(hits)]


def grouped(hits: Iterable[_Hit]) -> list[list[_Hit]]:
    """Returns the hits of one package, those that share an id or alias together."""
    groups: list[tuple[set[str], list[_Hit]]] = []
    for hit in hits:
        names = {hit.record.id, *hit.record.aliases}
        members = [hit]
        rest = []
        for known, others in groups:
            if known & names:
                names |= known
                members = others + members
            else:
                rest.append((known, others))
        groups = [*rest, (names, members)]
    return [members for _, members in groups]


def preferred(names: Iterable[str]) -> list[str]:
    """Returns ids in order of preference: CVE, GHSA, PYSEC, DSA, DLA, others; then by text."""

    def rank(name: str) -> tuple[int, str]:
        for index, prefix in enumerate(_PREFERENCE):
            if name.startswith(prefix):
                return index, name
        return len(_PREFERENCE), name

    return sorted(set(names), key=rank)


def _finding(package: Package, hits: Sequence[_Hit]) -> dict[str, Json]:
    names = preferred(n for hit in hits for n in (hit.record.id, *hit.record.aliases))
    said = [(hit.record, hit.affected) for hit in hits]
    severity = severity_of(said)
    return {
        "id": names[0],
        "aliases": names[1:],
        "ecosystem": package.ecosystem,
        "package": package.name,
        "version": package.version,
        "source": package.source,
        "source_version": package.source_version,
        "fixed": _highest(package.ecosystem, [hit.fixed for hit in hits if hit.fixed]),
        "severity": severity.level,
        "severity_source": severity.source,
        "vectors": list(vectors_of(said)),
        "origins": sorted({hit.record.origin for hit in hits if hit.record.origin}),
    }


def _highest(ecosystem: str, versions: Sequence[str]) -> str:
    """Returns the version that clears every record of the finding, or the empty string."""
    order = order_of(ecosystem)
    best = ""
    for version in sorted(versions):
        at = order(version) if order else None
        known = order(best) if order and best else None
        if at is not None and (known is None or known < at):
            best = version
    return best
