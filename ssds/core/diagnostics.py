"""Diagnostics: constant summary, place, aligned facts, hint; collected, then shown at once."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator

from ssds.core.errors import InputError
from ssds.core.records import dataclass
from ssds.core.text import shown


class Severity(enum.Enum):
    """How bad it is; only errors stop the work."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A place in a file: path relative to the workspace, line and column from 1."""

    path: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.path
        return (
            f"{self.path}:{self.line}:{self.column}" if self.column else f"{self.path}:{self.line}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A safe change of one line of a text file: ``old`` at ``span`` becomes ``new``.

    Attributes:
        span: where ``old`` begins; its column counts characters.
        old: what stands there, without a line end; empty to put something in.
        new: what shall stand there; may hold line ends.
    """

    span: Span
    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One finding about the user's input.

    Attributes:
        code: stable, one cause with its own remedy (``R012``).
        summary: constant text for the code, no names in it.
        span: where it is.
        address: the path inside the document (``build[2].run``).
        facts: (label, text) pairs, shown aligned.
        hint: what to do next.
        fix: changes that mend it and mean nothing else, or none.
    """

    code: str
    summary: str
    span: Span
    address: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    hint: str = ""
    severity: Severity = Severity.ERROR
    fix: tuple[Edit, ...] = ()

    def render(self) -> str:
        """Returns the text that people read; ends without a newline."""
        lines = [f"{self.severity.value}[{self.code}]: {self.summary}"]
        where = f"  --> {shown(str(self.span))}"
        lines.append(where + (f"  ({shown(self.address)})" if self.address else ""))
        width = max((len(label) for label, _ in self.facts), default=0)
        lines += [f"      {label:<{width}}  {_short(text)}" for label, text in self.facts]
        if self.hint:
            lines.append(f"  {shown(self.hint, lines=True)}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, object]:
        """Returns the JSON form."""
        return {
            "code": self.code,
            "severity": self.severity.value,
            "summary": self.summary,
            "path": self.span.path,
            "line": self.span.line,
            "column": self.span.column,
            "address": self.address,
            "facts": dict(self.facts),
            "hint": self.hint,
            "fixable": bool(self.fix),
        }


def edited(text: str, edits: Iterable[Edit]) -> tuple[str, list[Edit]]:
    """Returns ``text`` with those of ``edits`` made that fit, and which these are.

    An edit fits where its ``old`` still stands at its place and no other edit touches it.
    """
    lines = text.split("\n")
    made: list[Edit] = []
    free: dict[int, int] = {}  # line → column below which nothing was changed yet
    for edit in sorted(edits, key=lambda e: (e.span.line, e.span.column), reverse=True):
        row, start = edit.span.line - 1, edit.span.column - 1
        if not 0 <= row < len(lines) or not 0 <= start <= len(lines[row]):
            continue
        line, end = lines[row], start + len(edit.old)
        if line[start:end] != edit.old or end > free.get(row, len(line)):
            continue
        lines[row] = line[:start] + edit.new + line[end:]
        free[row] = start
        made.append(edit)
    return "\n".join(lines), made[::-1]


def _short(text: str) -> str:
    text = shown(text)
    return text if len(text) <= 200 else text[:197] + "..."


class Collector:
    """Collects diagnostics; raises them all at once."""

    def __init__(self) -> None:
        self._items: list[Diagnostic] = []

    def add(self, diagnostic: Diagnostic) -> None:
        """Keeps one diagnostic."""
        self._items.append(diagnostic)

    def extend(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Keeps several."""
        self._items.extend(diagnostics)

    def __iter__(self) -> Iterator[Diagnostic]:
        return iter(self.sorted())

    def __len__(self) -> int:
        return len(self._items)

    @property
    def failed(self) -> bool:
        """Whether any is an error."""
        return any(d.severity is Severity.ERROR for d in self._items)

    def sorted(self) -> list[Diagnostic]:
        """Returns them by file and place, without doubles."""
        unique = dict.fromkeys(self._items)
        return sorted(
            unique, key=lambda d: (d.span.path, d.span.line, d.span.column, d.code, d.address)
        )

    def raise_if_failed(self) -> None:
        """Raises InputError with everything collected when any is an error."""
        if self.failed:
            raise InputError(self.sorted())
