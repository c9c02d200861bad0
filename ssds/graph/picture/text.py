"""Pictures for other programs to draw: Graphviz and Mermaid."""

from __future__ import annotations

import re

from ssds.graph.picture.model import IMPORTANCE, Box, Picture, printable, shortened
from ssds.graph.picture.style import STYLES
from ssds.graph.plan import Verb

_TOLD_ROOM = 300
_LABEL_ROOM = 48
_PLAIN = re.compile(r"[^A-Za-z0-9 @._:/+=,·…-]")
_MARKDOWN = re.compile(
    r"^(?:[^A-Za-z0-9]|\d+(?=[.)]))|[^A-Za-z0-9 ./+=,·…-]|(?<=www)\.", re.IGNORECASE
)


def dot(picture: Picture) -> str:
    """Returns Graphviz text (the DOT language), ending with a line end."""
    title = "\\n".join(_dot(t) for t in (picture.title, picture.summary, *picture.notes))
    lines = [
        "digraph ssds {",
        f'  graph [rankdir=LR, label="{title}", labelloc=t, fontname="Helvetica"];',
        '  node [shape=box, style="filled,rounded", fontname="Helvetica", fontsize=11];',
        '  edge [color="#8b949e", arrowsize=0.7];',
    ]
    for box in picture.boxes:
        look = STYLES[box.verb]
        label = f"{box.verb.value} {_dot(shortened(box.name, _LABEL_ROOM))}"
        label += f"\\n{_dot(shortened(box.note, _LABEL_ROOM))}"
        told = "\\n".join(_dot(shortened(line, _TOLD_ROOM)) for line in box.details)
        style = ', style="filled,rounded,dashed"' if look.dashes else ""
        lines.append(
            f'  "{_dot(box.id)}" [label="{label}", tooltip="{told}", color="{look.line}", '
            f'fillcolor="{look.surface}"{style}];'
        )
    for line in picture.lines:
        style = " [style=dashed]" if line.verdict else ""
        lines.append(f'  "{_dot(line.tail)}" -> "{_dot(line.head)}"{style};')
    return "\n".join([*lines, "}\n"])


def _dot(text: str) -> str:
    """Returns text for a quoted string, in which Graphviz knows escapes and entities."""
    return printable(text).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")


def mermaid(picture: Picture) -> str:
    """Returns a Mermaid flowchart, ending with a line end."""
    names = {box.id: f"n{number}" for number, box in enumerate(picture.boxes)}
    lines = ["flowchart LR", f"  accTitle: {_plain(picture.title)}"]
    lines.append(f"  accDescr: {_plain(picture.summary)}")
    lines += [f"  %% {_plain(note)}" for note in picture.notes]
    lines += [f'  {names[box.id]}["{_label(box)}"]' for box in picture.boxes]
    for line in picture.lines:
        arrow = "-.->" if line.verdict else "-->"
        lines.append(f"  {names[line.tail]} {arrow} {names[line.head]}")
    for verb in IMPORTANCE:
        members = [names[box.id] for box in picture.boxes if box.verb is verb]
        if members:
            lines.append(_class(verb))
            lines.append(f"  class {','.join(members)} {verb.word};")
    return "\n".join(lines) + "\n"


def _label(box: Box) -> str:
    name, note = shortened(box.name, _LABEL_ROOM), shortened(box.note, _LABEL_ROOM)
    return f"{_quoted(box.verb.value)} {_quoted(name)}<br/>{_quoted(note)}"


def _class(verb: Verb) -> str:
    look = STYLES[verb]
    dashes = f",stroke-dasharray:{look.dashes}" if look.dashes else ""
    return f"  classDef {verb.word} fill:{look.surface},stroke:{look.line},color:#1f2328{dashes};"


def _quoted(text: str) -> str:
    """Returns text for a quoted label: what may mean something to Mermaid becomes its number.

    Some versions read labels as Markdown: so that a line is no list and no address is a link, the
    first character too, and what addresses are known by.
    """
    return _MARKDOWN.sub(_number, printable(text))


def _number(match: re.Match[str]) -> str:
    return "".join(f"#{ord(letter)};" for letter in match[0])


def _plain(text: str) -> str:
    """Returns text for a line of its own, where nothing can be quoted."""
    return _PLAIN.sub("_", printable(text))
