"""How things are printed: results to stdout, progress and diagnostics to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence

from ssds.core.diagnostics import Diagnostic, Severity
from ssds.core.errors import InputError, SsdsError


def print_json(value: object) -> None:
    """Prints one JSON object, sorted and indented."""
    print(json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True))


def say(line: str) -> None:
    """Prints a line of progress or advice."""
    print(line, file=sys.stderr, flush=True)


def report_error(error: SsdsError) -> None:
    """Prints an error: its diagnostics, or its message and hint."""
    if isinstance(error, InputError):
        report_diagnostics(d for d in error.diagnostics if isinstance(d, Diagnostic))
        return
    print(f"error[{error.code}]: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"  {error.hint}", file=sys.stderr)


def report_diagnostics(diagnostics: Iterable[Diagnostic]) -> None:
    """Prints diagnostics and, at the end, how many there were."""
    counts = {Severity.ERROR: 0, Severity.WARNING: 0}
    for diagnostic in diagnostics:
        counts[diagnostic.severity] += 1
        print(diagnostic.render() + "\n", file=sys.stderr)
    words = [f"{n} {s.value}{'s' if n != 1 else ''}" for s, n in counts.items() if n]
    if words:
        print(", ".join(words), file=sys.stderr)


def table(rows: Sequence[Sequence[str]], *, indent: str = "") -> str:
    """Returns rows with aligned columns."""
    if not rows:
        return ""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append((indent + "  ".join(cells)).rstrip())
    return "\n".join(lines)


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
