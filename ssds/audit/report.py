"""An audit as one page that needs no other file, and as text. Pure.

Whatever comes from images (paths, packages, contents in diffoscope's view) is escaped; the view
lies in a frame of its own that may run nothing, and the page may fetch nothing.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

from ssds.audit.model import CLASSES, EXPLANATIONS, UNBUILT
from ssds.core.records import dataclass
from ssds.core.text import shown
from ssds.store.ledger import Audit

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:.5em 0}td,th{border:1px solid #bbb;padding:.2em .6em;
text-align:left;vertical-align:top}th{background:#f2f2f2}code{font-size:13px;word-break:break-all}
.identical{color:#2e7d32}.differs,.unbuilt{color:#c62828}.normalised{color:#b26a00}
iframe{width:100%;height:40em;border:1px solid #bbb}
""".strip()
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """diffoscope's view of one image's differing files: a page, and text."""

    page: str
    text: str


def page(
    audits: Sequence[Audit],
    notes: Mapping[tuple[str, str], str],
    views: Mapping[tuple[str, str], View],
    dates: Mapping[int, str],
) -> str:
    """Returns one HTML page.

    Args:
        notes, views: by release and platform, where there are any.
        dates: time in seconds → what is written for it.
    """
    head = ["image", "platform", "class", "level", "causes", "builder", "audited"]
    rows = [
        [
            (f'<a href="#{_anchor(number)}">{_text(audit.release)}</a>'),
            _text(audit.platform),
            f'<span class="{_text(audit.result)}">{_text(audit.result)}</span>',
            _text(audit.level or "-"),
            _text(", ".join(audit.causes) or "-"),
            _text(f"{audit.builder} ({audit.mode or '-'})"),
            _text(dates[audit.at]),
        ]
        for number, audit in enumerate(audits)
    ]
    parts = [_table(head, rows)]
    for number, audit in enumerate(audits):
        place = (audit.release, audit.platform)
        parts.append(_section(_anchor(number), audit, notes.get(place, ""), views.get(place)))
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>Audit</title><style>{_STYLE}</style></head><body>\n"
        f"<h1>Audit</h1>\n{body}\n</body></html>\n"
    )


def text(
    audits: Sequence[Audit],
    notes: Mapping[tuple[str, str], str],
    views: Mapping[tuple[str, str], View],
) -> str:
    """Returns the same as plain text."""
    lines: list[str] = []
    for audit in audits:
        place = (audit.release, audit.platform)
        own = [f"{audit.release} [{audit.platform}]: {audit.result}"]
        own.append(f"  released {audit.manifest}")
        own.append(f"  rebuilt  {_found(audit)} by {audit.builder} ({audit.mode or '-'})")
        own += [f"  {word}" for word in (_explained(audit), notes.get(place, "")) if word]
        own += [f"  {f.cause}  /{f.path}  {f.what}  {f.owner}".rstrip() for f in audit.files]
        if audit.count > len(audit.files):
            own.append(f"  and {audit.count - len(audit.files)} more")
        lines += map(shown, own)  # the name of a file is no line of ours
        if place in views:
            lines += ["", shown(views[place].text.rstrip(), lines=True)]
        lines.append("")
    return "\n".join(lines)


def _found(audit: Audit) -> str:
    return "-" if audit.result == UNBUILT else str(audit.found)


def _section(anchor: str, audit: Audit, note: str, view: View | None) -> str:
    words = _explained(audit) or CLASSES[audit.result]
    parts = [
        f'<h2 id="{anchor}">{_text(audit.release)} [{_text(audit.platform)}]</h2>',
        f'<p class="{_text(audit.result)}">{_text(audit.result)}: {_text(words)}</p>',
        f"<p>{_text(note)}</p>" if note else "",
        _table(
            ["", "manifest"],
            [
                ["released", f"<code>{_text(str(audit.manifest))}</code>"],
                ["rebuilt", f"<code>{_text(_found(audit))}</code>"],
            ],
        ),
        _pairs("changed", audit.varied),
        _pairs("as before", audit.kept),
        _pairs("tools", audit.tools),
    ]
    if audit.files:
        files = [
            [_text(f.cause), f"<code>/{_text(f.path)}</code>", _text(f.what), _text(f.owner)]
            for f in audit.files
        ]
        parts.append(_table(["cause", "path", "what differs", "written by"], files))
    if audit.count > len(audit.files):
        parts.append(f"<p>and {audit.count - len(audit.files)} more</p>")
    if view is not None:
        page_ = shown(view.page, lines=True)
        parts.append(
            "<details open><summary>diffoscope's view</summary>"
            f'<iframe sandbox="" title="diffoscope" srcdoc="{html.escape(page_)}"></iframe>'
            "</details>"
        )
    return "\n".join(part for part in parts if part)


def _explained(audit: Audit) -> str:
    return EXPLANATIONS.get(audit.explained, "")


def _pairs(title: str, values: Mapping[str, str]) -> str:
    rows = [[_text(name), _text(value)] for name, value in sorted(values.items())]
    return _table([title, ""], rows) if rows else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table of cells that are HTML already."""
    lines = ["<table><tr>" + "".join(f"<th>{_text(cell)}</th>" for cell in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows]
    return "\n".join([*lines, "</table>"])


def _text(value: str) -> str:
    return html.escape(shown(value))


def _anchor(number: int) -> str:
    return f"image-{number + 1}"
