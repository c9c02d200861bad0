"""Gives an advisory set to other scanners: a zip of OSV records, as OSV's own exports."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence

from ssds.advisories.osv import AdvisorySet, Record
from ssds.advisories.osv_form import affected_form, scores_form
from ssds.core.canonical import Json, canonical_bytes

_EPOCH = (1980, 1, 1, 0, 0, 0)


def osv_zip(found: AdvisorySet, ecosystem: str = "") -> bytes:
    """Returns the bytes of a zip with one ``ID.json`` per record; the same set, the same bytes.

    Args:
        found: the set.
        ecosystem: only what is said of it; empty for all.
    """
    records: dict[str, tuple[Record, list[Json]]] = {}
    for key in sorted(found.packages):
        if ecosystem and key[0] != ecosystem:
            continue
        for record, affected in found.packages[key]:
            known = records.setdefault(record.id, (record, []))
            known[1].append(affected_form(affected))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, (record, entries) in sorted(records.items()):
            text = canonical_bytes(_record(record, entries, f"{found.date}T00:00:00Z"))
            archive.writestr(zipfile.ZipInfo(f"{_safe(name)}.json", _EPOCH), text)
    return buffer.getvalue()


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_.:+" else "_" for c in name)[:200]


def _record(record: Record, entries: Sequence[Json], modified: str) -> Json:
    unique = {json.dumps(e, sort_keys=True): e for e in entries}
    return {
        "schema_version": "1.6.0",
        "id": record.id,
        "modified": modified,
        "aliases": list(record.aliases),
        **({"upstream": list(record.upstream)} if record.upstream else {}),
        "affected": [entry for _, entry in sorted(unique.items())],
        **({"severity": scores_form(record.scores)} if record.scores else {}),
        **({"database_specific": {"severity": record.word}} if record.word else {}),
    }
