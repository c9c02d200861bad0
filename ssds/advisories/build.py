"""Makes an advisory set of facts: ids, versions, severities, states and dates; no prose.

The same sources give the same bytes, whatever their order: as JSON with one record a line, to be
reviewed in Git, or packed with an index.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ssds.advisories import sources
from ssds.advisories.changelogs import read_debs
from ssds.advisories.osv import Affected, evaluate, read_record
from ssds.advisories.osv_form import affected_form, scores_form
from ssds.advisories.pack import pack, read_set
from ssds.advisories.versions import same_name
from ssds.core.canonical import Json, canonical_bytes
from ssds.core.errors import UsageError
from ssds.oci.document import Place

KINDS = {
    "osv": "an OSV export, a zip of one ecosystem",
    "folder": "a checkout of an advisory repository: OSV as JSON or YAML, Julia's",
    "debian": "the JSON of Debian's security tracker",
    "debs": "a folder of .deb files, whose changelogs name what they fixed",
    "kev": "CISA's JSON of exploited vulnerabilities",
    "epss": "EPSS's CSV, also as .gz",
    "eol": "distro-info's CSV of releases and their ends (debian.csv, ubuntu.csv)",
}
"""What a set is made of: the word for it, and what is read."""
_BASIS = {
    "osv": "public OSV records",
    "folder": "public OSV records",
    "debian": "Debian's security tracker",
    "debs": "changelog-derived: knows fixed vulnerabilities only",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where advisories come from.

    Attributes:
        kind: one of KINDS.
        path: the file or folder.
        label: the records' ``origin``.
        note: whose they are, in words.
    """

    kind: str
    path: str
    label: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to make.

    Attributes:
        name: of the set (``debian-12``).
        sources: what it is made of.
        ecosystems: OSV's words that are kept (``Debian:12``, ``PyPI``); empty means all.
        packages: names that are kept, in all ecosystems; empty means all. The set says so, and
            covers no others. Changelogs are kept whole.
        date: of the set, where its records name none (Debian's tracker).
        suite, release: the Debian suite whose changelogs count, and OSV's name of it.
        as_json: as JSON, not packed.
    """

    name: str
    sources: tuple[Source, ...]
    ecosystems: frozenset[str] = frozenset()
    packages: frozenset[str] = frozenset()
    date: str = ""
    suite: str = "bookworm"
    release: str = "Debian:12"
    as_json: bool = False


def build(request: Request) -> bytes:
    """Returns the bytes of an advisory set.

    Raises:
        IntegrityError: a source is damaged or hostile; the message names the file and the place.
        UsageError: V023, no source has a record that is kept.
    """
    records: list[dict[str, Json]] = []
    basis: dict[str, str] = {}
    facts: dict[str, dict[str, str]] = {}
    in_part: set[str] = set()
    for source in request.sources:
        kept = list(_records(source, request))
        records += kept
        for record in kept:
            basis.update({e: _BASIS[source.kind] for e in _ecosystems(record) if e not in basis})
            if request.packages and source.kind != "debs":
                in_part.update(_ecosystems(record))
        for name, known in _facts(source).items():
            facts.setdefault(name, {}).update(known)
    if not records:
        raise UsageError(
            "no source has an advisory that is kept",
            hint="Name sources of records (osv, folder, debian, debs), and the right ecosystems.",
            code="V023",
        )
    records.sort(key=lambda r: (str(r["id"]), canonical_bytes(r)))
    about = {name for r in records for name in _names(r)}
    named = set(basis)
    facts = {n: k for n, k in facts.items() if n in about or n in named}
    dates = [str(r["modified"]) for r in records if r.get("modified")]
    head: dict[str, Json] = {
        "name": request.name,
        "date": request.date or max(dates, default="")[:10],
        "ecosystems": sorted(basis),
        "basis": dict(basis),
        "provenance": {s.label: s.note or s.label for s in request.sources},
    }
    if in_part:
        head["only"] = {e: sorted(_wanted(e, request)) for e in sorted(in_part)}
    data = render(head, records, facts) if request.as_json else pack(head, records, facts)
    read_set(data)
    return data


def render(
    head: Mapping[str, Json],
    records: Iterable[Mapping[str, Json]],
    facts: Mapping[str, Mapping[str, str]] | None = None,
) -> bytes:
    """Returns the set as JSON text with one record a line."""
    more: dict[str, Json] = {"facts": {n: dict(k) for n, k in facts.items()}} if facts else {}
    lines = [
        f" {json.dumps(key)}: {canonical_bytes(value).decode()}"
        for key, value in sorted({**head, **more}.items())
    ]
    rows = ",\n  ".join(canonical_bytes(r).decode() for r in records)
    lines.append(' "records": [\n  ' + rows + "\n ]")
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def _facts(source: Source) -> dict[str, dict[str, str]]:
    if source.kind == "kev":
        return sources.kev(source.path)
    if source.kind == "epss":
        return sources.epss(source.path)
    if source.kind == "eol":
        family = "Ubuntu" if "ubuntu" in os.path.basename(source.path).lower() else "Debian"
        return sources.ends_of_life(source.path, family)
    return {}


def _records(source: Source, request: Request) -> Iterator[dict[str, Json]]:
    if source.kind == "debs":
        for record in read_debs(source.path, request.suite, request.release):
            yield {**record, "origin": source.label}
        return
    readers = {"osv": sources.osv_zip, "folder": sources.folder}
    found: Iterator[Place] = iter(())
    if source.kind in readers:
        found = readers[source.kind](source.path)
    elif source.kind == "debian":
        found = (Place(source.path, "", r) for r in sources.debian_tracker(source.path))
    for place in found:
        kept = trim(place, source.label, request)
        if kept is not None:
            yield kept


def _ecosystems(record: Mapping[str, Json]) -> list[str]:
    affected = record["affected"]
    assert isinstance(affected, list)
    return [str(entry["package"]["ecosystem"]) for entry in affected]


def _names(record: Mapping[str, Json]) -> list[str]:
    return [str(record["id"]), *_texts(record.get("aliases")), *_texts(record.get("upstream"))]


def _wanted(ecosystem: str, request: Request) -> set[str]:
    return {same_name(ecosystem, name) for name in request.packages}


def _texts(value: Json) -> Sequence[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def trim(record: Place, origin: str, request: Request) -> dict[str, Json] | None:
    """Returns the facts of an OSV record, or None when it is withdrawn or of other packages."""
    parsed = read_record(record)
    if parsed is None:
        return None
    affected: list[Json] = [_affected(a) for a in parsed.affected if _kept(a, request)]
    if not affected:
        return None
    facts: dict[str, Json] = {"id": parsed.id, "origin": origin, "affected": affected}
    if parsed.aliases:
        facts["aliases"] = sorted(parsed.aliases)
    if parsed.upstream:
        facts["upstream"] = sorted(parsed.upstream)
    if record.text("modified", ""):
        facts["modified"] = record.text("modified")[:10]
    if parsed.scores:
        facts["severity"] = scores_form(parsed.scores)
    if parsed.word:
        facts["database_specific"] = {"severity": parsed.word}
    return facts


def _kept(seen: Affected, request: Request) -> bool:
    if seen.ecosystem.startswith("~"):  # ours, for facts: no publisher's
        return False
    family = seen.ecosystem.partition(":")[0]
    wanted = request.ecosystems
    if wanted and seen.ecosystem not in wanted and family not in wanted:
        return False
    return not request.packages or seen.name in _wanted(seen.ecosystem, request)


def _affected(seen: Affected) -> dict[str, Json]:
    """Returns OSV's form; versions that a range includes are left out."""
    ranges = replace(seen, versions=())
    bare = [v for v in seen.versions if not evaluate(ranges, seen.ecosystem, v).affected]
    return affected_form(replace(seen, versions=tuple(sorted(bare))))
