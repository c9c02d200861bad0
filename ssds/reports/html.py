"""A report as one HTML page: no script, nothing from elsewhere, charts as inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from ssds.core.text import shown
from ssds.kinds.scan.severity import LEVELS
from ssds.reports.model import GAPS_HEAD, HEAD, SERVED_HEAD, Report, counts

COLOURS = dict(
    zip(LEVELS, ("#7b1fa2", "#c62828", "#ef6c00", "#f9a825", "#9e9e9e", "#546e7a"), strict=True)
)
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 78rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ddd;
  overflow-wrap: anywhere; vertical-align: top }
svg { display: block; max-width: 100%; height: auto }
svg text { font: 13px system-ui, sans-serif }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_NAME_PX, _BAR_PX, _ROW_PX, _LEGEND_PX = 340, 500, 24, 28


def html(report: Report) -> str:
    """Returns the page."""
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Scan report</title><style>{_STYLE}</style></head><body>",
        "<h1>Scan report</h1>",
    ]
    if report.images:
        parts.append(chart({f"{i.release} {i.platform}": counts(i) for i in report.images}))
    if report.gaps:
        parts += ["<h2>Not looked at</h2>", _table(GAPS_HEAD, report.gaps)]
    parts.append("<h2>Findings</h2>")
    parts.append(_table(HEAD, report.rows) if report.rows else "<p>None.</p>")
    if report.served:
        parts += ["<h2>Deployed</h2>", _table(SERVED_HEAD, [s.row for s in report.served])]
    return "\n".join([*parts, "</body></html>", ""])


def chart(bars: Mapping[str, Mapping[str, int]]) -> str:
    """Returns an SVG: a stacked bar for each name, as long as it has findings, and a legend."""
    widest = max((sum(levels.values()) for levels in bars.values()), default=0) or 1
    height = _LEGEND_PX + _ROW_PX * len(bars)
    width = _NAME_PX + _BAR_PX + 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        "<desc>Findings by severity</desc>",
    ]
    for index, level in enumerate(LEVELS):
        x = index * 120
        parts.append(f'<rect x="{x}" y="4" width="12" height="12" fill="{COLOURS[level]}"/>')
        parts.append(f'<text x="{x + 17}" y="15">{level}</text>')
    for row, (name, levels) in enumerate(bars.items()):
        y, before = _LEGEND_PX + row * _ROW_PX, 0
        parts.append(f'<text x="0" y="{y + 15}">{_text(name)}</text>')
        for level, count in levels.items():
            if count:
                x, end = (_NAME_PX + _BAR_PX * n // widest for n in (before, before + count))
                parts.append(
                    f'<rect x="{x}" y="{y}" width="{max(1, end - x)}" height="18" '
                    f'fill="{COLOURS[level]}"><title>{count} {level}</title></rect>'
                )
            before += count
        end = _NAME_PX + _BAR_PX * before // widest
        parts.append(f'<text x="{end + 6}" y="{y + 15}">{before}</text>')
    return "\n".join([*parts, "</svg>"])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["<table><thead><tr>", *(f"<th>{_text(c)}</th>" for c in head), "</tr></thead><tbody>"]
    lines += ["<tr>" + "".join(f"<td>{_text(c)}</td>" for c in row) + "</tr>" for row in rows]
    return "".join([*lines, "</tbody></table>"])


def _text(text: str) -> str:
    return escape(shown(text))
