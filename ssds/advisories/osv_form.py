"""Writes what ``osv`` reads: the parts of records in OSV's form. Empty fields are left out."""

from __future__ import annotations

from collections.abc import Sequence

from ssds.advisories.osv import Affected, Score
from ssds.core.canonical import Json


def affected_form(seen: Affected) -> dict[str, Json]:
    """Returns an item of ``affected``."""
    entry: dict[str, Json] = {"package": {"ecosystem": seen.ecosystem, "name": seen.name}}
    if seen.ranges:
        entry["ranges"] = [
            {"type": "ECOSYSTEM", "events": [{kind: v} for kind, v in events]}
            for events in seen.ranges
        ]
    if seen.versions:
        entry["versions"] = list(seen.versions)
    if seen.scores:
        entry["severity"] = scores_form(seen.scores)
    specific = {"state": seen.state, "urgency": seen.urgency}
    if any(specific.values()):
        entry["ecosystem_specific"] = {k: v for k, v in specific.items() if v}
    return entry


def scores_form(scores: Sequence[Score]) -> list[Json]:
    """Returns the value of ``severity``."""
    return [{"type": s.kind, "score": s.vector} for s in scores]
