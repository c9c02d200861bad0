"""A report as Markdown. What comes from outside stands in code spans: no forge obeys it."""

from __future__ import annotations

from collections.abc import Sequence

from ssds.core.text import shown
from ssds.reports.model import HEAD, LEVELS, SERVED_HEAD, Report, counts


def markdown(report: Report) -> str:
    """Returns one document: counts, what nobody looked at, findings, and who serves them."""
    summary = [
        (image.release, image.platform, *(str(n) for n in counts(image).values()))
        for image in report.images
    ]
    parts = ["# Scan report", _table(("release", "platform", *LEVELS), summary)]
    if report.gaps:
        parts += ["## Not looked at", _table(("release", "platform", "what"), report.gaps)]
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
