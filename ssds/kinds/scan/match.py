"""Matches packages against advisories: findings, one per package and vulnerability.

Distribution packages are looked up by source name and source version; language packages by their
normal name, unless a distribution package installed them: its backported fixes are invisible to
the language's advisories.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ssds.advisories.osv import AdvisorySet, Affected, Record, evaluate
from ssds.advisories.versions import order_of
from ssds.core.canonical import Json
from ssds.kinds.scan.components import Package
from ssds.kinds.scan.severity import severity_of, vectors_of

FORMAT = 1
_MODULE = ".module"
_PREFERENCE = ("CVE-", "GHSA-", "PYSEC-", "DSA-", "DLA-")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hit:
    record: Record
    affected: Affected
    fixed: str


Memo = dict[Package, tuple[list[dict[str, Json]], frozenset[str]]]
"""What one set says of packages: images of one catalog mostly have the same ones."""


def findings(
    packages: Sequence[Package],
    advisories: AdvisorySet | None,
    *,
    unread: Sequence[str] = (),
    memo: Memo | None = None,
) -> dict[str, Json]:
    """Returns the findings document, canonical JSON.

    ``unread`` are package systems that the inventory could not read: they are not covered;
    ``memo`` keeps what was found for the next image, and belongs to this set.

    Shape: ``{format, scanned, advisories?, packages: {total, matched, owned}, uncovered,
    without_source, problems, findings: [{id, aliases, ecosystem, package, version, source,
    source_version, fixed, severity, severity_source, vectors, origins, state?, since?, kev?,
    epss?}]}``. ``state`` is why there is no fix (``STATES``), ``kev`` the day since which it is
    known to be exploited, ``epss`` the probability that it will be. ``scanned`` is False
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
            said, unordered = _known(package, advisories, memo if memo is not None else {})
            found += said
            problems |= unordered
        found += _ended(packages, advisories)
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


def _known(
    package: Package, advisories: AdvisorySet, memo: Memo
) -> tuple[list[dict[str, Json]], frozenset[str]]:
    known = memo.get(package)
    if known is None:
        problems: set[str] = set()
        found = _of_package(package, advisories, problems)
        known = memo[package] = (found, frozenset(problems))
    return known


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
    for name, version in _names(package):
        for record, affected in advisories.about(package.ecosystem, name):
            if package.type == "rpm" and not _same_stream(affected, version):
                continue
            answer = evaluate(affected, package.ecosystem, version)
            problems.update(f"{record.id}: version {v[:100]!r} has no order" for v in answer.unread)
            if answer.affected:
                hits.append(_Hit(record=record, affected=affected, fixed=answer.fixed))
    return [_finding(package, group, advisories) for group in grouped(hits)]


def _names(package: Package) -> list[tuple[str, str]]:
    """Returns what is looked up: rpm's advisories name binary packages, others the source."""
    names = [(package.source, package.source_version)]
    if package.type == "rpm" and package.name != package.source:
        names.append((package.name, package.version))
    return names


def _same_stream(affected: Affected, version: str) -> bool:
    """Whether an rpm and an advisory are both of a module, or neither: the numbers do not mix."""
    said = [v for events in affected.ranges for _, v in events if v != "0"]
    return not said or any(_MODULE in v for v in said) == (_MODULE in version)


def _ended(packages: Sequence[Package], advisories: AdvisorySet) -> list[dict[str, Json]]:
    """Returns a finding for each distribution whose support ended before the set was made."""
    found: list[dict[str, Json]] = []
    for ecosystem in sorted({p.ecosystem for p in packages if p.type in ("deb", "rpm", "apk")}):
        date = advisories.facts(ecosystem).get("eol", "")
        if date and date < advisories.date:
            family, _, release = ecosystem.partition(":")
            found.append(
                {
                    "id": f"EOL-{family}-{release}",
                    "aliases": [],
                    "ecosystem": ecosystem,
                    "package": family.lower(),
                    "version": release,
                    "source": family.lower(),
                    "source_version": release,
                    "fixed": "",
                    "severity": "unknown",
                    "severity_source": "",
                    "vectors": [],
                    "origins": [],
                    "state": "end-of-life",
                    "since": date,
                }
            )
    return found


def grouped(hits: Iterable[_Hit]) -> list[list[_Hit]]:
    """Returns the hits of one package, those that share an id or alias together."""
    above: dict[str, str] = {}

    def root(name: str) -> str:
        while (up := above.setdefault(name, name)) != name:
            above[name] = above[up]
            name = up
        return name

    members: list[_Hit] = []
    for hit in hits:
        members.append(hit)
        own = root(hit.record.id)
        for alias in hit.record.aliases:
            above[root(alias)] = own = root(own)
    groups: dict[str, list[_Hit]] = {}
    for hit in members:
        groups.setdefault(root(hit.record.id), []).append(hit)
    return list(groups.values())


def preferred(names: Iterable[str]) -> list[str]:
    """Returns ids in order of preference: CVE, GHSA, PYSEC, DSA, DLA, others; then by text."""

    def rank(name: str) -> tuple[int, str]:
        for index, prefix in enumerate(_PREFERENCE):
            if name.startswith(prefix):
                return index, name
        return len(_PREFERENCE), name

    return sorted(set(names), key=rank)


def _finding(package: Package, hits: Sequence[_Hit], advisories: AdvisorySet) -> dict[str, Json]:
    names = preferred(n for hit in hits for n in (hit.record.id, *hit.record.aliases))
    said = [(hit.record, hit.affected) for hit in hits]
    severity = severity_of(said)
    fixed = _highest(package.ecosystem, [hit.fixed for hit in hits if hit.fixed])
    more: dict[str, Json] = {}
    states = [hit.affected.state for hit in hits if hit.affected.state]
    if states and not fixed:
        more["state"] = min(states)
    for name in reversed(names):
        more.update(advisories.facts(name))
    return {
        "id": names[0],
        "aliases": names[1:],
        "ecosystem": package.ecosystem,
        "package": package.name,
        "version": package.version,
        "source": package.source,
        "source_version": package.source_version,
        "fixed": fixed,
        "severity": severity.level,
        "severity_source": severity.source,
        "vectors": list(vectors_of(said)),
        "origins": sorted({hit.record.origin for hit in hits if hit.record.origin}),
        **more,
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
