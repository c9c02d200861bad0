"""A report as Markdown. What comes from outside stands in code spans: no forge obeys it."""

from __future__ import annotations

from collections.abc import Sequence

from ssds.core.text import shown
from ssds.reports.model import COUNTS_HEAD, GAPS_HEAD, HEAD, SERVED_HEAD, Report
from ssds.reports.since import HEAD as SINCE_HEAD
from ssds.reports.since import UNSEEN_HEAD, Difference


def markdown(report: Report) -> str:
    """Returns one document: counts, what nobody looked at, findings, and who serves them."""
    parts = ["# Scan report", _table(COUNTS_HEAD, report.counts)]
    if report.gaps:
        parts += ["## Not looked at", _table(GAPS_HEAD, report.gaps)]
    if report.rows:
        parts += ["## Findings", _table(HEAD, report.rows)]
    if report.served:
        parts += ["## Deployed", _table(SERVED_HEAD, [s.row for s in report.served])]
    return "\n\n".join(parts) + "\n"


def since(found: Difference) -> str:
    """Returns what changed since an earlier report, as one document."""
    counts = [
        (str(len(found.new)), str(len(found.gone)), str(len(found.changed)), str(found.same)),
    ]
    parts = ["# Since the last scan", _table(("new", "gone", "changed", "the same"), counts)]
    if found.before != found.now:
        sets = [(", ".join(found.before) or "none", ", ".join(found.now) or "none")]
        parts.append(_table(("advisories then", "advisories now"), sets))
    if found.new:
        parts += ["## New", _table(SINCE_HEAD, found.new)]
    if found.gone:
        parts += ["## Gone", _table(SINCE_HEAD, found.gone)]
    if found.changed:
        rows = [(*row, text) for row, text in found.changed]
        parts += ["## Changed", _table((*SINCE_HEAD, "before"), rows)]
    if found.unseen:
        parts += ["## Not looked at any more", _table(UNSEEN_HEAD, found.unseen)]
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    lines += [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Returns a code span that ends at its end only, in a table too (GFM 0.29, 4.10 and 6.3)."""
    safe = shown(text).replace("\\", "/").replace("`", "'").replace("|", "\\|").strip()
    return f"`{safe}`" if safe else ""
