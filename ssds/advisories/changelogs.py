"""Advisories from Debian changelogs: which version of a source package fixed which CVE.

They know only vulnerabilities that are fixed, and no severity: records are labelled
``changelog-derived``.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ssds.core.canonical import Json
from ssds.core.patterns import pattern
from ssds.packages.debian import (
    ChangelogEntry,
    Version,
    changelog_entries,
    changelog_text,
    control_text,
    paragraph,
)

_CVE = pattern(r"\bCVE-[0-9]{4}-[0-9]{4,7}\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """A changelog's word that a version of a source package fixed a vulnerability."""

    source: str
    id: str
    version: str
    suite: str
    date: str


def read_debs(folder: str, suite: str, release: str) -> list[dict[str, Json]]:
    """Returns the records that the changelogs of a folder's .deb files give for a suite.

    Args:
        folder: packages that the machine's apt downloaded.
        suite: whose updates count (``bookworm``).
        release: OSV's name of it (``Debian:12``).
    """
    fixes: list[Fix] = []
    for name in sorted(os.listdir(folder)):
        if name.endswith(".deb"):
            path = os.path.join(folder, name)
            fields = paragraph(control_text(path))
            source = fields.get("Source", fields.get("Package", "")).partition(" ")[0]
            fixes += fixes_of(changelog_entries(changelog_text(path)), source, suite)
    return fix_records(fixes, release)


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
