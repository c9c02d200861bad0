"""Builds an advisory set from facts: Debian changelogs and public OSV records.

Run as ``python -m ssds.kinds.scan.advisories``. It reads local files only: .deb files that the
machine's apt downloaded, and folders of OSV records (JSON or YAML). It keeps ids, versions,
severities and dates, no prose. What changelogs say is labelled ``changelog-derived``: they know
only vulnerabilities that are fixed, and no severity.
"""

from __future__ import annotations

import argparse
import datetime as dt
import email.utils
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ssds.core.canonical import Json, canonical_bytes
from ssds.core.errors import IntegrityError, SsdsError, UsageError
from ssds.core.patterns import pattern
from ssds.host.files import atomic_write
from ssds.kinds.scan.osv import evaluate, read_advisories, read_record
from ssds.kinds.scan.versions import same_name
from ssds.oci.document import Place
from ssds.packages.debian import (
    ChangelogEntry,
    Version,
    changelog_entries,
    changelog_text,
    control_text,
    paragraph,
)

RECORD_LIMIT_BYTES = 4 * 1024 * 1024
_CVE = pattern(r"\bCVE-[0-9]{4}-[0-9]{4,7}\b")
_PROVENANCE = {"changelog": "changelogs inside the Debian packages of the suite's archives"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """A changelog's word that a version of a source package fixed a vulnerability."""

    source: str
    id: str
    version: str
    suite: str
    date: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OsvFolder:
    """A folder of OSV records; ``label`` becomes their ``origin``, ``note`` says whose they are."""

    label: str
    path: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to build.

    Attributes:
        name: of the set (``debian-12``).
        suite: the Debian suite whose updates count (``bookworm``).
        release: OSV's ecosystem (``Debian:12``).
        debs: a folder of .deb files, or the empty string.
        osv: folders of OSV records.
        packages: names of language packages whose records are kept; empty means all.
    """

    name: str
    suite: str
    release: str
    debs: str = ""
    osv: tuple[OsvFolder, ...] = ()
    packages: frozenset[str] = field(default_factory=frozenset)


def build(request: Request) -> bytes:
    """Returns the bytes of an advisory set: sorted, one record a line, the same on any machine."""
    records = fix_records(_fixes(request), request.release)
    basis = {request.release: "changelog-derived: knows fixed vulnerabilities only"}
    provenance = dict(_PROVENANCE) if request.debs else {}
    for folder in request.osv:
        provenance[folder.label] = folder.note or folder.label
        for record in _osv_records(folder):
            kept = trim(record, folder.label, request.packages)
            if kept is not None:
                records.append(kept)
                basis.update(dict.fromkeys(_ecosystems(kept), "public OSV records"))
    records.sort(key=lambda r: (str(r["id"]), canonical_bytes(r)))
    dates = [str(r["modified"]) for r in records if r.get("modified")]
    data = render(
        {
            "name": request.name,
            "date": max(dates, default="")[:10],
            "ecosystems": sorted(basis),
            "basis": basis,
            "provenance": provenance,
        },
        records,
    )
    read_advisories(data)
    return data


def render(head: Mapping[str, Json], records: Iterable[Mapping[str, Json]]) -> bytes:
    """Returns the set as JSON text with one record a line."""
    lines = [
        f" {json.dumps(key)}: {canonical_bytes(value).decode()}"
        for key, value in sorted(head.items())
    ]
    rows = ",\n  ".join(canonical_bytes(r).decode() for r in records)
    lines.append(' "records": [\n  ' + rows + "\n ]")
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def _ecosystems(record: Mapping[str, Json]) -> list[str]:
    affected = record["affected"]
    assert isinstance(affected, list)
    return [str(entry["package"]["ecosystem"]) for entry in affected]


# --- changelogs ----------------------------------------------------------------------------------


def _fixes(request: Request) -> Iterator[Fix]:
    if not request.debs:
        return
    for name in sorted(os.listdir(request.debs)):
        if name.endswith(".deb"):
            path = os.path.join(request.debs, name)
            fields = paragraph(control_text(path))
            source = fields.get("Source", fields.get("Package", "")).partition(" ")[0]
            yield from fixes_of(changelog_entries(changelog_text(path)), source, request.suite)


def fixes_of(entries: Iterable[ChangelogEntry], source: str, suite: str) -> Iterator[Fix]:
    """Gives the fixes that updates of ``suite`` name; of several for one id, the first made.

    A later entry that names an id again mostly says that upstream has the patch by now.
    """
    first: dict[str, Fix] = {}
    for entry in entries:
        suites = [s for s in entry.suites if s.partition("-")[0] == suite]
        if entry.package != source or not suites:
            continue
        for name in set(_CVE.findall(entry.text)):
            known = first.get(name)
            if known is None or Version(entry.version) < Version(known.version):
                first[name] = Fix(
                    source=source,
                    id=name,
                    version=entry.version,
                    suite=suites[0],
                    date=_date(entry.date),
                )
    yield from first.values()


def _date(text: str) -> str:
    """Returns an RFC 5322 date as ISO date in UTC, or the empty string."""
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError):
        return ""
    return moment.astimezone(dt.UTC).date().isoformat()


def fix_records(fixes: Iterable[Fix], release: str) -> list[dict[str, Json]]:
    """Returns one record per id: every source package that fixed it, below its fixed version."""
    by_id: dict[str, dict[str, Fix]] = {}
    for fix in fixes:
        known = by_id.setdefault(fix.id, {}).get(fix.source)
        if known is None or Version(fix.version) < Version(known.version):
            by_id[fix.id][fix.source] = fix
    return [
        {
            "id": name,
            "modified": max(fix.date for fix in sources.values()),
            "origin": "changelog",
            "affected": [_affected(fix, release) for _, fix in sorted(sources.items())],
        }
        for name, sources in sorted(by_id.items())
    ]


def _affected(fix: Fix, release: str) -> Json:
    return {
        "package": {"ecosystem": release, "name": fix.source},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fix.version}]}],
        "database_specific": {"suite": fix.suite, "date": fix.date},
    }


# --- OSV records ---------------------------------------------------------------------------------


def _osv_records(folder: OsvFolder) -> Iterator[Place]:
    found = 0
    for parent, folders, names in os.walk(folder.path):
        folders.sort()
        for name in sorted(names):
            if name.endswith((".json", ".yaml", ".yml")):
                found += 1
                yield _load(os.path.join(parent, name))
    if not found:
        raise UsageError(f"{folder.path} holds no OSV record (*.json, *.yaml)")


def _load(path: str) -> Place:
    import yaml

    with open(path, "rb") as file:
        data = file.read(RECORD_LIMIT_BYTES + 1)
    if len(data) > RECORD_LIMIT_BYTES:
        raise IntegrityError(f"{path} is larger than {RECORD_LIMIT_BYTES} bytes")
    try:
        value = json.loads(data) if path.endswith(".json") else _yaml(data)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise IntegrityError(f"{path} is no JSON or YAML: {str(error)[:200]}") from error
    place = Place(path, "", value)
    place.map()
    return place


def _yaml(data: bytes) -> object:
    """Returns the YAML value with every scalar as text: dates and versions stay as written."""
    import yaml

    return yaml.load(data, Loader=yaml.BaseLoader)  # noqa: S506 - it only makes texts


def trim(record: Place, origin: str, packages: frozenset[str]) -> dict[str, Json] | None:
    """Returns the facts of an OSV record, or None when it is withdrawn or of other packages."""
    parsed = read_record(record)
    if parsed is None:
        return None
    affected: list[Json] = []
    for seen in parsed.affected:
        if seen.ecosystem != "PyPI" or (packages and seen.name not in packages):
            continue
        ranges = replace(seen, versions=())
        bare = [v for v in seen.versions if not evaluate(ranges, seen.ecosystem, v).affected]
        entry: dict[str, Json] = {"package": {"ecosystem": seen.ecosystem, "name": seen.name}}
        if seen.ranges:
            entry["ranges"] = [
                {"type": "ECOSYSTEM", "events": [{kind: v} for kind, v in events]}
                for events in seen.ranges
            ]
        if bare:
            entry["versions"] = sorted(bare)
        if seen.scores:
            entry["severity"] = [{"type": s.kind, "score": s.vector} for s in seen.scores]
        affected.append(entry)
    if not affected:
        return None
    facts: dict[str, Json] = {"id": parsed.id, "origin": origin, "affected": affected}
    if parsed.aliases:
        facts["aliases"] = sorted(parsed.aliases)
    if record.text("modified", ""):
        facts["modified"] = record.text("modified")[:10]
    if parsed.scores:
        facts["severity"] = [{"type": s.kind, "score": s.vector} for s in parsed.scores]
    if parsed.word:
        facts["database_specific"] = {"severity": parsed.word}
    return facts


# --- command line --------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes an advisory set; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ssds.kinds.scan.advisories")
    parser.add_argument("--name", default="debian-12")
    parser.add_argument("--suite", default="bookworm")
    parser.add_argument("--release", default="Debian:12", help="OSV's name of the suite")
    parser.add_argument("--debs", default="", help="folder of .deb files (apt-get download)")
    parser.add_argument(
        "--osv", action="append", default=[], metavar="LABEL=DIR", help="folder of OSV records"
    )
    parser.add_argument(
        "--note", action="append", default=[], metavar="LABEL=TEXT", help="whose records they are"
    )
    parser.add_argument("--packages", default="", help="keep these Python packages, by comma")
    parser.add_argument("--out", required=True)
    options = parser.parse_args(arguments)
    notes = dict(text.partition("=")[::2] for text in options.note)
    request = Request(
        name=options.name,
        suite=options.suite,
        release=options.release,
        debs=options.debs,
        osv=tuple(
            OsvFolder(label=label, path=path, note=notes.get(label, ""))
            for label, _, path in (text.partition("=") for text in options.osv)
        ),
        packages=frozenset(same_name("PyPI", p) for p in options.packages.split(",") if p),
    )
    try:
        data = build(request)
        atomic_write(options.out, data, point="advisories")
    except (SsdsError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stderr.write(f"{options.out}: {len(data)} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
