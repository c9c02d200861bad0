"""How things are printed: results to stdout, progress and diagnostics to stderr."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TextIO

from ssds.core.diagnostics import Diagnostic, Severity
from ssds.core.errors import InputError, SsdsError
from ssds.core.patterns import pattern
from ssds.core.text import shown

_JSON_CONTROL = pattern("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def prepare_streams() -> None:
    """Makes printing safe: a terminal without UTF-8 shows ``?``, a closed stream takes nothing."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper) and not _is_utf8(stream):
            stream.reconfigure(errors="replace")


def _is_utf8(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().replace("_", "-") in ("utf-8", "utf8")


def print_json(value: object, *, lines: bool = True) -> None:
    """Prints one JSON object, sorted and indented; escaped where the stream is not UTF-8.

    Without ``lines`` on one line, as the variables of a CI want it.
    """
    print(json_text(value, escaped=not _is_utf8(sys.stdout), lines=lines))


def json_text(value: object, *, escaped: bool, lines: bool = True) -> str:
    """Returns the text of one JSON object; what terminals would obey in it is escaped."""
    text = json.dumps(value, ensure_ascii=escaped, indent=2 if lines else None, sort_keys=True)
    return _JSON_CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def show(text: str) -> None:
    """Prints a result; what terminals would obey in it is written as an escape."""
    print(shown(text, lines=True))


def say(line: str) -> None:
    """Prints a line of progress or advice."""
    print(shown(line, lines=True), file=sys.stderr, flush=True)


def report_error(error: SsdsError) -> None:
    """Prints an error: its diagnostics, or its message and hint."""
    if isinstance(error, InputError):
        report_diagnostics(d for d in error.diagnostics if isinstance(d, Diagnostic))
        return
    message = shown(error.message, lines=True)
    print(f"error[{error.code}]: {message}", file=sys.stderr)
    if error.hint:
        print(f"  {shown(error.hint, lines=True)}", file=sys.stderr)


def report_diagnostics(
    diagnostics: Iterable[Diagnostic], few: Mapping[Severity, int] = MappingProxyType({})
) -> int:
    """Prints diagnostics and, at the end, how many there were; returns how many were left out.

    Args:
        few: severity → of one code no more are shown than these, the rest is counted.
    """
    counts = dict.fromkeys(Severity, 0)
    alike: dict[tuple[Severity, str, str], int] = {}
    for diagnostic in diagnostics:
        severity = diagnostic.severity
        counts[severity] += 1
        sort = (severity, diagnostic.code, diagnostic.summary)
        alike[sort] = alike.get(sort, 0) + 1
        if alike[sort] <= few.get(severity, alike[sort]):
            print(diagnostic.render() + "\n", file=sys.stderr)
    left_out = 0
    for (severity, code, summary), number in alike.items():
        if (more := number - few.get(severity, number)) > 0:
            print(f"{more} more: {severity.value}[{code}]: {summary}", file=sys.stderr)
            left_out += more
    words = [counted(n, s.value) for s, n in counts.items() if n]
    if words:
        print(", ".join(words), file=sys.stderr)
    return left_out


_WIDEST = 72
"""Columns are not made wider than this."""


def table(rows: Sequence[Sequence[str]], *, indent: str = "") -> str:
    """Returns rows with aligned columns; a very long cell sticks out of its own row alone."""
    if not rows:
        return ""
    rows = [[shown(cell) for cell in row] for row in rows]
    widths = [min(_WIDEST, max(len(row[i]) for row in rows)) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append((indent + "  ".join(cells)).rstrip())
    return "\n".join(lines)


def terminal_width() -> int:
    """Returns the width of the terminal that results go to, or 0 where they go elsewhere."""
    if not sys.stdout.isatty():
        return 0
    import shutil

    return max(60, shutil.get_terminal_size().columns)


def fitted(rows: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    """Returns rows that fit into ``width`` columns; 0 or less leaves them whole.

    Of what is too long the first wide column (a name) loses its middle, the last one its end.
    """
    whole = [list(row) for row in rows]
    if width <= 0 or not rows:
        return whole
    count = len(whole[0])
    widths = [max(len(row[i]) for row in whole) for i in range(count)]
    name = widths.index(max(widths[:-1]))
    room = width - 2 * (count - 1) - sum(widths)
    if room >= 0:
        return whole
    name_room = max(24, min(widths[name], width * 2 // 5))
    last_room = width - 2 * (count - 1) - sum(widths[:-1]) + widths[name] - name_room
    if sum(widths[:-1]) + 2 * (count - 1) <= width // 2:
        name_room, last_room = widths[name], last_room - (widths[name] - name_room)
    for row in whole:
        row[name] = _without_middle(row[name], name_room)
        row[-1] = _without_end(row[-1], max(10, last_room))
    return whole


def _without_middle(text: str, room: int) -> str:
    if len(text) <= room:
        return text
    tail = room * 3 // 5
    return f"{text[: room - tail - 1]}…{text[len(text) - tail :]}"


def _without_end(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"


def counted(count: int, word: str) -> str:
    """Returns a number with its word, in the plural where it needs one."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def size_text(size_bytes: int) -> str:
    """Returns a size for people."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError


def duration_text(duration_ms: int) -> str:
    """Returns a duration for people."""
    seconds = duration_ms / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"
