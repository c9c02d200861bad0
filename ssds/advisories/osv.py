"""Advisory sets: records in the OSV format, trimmed to facts, and what their ranges mean.

Source: OSV schema 1.6, "affected[].ranges[]" and its evaluation algorithm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cmp_to_key
from typing import TypedDict

from ssds.advisories.versions import KeyFunction, Order, order_of, same_name
from ssds.core.digest import Digest, sha256_of
from ssds.oci.document import Place, load_document

LIMIT_BYTES = 256 * 1024 * 1024
LIMIT_RECORDS = 1_000_000
LIMIT_ITEMS = 50_000
EVENTS = ("introduced", "fixed", "last_affected", "limit")
STATES = ("end-of-life", "ignored", "no-dsa", "postponed", "undetermined")
"""What Debian's tracker says of an open vulnerability; an end of life is no fix."""
ORDERED_RANGES = ("ECOSYSTEM", "SEMVER")


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A severity as the source states it: ``CVSS_V2``, ``CVSS_V3``, ``CVSS_V4`` and its vector."""

    kind: str
    vector: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Affected:
    """What one record says of one package.

    Attributes:
        ecosystem, name: OSV's words; the name in the ecosystem's normal form.
        ranges: the event lists whose versions have an order; git ranges are left out.
        versions: versions that are affected whatever the ranges say.
        scores: overrides the record's.
        urgency: the distribution's own word (Debian), or the empty string.
        state: why the distribution fixes nothing (STATES), or the empty string.
    """

    ecosystem: str
    name: str
    ranges: tuple[tuple[tuple[str, str], ...], ...]
    versions: tuple[str, ...]
    scores: tuple[Score, ...] = ()
    urgency: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One advisory.

    Attributes:
        id: its own id (``PYSEC-2022-288``, ``CVE-…``).
        aliases: other ids of the same vulnerability; ``related`` is not.
        upstream: the vulnerabilities that a distribution's record is about.
        scores: severities that hold for every affected package.
        word: the database's own word (``HIGH``), or the empty string.
        origin: where the record comes from (``changelog``, ``pypa``, ``ghsa``).
    """

    id: str
    aliases: tuple[str, ...]
    affected: tuple[Affected, ...]
    scores: tuple[Score, ...] = ()
    word: str = ""
    origin: str = ""
    upstream: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvisorySet:
    """A pinned set of advisories.

    Attributes:
        name, date: its identity; the date is that of its newest record (ISO).
        digest: sha256 of its bytes.
        ecosystems: the ecosystems that it speaks of; a package of another one is not covered.
        basis: ecosystem → what the records rest on, in words (``changelog-derived``).
        packages: (ecosystem, name) → what records say of it; withdrawn records are left out.
        provenance: origin → whose records they are, in words.
        known: id → facts, of a set as JSON.
        only: ecosystem → the names that were kept, where not all were.
    """

    name: str
    date: str
    digest: Digest
    ecosystems: tuple[str, ...]
    basis: Mapping[str, str]
    packages: Mapping[tuple[str, str], Sequence[tuple[Record, Affected]]]
    provenance: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    only: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def covers(self, ecosystem: str, *names: str) -> bool:
        """Whether the set speaks of ``ecosystem``, and of one of ``names`` where it has a few only.

        A record of the bare family (``Debian``) does not cover its releases (``Debian:12``).
        """
        if ecosystem not in self.ecosystems:
            return False
        only = self.only.get(ecosystem)
        return only is None or any(same_name(ecosystem, name) in only for name in names)

    def facts(self, name: str) -> Mapping[str, str]:
        """Returns what is known of an id besides: ``kev`` (a date), ``epss`` (a probability)."""
        return self.known.get(name, {})

    def about(self, ecosystem: str, name: str) -> list[tuple[Record, Affected]]:
        """Returns what the set says of a package."""
        wanted = same_name(ecosystem, name)
        found = list(self.packages.get((ecosystem, wanted), ()))
        family = ecosystem.partition(":")[0]
        if family != ecosystem:
            found += self.packages.get((family, wanted), ())
        return found


def read_advisories(data: bytes) -> AdvisorySet:
    """Returns the advisory set that ``data`` is as JSON.

    Raises:
        IntegrityError: not JSON, too large, or not of the set's form; the message names the path.
    """
    top = load_document(data, "advisory set", limit_bytes=LIMIT_BYTES)
    head = read_head(top)
    packages: dict[tuple[str, str], list[tuple[Record, Affected]]] = {}
    for item in top.items("records", limit=LIMIT_RECORDS):
        record = read_record(item)
        if record is not None:
            for affected in record.affected:
                key = (affected.ecosystem, affected.name)
                packages.setdefault(key, []).append((record, affected))
    return AdvisorySet(**head, digest=sha256_of(data), packages=packages, known=_known(top))


class Head(TypedDict):
    """What a set says of itself; see AdvisorySet."""

    name: str
    date: str
    ecosystems: tuple[str, ...]
    basis: dict[str, str]
    provenance: dict[str, str]
    only: dict[str, frozenset[str]]


def read_head(top: Place) -> Head:
    """Returns what a set, of either form, says of itself."""
    ecosystems = top.texts("ecosystems", limit=1000)
    if not ecosystems:
        top.fail("names no ecosystem")
    basis = top.text_map("basis")
    return Head(
        name=top.text("name"),
        date=top.text("date"),
        ecosystems=ecosystems,
        basis={e: basis.get(e, "") for e in ecosystems},
        provenance=top.text_map("provenance"),
        only=_only(top),
    )


def _only(top: Place) -> dict[str, frozenset[str]]:
    if not top.has("only"):
        return {}
    place = top.child("only")
    return {name: frozenset(place.texts(name, limit=LIMIT_ITEMS)) for name in place.map()}


def _known(top: Place) -> dict[str, dict[str, str]]:
    if not top.has("facts"):
        return {}
    place = top.child("facts")
    return {name: place.text_map(name) for name in place.map()}


def read_record(item: Place) -> Record | None:
    """Returns one OSV record, or None for a withdrawn one."""
    name = item.text("id")
    if item.has("withdrawn"):
        return None
    return Record(
        id=name,
        aliases=item.texts("aliases", limit=1000),
        affected=tuple(_affected(a) for a in item.items("affected", limit=LIMIT_ITEMS)),
        scores=_scores(item),
        word=_inner(item, "database_specific", "severity"),
        origin=item.text("origin", ""),
        upstream=item.texts("upstream", limit=1000),
    )


def _affected(item: Place) -> Affected:
    package = item.child("package")
    ecosystem = plain_ecosystem(package.text("ecosystem"))
    return Affected(
        ecosystem=ecosystem,
        name=same_name(ecosystem, package.text("name")),
        ranges=tuple(
            _events(entry)
            for entry in item.items("ranges", limit=LIMIT_ITEMS)
            if entry.text("type") in ORDERED_RANGES
        ),
        versions=item.texts("versions", limit=LIMIT_ITEMS),
        scores=_scores(item),
        urgency=_inner(item, "ecosystem_specific", "urgency"),
        state=_inner(item, "ecosystem_specific", "state"),
    )


def plain_ecosystem(text: str) -> str:
    """Returns OSV's ecosystem without the suffix of releases with long support."""
    return text.removesuffix(":LTS") if text.startswith("Ubuntu:") else text


def _events(entry: Place) -> tuple[tuple[str, str], ...]:
    events: list[tuple[str, str]] = []
    for item in entry.items("events", limit=LIMIT_ITEMS):
        kinds = [kind for kind in EVENTS if item.has(kind)]
        if len(kinds) != 1:
            item.fail(f"must have exactly one of {', '.join(EVENTS)}")
        events.append((kinds[0], item.text(kinds[0])))
    return tuple(events)


def _inner(item: Place, key: str, inner: str) -> str:
    """Returns a text of an inner map; another type says nothing (the field is free-form)."""
    value = item.map().get(key)
    found = value.get(inner) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def _scores(item: Place) -> tuple[Score, ...]:
    return tuple(
        Score(kind=s.text("type"), vector=s.text("score"))
        for s in item.items("severity", limit=100)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Whether a version is affected.

    Attributes:
        affected: the answer.
        fixed: the version that ends the interval it lies in, or the empty string.
        undecided: why the answer is no more than "nothing says so", or the empty string.
    """

    affected: bool
    fixed: str = ""
    undecided: str = ""


def evaluate(affected: Affected, ecosystem: str, version: str) -> Answer:
    """Returns whether ``version`` is affected: it is listed, or a range includes it."""
    order = order_of(ecosystem)
    key = order(version) if order else None
    listed = version in affected.versions
    if order is None or key is None:
        listed = listed or any(_everything(events) for events in affected.ranges)
        unsaid = not listed and (any(affected.ranges) or not affected.versions)
        return Answer(affected=listed, undecided=_no_order(version) if unsaid else "")
    listed = listed or any(_equal(order(v), key) for v in affected.versions)
    unread: list[str] = []
    hit, fixed = False, ""
    for events in affected.ranges:
        bad = [v for kind, v in events if not _readable(kind, v, order)]
        if bad:
            unread += bad
            continue
        inside, end = in_range(events, key, order)
        if inside:
            hit, fixed = True, end or fixed
    if listed and not fixed:
        fixed = _next_fix(affected, key, order)
    undecided = ""
    if not (hit or listed):
        if unread:
            undecided = _no_order(unread[0])
        elif not affected.ranges and not affected.versions:
            undecided = "the record names no versions"
    return Answer(affected=hit or listed, fixed=fixed, undecided=undecided)


def _no_order(version: str) -> str:
    return f"version {version[:100]!r} has no order"


def _everything(events: Sequence[tuple[str, str]]) -> bool:
    """Whether a range includes every version, so that no order is needed."""
    return ("introduced", "0") in events and set(events) <= {("introduced", "0"), ("limit", "*")}


def _readable(kind: str, version: str, order: KeyFunction) -> bool:
    if (kind == "introduced" and version == "0") or (kind == "limit" and version == "*"):
        return True
    return order(version) is not None


def in_range(events: Sequence[tuple[str, str]], key: Order, order: KeyFunction) -> tuple[bool, str]:
    """Returns whether an event list includes the version, and the fix that ends its interval.

    ``introduced`` and ``last_affected`` include their version, ``fixed`` and ``limit`` do not;
    ``introduced: 0`` is before everything. Where events share one version, an open interval is
    closed and reopened, a closed one opened and closed (so 2.0..2.0 is empty).
    """
    limits = [v for kind, v in events if kind == "limit"]
    if limits and not any(v == "*" or key < order(v) for v in limits):
        return False, ""
    inside = False
    for group in _sorted_groups(events, order):
        first = group[0][1]
        if first != "0" and not _equal_or_after(key, order(first)):
            fix = next((v for kind, v in group if kind == "fixed"), "")
            if inside and fix:
                return True, fix
            if inside and any(kind == "last_affected" for kind, _ in group):
                return True, ""
            continue
        inside = _step(inside, group, key, order)
    return inside, ""


def _step(inside: bool, group: Sequence[tuple[str, str]], key: Order, order: KeyFunction) -> bool:
    kinds = {kind for kind, _ in group}
    opens = "introduced" in kinds
    fixed = "fixed" in kinds
    last = next((v for kind, v in group if kind == "last_affected"), None)
    if last is not None and _equal(order(last), key):
        return (inside or opens) and not (fixed and not opens)
    closes = fixed or last is not None
    if inside:
        return not closes or opens
    return opens and not closes


def _sorted_groups(
    events: Sequence[tuple[str, str]], order: KeyFunction
) -> list[list[tuple[str, str]]]:
    """Returns the events without limits, in version order, those of one version together."""

    def compare(left: tuple[str, str], right: tuple[str, str]) -> int:
        if (left[1] == "0") != (right[1] == "0"):
            return -1 if left[1] == "0" else 1
        if left[1] == right[1]:
            return 0
        a, b = order(left[1]), order(right[1])
        return 0 if _equal(a, b) else (-1 if a < b else 1)  # type: ignore[operator]

    groups: list[list[tuple[str, str]]] = []
    for event in sorted((e for e in events if e[0] != "limit"), key=cmp_to_key(compare)):
        if groups and compare(groups[-1][0], event) == 0:
            groups[-1].append(event)
        else:
            groups.append([event])
    return groups


def _equal(a: Order | None, b: Order | None) -> bool:
    return a is not None and b is not None and not a < b and not b < a


def _equal_or_after(key: Order, other: Order | None) -> bool:
    return other is not None and not key < other


def _next_fix(affected: Affected, key: Order, order: KeyFunction) -> str:
    """Returns the lowest fix above a version that is affected only because it is listed."""
    best, best_key = "", None
    for events in affected.ranges:
        for kind, version in events:
            at = order(version) if kind == "fixed" else None
            if at is not None and key < at and (best_key is None or at < best_key):
                best, best_key = version, at
    return best
