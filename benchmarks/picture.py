"""The results as a picture: one bar for each target, as a share of what is allowed."""

from __future__ import annotations

from html import escape

from report import Results, case_name

_WIDTH, _ROW, _LEFT, _TOP, _RIGHT = 780, 26, 320, 58, 120
_MET, _MISSED = "#2f7d4f", "#b5442c"


def picture(results: Results) -> str:
    """Returns an SVG; the dashed line is the target, shorter is better."""
    entries = [entry for entry in results["targets"] if "ratio" in entry]
    bottom = _TOP + _ROW * len(entries)
    line = _LEFT + (_WIDTH - _LEFT - _RIGHT) * 0.6
    about = f"{results['date']}, {results['machine']['processor']}; shorter is better"
    parts = [
        _open(bottom + 30),
        _text(12, 22, "CPU time of ssds against others, as a share of the target", size=15),
        _text(12, 40, about, fill="#555555"),
    ]
    for number, entry in enumerate(entries):
        parts += _bar(entry, _TOP + _ROW * number, line)
    ends = f'x1="{line:.0f}" y1="{_TOP - 6}" x2="{line:.0f}" y2="{bottom}"'
    parts.append(f'<line {ends} stroke="#222222" stroke-dasharray="4 3"/>')
    parts += [_text(line, bottom + 16, "target", anchor="middle"), "</svg>"]
    return "\n".join(parts) + "\n"


def _open(height: int) -> str:
    size = f'width="{_WIDTH}" height="{height}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {_WIDTH} {height}" '
        f'font-family="sans-serif">\n<rect {size} fill="#ffffff"/>'
    )


def _text(
    x: float, y: float, text: str, *, size: int = 12, fill: str = "#222222", anchor: str = "start"
) -> str:
    look = f'font-size="{size}" fill="{fill}" text-anchor="{anchor}"'
    return f'<text x="{x:.0f}" y="{y:.0f}" {look}>{escape(text)}</text>'


def _bar(entry: Results, top: int, line: float) -> list[str]:
    end = _WIDTH - _RIGHT
    length = min(entry["ratio"] / entry["most"] * (line - _LEFT), end - _LEFT)
    colour = _MET if entry["met"] else _MISSED
    size = f'width="{length:.0f}" height="{_ROW - 10}"'
    return [
        _text(_LEFT - 8, top + 14, f"{case_name(entry)}: {entry['against']}", anchor="end"),
        f'<rect x="{_LEFT}" y="{top + 3}" {size} fill="{colour}"/>',
        _text(end + 8, top + 14, f"{entry['ratio']:.2f} x of {entry['most']:.2f} x"),
    ]
