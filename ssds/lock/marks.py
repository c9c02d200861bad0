"""Where things stand in a JSON text: line and column of every key and value, and doubled keys.

Only used once something is wrong; the reader's fast path is the standard library's parser.
"""

from __future__ import annotations

import bisect
import contextlib
import json
from json.decoder import scanstring  # type: ignore[attr-defined]

from ssds.core.patterns import pattern

Path = tuple[str | int, ...]

_SPACE = pattern(r"[ \t\n\r]*")
_ATOM = pattern(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|true|false|null|NaN|-?Infinity")
_LINE_END = pattern(r"\n")
_WORD = pattern(r"[\w-]+")
DEPTH_LIMIT = 64


class Marks:
    """Offsets of values and keys by path; ``doubles`` are keys that appear twice in one map."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.offsets: dict[Path, int] = {}
        self.doubles: list[tuple[Path, int]] = []
        self.too_deep = self.broken = -1
        self._line_ends: list[int] | None = None

    def place(self, path: Path) -> tuple[int, int]:
        """Returns line and column (from 1) of ``path`` or of its nearest known parent."""
        while path and path not in self.offsets:
            path = path[:-1]
        if self._line_ends is None:
            self._line_ends = [match.start() for match in _LINE_END.finditer(self.text)]
        offset = self.offsets.get(path, 0)
        before = bisect.bisect_left(self._line_ends, offset)
        return before + 1, offset - (self._line_ends[before - 1] if before else -1)


def line_column(text: str, offset: int) -> tuple[int, int]:
    """Returns line and column, both from 1, of a character offset."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def marks_of(text: str) -> Marks:
    """Returns the marks of ``text``; what follows a syntax error is left out."""
    marks = Marks(text)
    with contextlib.suppress(_StopError, ValueError, IndexError):
        _value(marks, _skip(text, 0), ())
    return marks


class _StopError(Exception):
    pass


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _value(marks: Marks, at: int, path: Path) -> int:
    text = marks.text
    marks.offsets.setdefault(path, at)
    if len(path) > DEPTH_LIMIT:
        marks.too_deep = at
        raise _StopError
    head = text[at]
    if head == '"':
        end: int = scanstring(text, at + 1, True)[1]
        return end
    if head == "{":
        return _map(marks, at, path)
    if head == "[":
        return _list(marks, at, path)
    match = _ATOM.match(text, at)
    if not match:
        marks.broken = at
        raise _StopError
    return match.end()


def _map(marks: Marks, at: int, path: Path) -> int:
    text = marks.text
    at = _skip(text, at + 1)
    seen: set[str] = set()
    while text[at] != "}":
        if text[at] != '"':
            marks.broken = at
            raise _StopError
        key, end = scanstring(text, at + 1, True)
        if key in seen:
            marks.doubles.append(((*path, key), at))
        seen.add(key)
        marks.offsets.setdefault((*path, key), at)
        end = _skip(text, end)
        if text[end] != ":":
            marks.broken = end
            raise _StopError
        at = _separator(marks, _value(marks, _skip(text, end + 1), (*path, key)), "}")
    return at + 1


def _list(marks: Marks, at: int, path: Path) -> int:
    at = _skip(marks.text, at + 1)
    number = 0
    while marks.text[at] != "]":
        at = _separator(marks, _value(marks, at, (*path, number)), "]")
        number += 1
    return at + 1


def _separator(marks: Marks, at: int, close: str) -> int:
    at = _skip(marks.text, at)
    if marks.text[at] == ",":
        return _skip(marks.text, at + 1)
    if marks.text[at] != close:
        marks.broken = at
        raise _StopError
    return at


def address(path: Path) -> str:
    """Returns the text of a path, as diagnostics show it (``variants.default.platforms``)."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _WORD.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part)}]"
    return text
