"""A report as Markdown. What comes from outside stands in code spans: no forge obeys it."""

from __future__ import annotations

from collections.abc import Sequence

from ssds.core.text import shown
from ssds.reports.model import COUNTS_HEAD, GAPS_HEAD, HEAD, SERVED_HEAD, Report


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


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    lines += [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Returns a code span that ends at its end only, in a table too (GFM 0.29, 4.10 and 6.3)."""
    safe = shown(text).replace("\\", "/").replace("`", "'").replace("|", "\\|").strip()
    return f"`{safe}`" if safe else ""
