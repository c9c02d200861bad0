"""Severity as a source states it: the distribution's urgency, else CVSS 4, 3, 2, else its word.

What no source states is ``unknown`` and never invented (C15).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ssds.advisories.osv import Affected, Record, Score

LEVELS = ("critical", "high", "medium", "low", "negligible", "unknown")
"""From the worst down; ``negligible`` is a source's own "does not count"."""

_WORDS = {
    "critical": "critical",
    "high": "high",
    "moderate": "medium",
    "medium": "medium",
    "low": "low",
    "negligible": "negligible",
    "unimportant": "negligible",
    "none": "negligible",
}
_CVSS = ("CVSS_V4", "CVSS_V3", "CVSS_V2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Severity:
    """A level of LEVELS, and where it comes from in words (empty for ``unknown``)."""

    level: str
    source: str = ""


UNKNOWN = Severity(level="unknown")


def severity_of(said: Iterable[tuple[Record, Affected]]) -> Severity:
    """Returns the severity of one finding from all records that report it.

    The order of trust: the distribution's urgency, CVSS version 4, 3.x, 2, the database's word.
    Among equals the worse one counts.
    """
    pairs = list(said)
    urgencies = [(_word(a.urgency), f"urgency {a.urgency}", r.id) for r, a in pairs if a.urgency]
    found = _worst(urgencies)
    if found:
        return found
    for kind in _CVSS:
        scores = [
            (level_of(score), score.vector, record.id)
            for record, affected in pairs
            for score in (affected.scores or record.scores)
            if score.kind == kind
        ]
        found = _worst(scores)
        if found:
            return found
    words = [(_word(r.word), f"stated as {r.word}", r.id) for r, _ in pairs if r.word]
    return _worst(words) or UNKNOWN


def vectors_of(said: Iterable[tuple[Record, Affected]]) -> list[str]:
    """Returns every CVSS vector that the records state, sorted."""
    return sorted({s.vector for r, a in said for s in (a.scores or r.scores) if s.kind in _CVSS})


def _worst(candidates: list[tuple[str, str, str]]) -> Severity | None:
    known = [c for c in candidates if c[0]]
    if not known:
        return None
    level, why, record = min(known, key=lambda c: (LEVELS.index(c[0]), c[2], c[1]))
    return Severity(level=level, source=f"{record}: {why}")


def _word(text: str) -> str:
    return _WORDS.get(text.strip().lower().rstrip("*"), "")


def level_of(score: Score) -> str:
    """Returns the level of a CVSS vector, or the empty string when it cannot be read."""
    from cvss import CVSS2, CVSS3, CVSS4
    from cvss.exceptions import CVSSError

    makers = {"CVSS_V2": CVSS2, "CVSS_V3": CVSS3, "CVSS_V4": CVSS4}
    try:
        levels = makers[score.kind](score.vector).severities()
    except (CVSSError, KeyError, ValueError, ArithmeticError):
        return ""
    return _word(str(levels[0]))
