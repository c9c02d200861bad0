"""Reads the documentation's pages: blocks, links, and what may run.

A page says in HTML comments, which readers do not see, how its examples are tested::

    <!-- workspace: starter; needs: sandbox apt -->   at the top: the page's blocks run in order
    <!-- file: catalog/x/recipe.yaml -->              the next block is written to that file
    <!-- schema: plan -->                             the next JSON block obeys that schema
    <!-- exit: 2 -->                                  the next block's last command ends with that
    <!-- run: sed -i … -->                            something is done that the text describes
    <!-- not run: why -->                             the next block is an example only

In a ``console`` block, lines that begin with ``$ `` are commands (``> `` continues one), the others
are what they print. ``…`` stands for any text; alone on a line, for any lines. ``sh`` blocks are
scripts of commands without output.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNNABLE = ("console", "sh")

_COMMENT = re.compile(r"<!--\s*([a-z ]+?):\s*(.*?)\s*-->", re.DOTALL)
_FENCE = re.compile(r"^( *)(```+)\s*([A-Za-z0-9_-]*)\s*$")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*$", re.MULTILINE)
_CODE = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)


@dataclass(slots=True, kw_only=True)
class Block:
    """A fenced block: its language, its text, its line, and the comments that speak of it."""

    language: str
    text: str
    line: int
    notes: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Page:
    """One Markdown file: what runs (blocks and hidden commands, in order) and how."""

    path: Path
    text: str
    blocks: list[Block]

    @property
    def name(self) -> str:
        """The path below the repository."""
        return str(self.path.relative_to(ROOT))

    @property
    def workspace(self) -> str:
        """``starter``, ``empty``, or the empty string: nothing of the page runs."""
        return self._head()[0]

    @property
    def needs(self) -> list[str]:
        """The components that its examples need."""
        return self._head()[1]

    def _head(self) -> tuple[str, list[str]]:
        found = re.search(r"<!-- workspace: (\w+)(?:; needs: ([a-z ]+?))? -->", self.text)
        return (found[1], (found[2] or "").split()) if found else ("", [])

    @property
    def links(self) -> list[str]:
        """The targets of its links, code aside."""
        return _LINK.findall(re.sub(r"`[^`\n]*`", "", _CODE.sub("", self.text)))

    @property
    def anchors(self) -> set[str]:
        """The anchors of its headings, as forges make them."""
        found = set()
        for title in _HEADING.findall(_CODE.sub("", self.text)):
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "").lower()
            found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
        return found


def pages() -> list[Page]:
    """All pages of the documentation, the README first."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
    found += [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "catalog" / "README.md"]
    return [read(path) for path in found]


def read(path: Path) -> Page:
    """Reads one page."""
    text = path.read_text()
    return Page(path=path, text=text, blocks=list(_blocks(text)))


def _blocks(text: str) -> Iterator[Block]:
    """Gives blocks in order; a hidden command is a block of language ``hidden``."""
    lines = text.split("\n")
    notes: dict[str, str] = {}
    at = 0
    while at < len(lines):
        line = lines[at]
        fence = _FENCE.match(line)
        if fence:
            end = at + 1
            while lines[end].strip() != fence[2]:
                end += 1
            margin = len(fence[1])
            body = "\n".join(row[margin:] for row in lines[at + 1 : end])
            yield Block(language=fence[3], text=body + "\n", line=at + 1, notes=notes)
            notes, at = {}, end + 1
            continue
        comment = line.strip()
        if comment.startswith("<!--"):
            start = at
            while "-->" not in lines[at]:
                at += 1
                comment += "\n" + lines[at]
            found = _COMMENT.match(comment)
            if found and found[1] == "run":
                yield Block(language="hidden", text=found[2] + "\n", line=start + 1)
            elif found and found[1] != "workspace":
                notes[found[1]] = found[2]
        elif comment:
            notes = {}
        at += 1


@dataclass(frozen=True, slots=True)
class Example:
    """One command and the output that the page shows (None: it does not say)."""

    command: str
    output: list[str] | None
    line: int


def examples(block: Block) -> list[Example]:
    """Returns the commands of a block with the output that is shown for each."""
    if block.language in ("sh", "hidden"):
        return [Example(block.text, None, block.line)]
    found: list[Example] = []
    for number, line in enumerate(block.text.rstrip("\n").split("\n"), block.line + 1):
        if line.startswith("$ "):
            found.append(Example(line[2:], [], number))
        elif line.startswith("> ") and found and not found[-1].output:
            last = found.pop()
            found.append(Example(f"{last.command}\n{line[2:]}", [], last.line))
        elif found and found[-1].output is not None:
            found[-1].output.append(line)
    return found


def agrees(shown: list[str], printed: str) -> bool:
    """Whether what was printed is what the page shows, its ``…`` aside."""
    parts = []
    for line in shown:
        if line.strip() == "…":
            parts.append(r"(?:.*\n)*?")
        else:
            words = [re.escape(" ".join(part.split())) for part in line.split("…")]
            parts.append(r"[^\n]*".join(words) + r"\n")
    got = "".join(" ".join(line.split()) + "\n" for line in printed.rstrip("\n").split("\n"))
    got = "" if got == "\n" else got
    want = "".join(parts)
    return re.fullmatch(want + r"\n*", got) is not None
