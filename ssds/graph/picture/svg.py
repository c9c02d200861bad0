"""A picture as SVG: one file, no script, no link, nothing that is loaded from elsewhere.

It follows the reader's light or dark setting, tells its content to screen readers, and shows the
reason and the key of a box where one points at it. The same picture gives the same bytes.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from ssds.graph.picture.layout import BOX_HEIGHT, Layout, Piece, Placed, laid_out
from ssds.graph.picture.model import IMPORTANCE, Box, Level, Picture, printable, shortened
from ssds.graph.picture.style import STYLES

_MARGIN = 24
_HEAD = 92
_NAME_ROOM = 43
_NOTE_ROOM = 60
_TOLD_ROOM = 300
_BADGE = 30


def svg(picture: Picture) -> str:
    """Returns a whole SVG document (SVG 1.1), ending with a line end."""
    layout = laid_out(picture.boxes, picture.lines, _width_of)
    legend, legend_width = _legend(picture)
    width = max(layout.width, legend_width, 460) + 2 * _MARGIN
    notes = [line for note in picture.notes for line in _wrapped(note, width - 2 * _MARGIN)]
    height = _HEAD + layout.height + _MARGIN + 18 * len(notes) + (10 if notes else 0)
    tails: dict[str, list[Piece]] = {}
    for piece in layout.pieces:
        tails.setdefault(piece.tail, []).append(piece)
    heads = {line.head for line in picture.lines}
    left = (width - layout.width) // 2
    body = []
    for placed in layout.boxes:
        name = placed.box.id
        body.append(_box(placed, tails.get(name, ()), has_inputs=name in heads))
    return "\n".join(
        [
            _opening(width, height),
            f"<title>{_text(picture.title)}</title>",
            f"<desc>{_text(_described(picture, layout))}</desc>",
            f"<style>{_css()}</style>",
            f'<rect class="paper" width="{width}" height="{height}"/>',
            f'<text class="head" x="{_MARGIN}" y="34">{_text(shortened(picture.title, 60))}</text>',
            *legend,
            f'<g transform="translate({left} {_HEAD})">',
            *body,
            "</g>",
            *(
                f'<text class="small" x="{_MARGIN}" y="{height - 18 * (len(notes) - i) + 2}">'
                f"{_text(note)}</text>"
                for i, note in enumerate(notes)
            ),
            "</svg>\n",
        ]
    )


def _opening(width: int, height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'class="ssds" viewBox="0 0 {width} {height}" role="img">'
    )


def _described(picture: Picture, layout: Layout) -> str:
    what = {Level.NODES: "nodes", Level.RELEASES: "releases and bases", Level.GROUPS: "groups"}
    text = (
        f"{len(layout.boxes)} {what[picture.level]}, drawn from left to right: what stands left "
        f"is needed by what stands right. {picture.summary}."
    )
    return " ".join([text, *picture.notes])


def _legend(picture: Picture) -> tuple[list[str], int]:
    """Returns the line that says what signs and colours mean, and its width."""
    total = sum(picture.totals.values())
    words = f"{total:,} node{'s' if total != 1 else ''}:"
    parts = [f'<text class="small" x="{_MARGIN}" y="61">{words}</text>']
    x = _measure(words, 12) + 12
    for verb in IMPORTANCE:
        count = picture.totals.get(verb)
        if not count:
            continue
        words = f"{count:,} {STYLES[verb].means}"
        parts.append(
            f'<g class="{verb.word}" transform="translate({_MARGIN + x} 48)">'
            f"{_rect('badge', 0, 0, 18, 18, 4)}"
            f'<text class="sign" x="9" y="13.5">{_text(verb.value)}</text>'
            f'<text class="small" x="25" y="13">{_text(words)}</text></g>'
        )
        x += 25 + _measure(words, 12) + 22
    if any(line.verdict for line in picture.lines):
        parts.append(
            f'<g transform="translate({_MARGIN + x} 48)"><path class="line verdict" '
            'd="M0 9H26"/><text class="small" x="33" y="13">a verdict that must pass</text></g>'
        )
        x += 33 + _measure("a verdict that must pass", 12)
    return parts, x


def _box(placed: Placed, pieces: Sequence[Piece], *, has_inputs: bool) -> str:
    """Returns a box and the lines that leave it; they light up together."""
    box, y = placed.box, placed.y - BOX_HEIGHT // 2
    told = "\n".join(shortened(line, _TOLD_ROOM) for line in box.details)
    parts = [
        f'<g class="box {box.verb.word}"><title>{_text(told)}</title>',
        *_lines(pieces),
        _rect("frame", placed.x, y, placed.width, BOX_HEIGHT, 6),
        _rect("badge", placed.x + 7, y + 13, 18, 18, 4),
        f'<text class="sign" x="{placed.x + 16}" y="{y + 26.5}">{_text(box.verb.value)}</text>',
        f'<text class="name" x="{placed.x + _BADGE + 2}" y="{y + 19}">{_text(_name(box))}</text>',
        f'<text class="small" x="{placed.x + _BADGE + 2}" y="{y + 34}">{_text(_note(box))}</text>',
        *_share(placed, y),
    ]
    if has_inputs:
        x, middle = placed.x, placed.y
        parts.append(f'<path class="tip" d="M{x - 7} {middle - 4}L{x} {middle}l-7 4Z"/>')
    return "".join([*parts, "</g>"])


def _rect(name: str, x: int, y: int, width: int, height: int, round_px: int) -> str:
    return (
        f'<rect class="{name}" x="{x}" y="{y}" width="{width}" height="{height}" rx="{round_px}"/>'
    )


def _lines(pieces: Sequence[Piece]) -> list[str]:
    found = []
    for verdict, name in ((False, "line"), (True, "line verdict")):
        way = "".join(_way(piece) for piece in pieces if piece.verdict is verdict)
        if way:
            found.append(f'<path class="{name}" d="{way}"/>')
    return found


def _way(piece: Piece) -> str:
    """Returns path commands; the curve stays between its ends, level where it meets them."""
    middle = (piece.x1 + piece.x2) // 2
    way = f"M{piece.x1} {piece.y1}"
    if piece.y1 == piece.y2:
        return f"{way}H{piece.through}"
    way += f"C{middle} {piece.y1} {middle} {piece.y2} {piece.x2} {piece.y2}"
    return way + (f"H{piece.through}" if piece.through != piece.x2 else "")


def _share(placed: Placed, y: int) -> Iterable[str]:
    """Gives the strip at the foot of a box of several verbs: how much of it has which."""
    counts = placed.box.counts
    if len([verb for verb in counts if counts[verb]]) < 2:
        return
    total, done = sum(counts.values()), 0
    room = placed.width - 14
    for verb in IMPORTANCE:
        if not counts.get(verb):
            continue
        start, end = (room * part // total for part in (done, done + counts[verb]))
        done += counts[verb]
        yield _rect(f"share {verb.word}", placed.x + 7 + start, y + 38, max(2, end - start), 3, 1)


def _name(box: Box) -> str:
    return shortened(box.name, _NAME_ROOM)


def _note(box: Box) -> str:
    return shortened(box.note, _NOTE_ROOM)


def _width_of(box: Box) -> int:
    text = max(_measure(_name(box), 14, bold=True), _measure(_note(box), 12))
    return max(120, _BADGE + text + 14)


_NARROW = frozenset("fijlrtI.,:;|!'()[] /-·")
_BROAD = frozenset("mwMW@%&…ABCDEFGHKNOQRUVXYZ")


def _measure(text: str, size: int, *, bold: bool = False) -> int:
    """Returns how many pixels a text takes at most in a sans-serif of that size."""
    total = 0.0
    for letter in text:
        if unicodedata.east_asian_width(letter) in "WF":
            total += 1.05
        elif letter in _NARROW:
            total += 0.42
        else:
            total += 0.88 if letter in _BROAD else 0.65
    return round(total * size * (1.09 if bold else 1.0))


def _wrapped(note: str, room: int) -> list[str]:
    return textwrap.wrap(printable(note), max(40, room * 10 // 72))


def _text(text: str) -> str:
    """Returns text for element content; nothing in it is markup."""
    lines = printable(text, lines=True)
    return lines.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


_FONTS = "'Segoe UI','Helvetica Neue',Helvetica,Arial,'DejaVu Sans',sans-serif"
_LIGHT = {
    "text": f"font-family:{_FONTS}",
    ".paper": "fill:#fff",
    ".head": "font-size:19px;font-weight:600;fill:#1f2328",
    ".name": "font-size:14px;font-weight:600;fill:#1f2328",
    ".small": "font-size:12px;fill:#4d5560",
    ".sign": "font-size:14px;font-weight:700;text-anchor:middle;fill:#fff",
    ".line": "fill:none;stroke:#8b949e;stroke-width:1.4",
    ".verdict": "stroke-dasharray:4 3",
    ".tip": "fill:#8b949e",
    ".frame": "stroke-width:1.3",
    ".box:hover .line": "stroke:#1f2328;stroke-width:2.6",
}
_DARK = {
    ".paper": "fill:#0d1117",
    ".head": "fill:#e6edf3",
    ".name": "fill:#e6edf3",
    ".small": "fill:#a5afba",
    ".sign": "fill:#0d1117",
    ".line": "stroke:#6e7681",
    ".tip": "fill:#6e7681",
    ".box:hover .line": "stroke:#e6edf3",
}


def _css() -> str:
    """Returns the rules; none reaches outside of the picture, should a page hold it inline."""
    light, dark = dict(_LIGHT), dict(_DARK)
    for verb, look in STYLES.items():
        frame, badge, share = (
            f".{verb.word} .frame",
            f".{verb.word} .badge",
            f".share.{verb.word}",
        )
        light[frame] = f"fill:{look.surface};stroke:{look.line}"
        light[frame] += f";stroke-dasharray:{look.dashes}" if look.dashes else ""
        light[frame] += ";stroke-width:2" if look.thick else ""
        light[badge] = light[share] = f"fill:{look.line}"
        dark[frame] = f"fill:{look.dark_surface};stroke:{look.dark_line}"
        dark[badge] = dark[share] = f"fill:{look.dark_line}"
    return f"{_rules(light)}@media (prefers-color-scheme:dark){{{_rules(dark)}}}"


def _rules(rules: Mapping[str, str]) -> str:
    return "".join(f".ssds {selector}{{{body}}}" for selector, body in rules.items())
