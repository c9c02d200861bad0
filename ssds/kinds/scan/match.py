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
from ssds.kinds.scan.components import SYSTEMS, Package
from ssds.kinds.scan.severity import severity_of, vectors_of

FORMAT = 1
_MODULE = ".module"
_CVE = "CVE-"
_PREFERENCE = (_CVE, "GHSA-", "PYSEC-", "DSA-", "DLA-")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hit:
    record: Record
    affected: Affected
    fixed: str


UNREAD_RECORD = "the package record "
"""How the problem begins that says so of a file."""

Memo = dict[Package, tuple[list[dict[str, Json]], frozenset[str]]]
"""What one set says of packages: images of one catalog mostly have the same ones."""


def findings(
    packages: Sequence[Package],
    advisories: AdvisorySet | None,
    *,
    unread: Sequence[str] = (),
    unreadable: Sequence[str] = (),
    memo: Memo | None = None,
) -> dict[str, Json]:
    """Returns the findings document, canonical JSON.

    ``unread`` are package systems that the inventory could not read: they are not covered;
    ``unreadable`` are package records that it could not read;
    ``memo`` keeps what was found for the next image, and belongs to this set.

    Shape: ``{format, scanned, advisories?, packages: {total, matched, owned}, uncovered,
    without_source, problems, findings: [{id, aliases, ecosystem, package, version, source,
    source_version, fixed, partly_fixed?, severity, severity_source, vectors, origins, state?,
    since?, kev?, epss?}]}``. ``problems`` say what could not be judged. ``fixed`` clears every
    record, ``partly_fixed`` those that name a fix; ``state`` is why there is none (``STATES``).
    ``kev`` is the day since which it is known to be exploited, ``epss`` the probability that it
    will be. ``scanned`` is False without an advisory set: that is not "clean".
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
        elif advisories is None or not advisories.covers(
            package.ecosystem, *(name for name, _ in _names(package))
        ):
            uncovered[package.ecosystem] = uncovered.get(package.ecosystem, 0) + 1
        else:
            looked.append(package)
    problems = {f"{UNREAD_RECORD}{path} cannot be read" for path in unreadable}
    found: list[dict[str, Json]] = []
    if advisories is not None:
        for package in looked:
            said, undecided = _known(package, advisories, memo if memo is not None else {})
            found += said
            problems |= undecided
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
    hits: list[_Hit] = []
    for name, version in _names(package):
        for record, affected in advisories.about(package.ecosystem, name):
            if package.type == "rpm" and not _same_stream(affected, version):
                continue
            answer = evaluate(affected, package.ecosystem, version)
            if answer.undecided:
                problems.add(
                    f"{package.ecosystem} {name} {version[:100]} by {record.id}: {answer.undecided}"
                )
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
    for ecosystem in sorted({p.ecosystem for p in packages if p.type in SYSTEMS}):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """What is said of one vulnerability, and its names."""

    names: frozenset[str]
    hits: list[_Hit]


def grouped(hits: Sequence[_Hit]) -> list[_Group]:
    """Returns the hits of one package by vulnerability.

    A CVE is one: a record of several (a distribution's advisory) stands under each, and lends it
    no name but its own id. Records without a CVE go with those that share an id or alias.
    """
    cves = {id(hit): _cves(hit.record) for hit in hits}
    of_name: dict[str, set[str]] = {}
    for hit in hits:
        if found := cves[id(hit)]:
            for name in _lent(hit.record, found):
                of_name.setdefault(name, set()).update(found)
    groups: dict[str, _Group] = {}

    def put(key: str, names: Iterable[str], hit: _Hit) -> None:
        known = groups.get(key) or _Group(names=frozenset(), hits=[])
        groups[key] = _Group(names=known.names.union(names), hits=[*known.hits, hit])

    for members in _chains([hit for hit in hits if not cves[id(hit)]]):
        names = {name for hit in members for name in (hit.record.id, *hit.record.aliases)}
        adopted = {cve for name in names for cve in of_name.get(name, ())}
        for hit in members:
            for cve in adopted:
                put(cve, (cve, *_lent(hit.record, adopted)), hit)
            if not adopted:
                put(min(names), names, hit)
    for hit in hits:
        for cve in cves[id(hit)]:
            put(cve, (cve, *_lent(hit.record, cves[id(hit)])), hit)
    return list(groups.values())


def _cves(record: Record) -> set[str]:
    names = (record.id, *record.aliases, *record.upstream)
    return {name for name in names if name.startswith(_CVE)}


def _lent(record: Record, cves: set[str]) -> list[str]:
    """Returns the record's names that are no CVE; of a record of several its id only."""
    names = (record.id, *record.aliases) if len(cves) == 1 else (record.id,)
    return [name for name in names if not name.startswith(_CVE)]


def _chains(hits: Sequence[_Hit]) -> list[list[_Hit]]:
    """Returns the hits, those that share an id or alias together."""
    above: dict[str, str] = {}

    def root(name: str) -> str:
        while (up := above.setdefault(name, name)) != name:
            above[name] = above[up]
            name = up
        return name

    for hit in hits:
        for alias in hit.record.aliases:
            above[root(alias)] = root(hit.record.id)
    chains: dict[str, list[_Hit]] = {}
    for hit in hits:
        chains.setdefault(root(hit.record.id), []).append(hit)
    return list(chains.values())


def preferred(names: Iterable[str]) -> list[str]:
    """Returns ids in order of preference: CVE, GHSA, PYSEC, DSA, DLA, others; then by text."""

    def rank(name: str) -> tuple[int, str]:
        for index, prefix in enumerate(_PREFERENCE):
            if name.startswith(prefix):
                return index, name
        return len(_PREFERENCE), name

    return sorted(set(names), key=rank)


def _finding(package: Package, group: _Group, advisories: AdvisorySet) -> dict[str, Json]:
    hits = group.hits
    names = preferred(group.names)
    said = [(hit.record, hit.affected) for hit in hits]
    severity = severity_of(said)
    best = _highest(package.ecosystem, [hit.fixed for hit in hits if hit.fixed])
    fixed = best if all(hit.fixed for hit in hits) else ""
    more: dict[str, Json] = {"partly_fixed": best} if best and not fixed else {}
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
