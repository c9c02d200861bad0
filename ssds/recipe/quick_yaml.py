"""Reads the plain YAML that people write, line by line; leaves everything else to libyaml.

What it reads are block maps and lists, one-line scalars (plain, or quoted without unusual escapes),
literal and simple folded blocks, one-line flow lists and maps, and comments (YAML 1.2, chapters 6
to 8). For these it gives the values and marks that ``yaml_events`` gives; a property test compares
them. It says no to all else: also to whatever is wrong, so it has no messages.
"""

from __future__ import annotations

import re
from typing import Any

from ssds.core.patterns import pattern

MAX_BYTES = 1 << 16
"""So few bytes cannot hold too many values."""
_MOST_LEVELS = 20

INTEGER = pattern(r"-?(?:0|[1-9][0-9]{0,14})")
ODD_INTEGER = pattern(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = pattern(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", re.IGNORECASE
)
CONTROL = pattern(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
NULLS = frozenset({"", "~", "null", "Null", "NULL"})
BOOLEANS = {
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
SPECIAL_FIRST = frozenset("0123456789-+.~tTfFnN")

_KEY = r'[A-Za-z_][A-Za-z0-9_./+-]{0,127}|"[^"\\]{0,127}"'
_LINE = pattern(rf"( *)(- +)?(?:({_KEY}):(?: +|$))?(.*)")
_QUOTED = r'"((?:[^"\\]|\\[\\"nt])*)"' r"|'((?:[^']|'')*)'"
_WHOLE_QUOTED = pattern(rf"(?:{_QUOTED}) *(?: #.*)?")
_WORD = r"[A-Za-z0-9_./+=<>~@$%^();*-]+"
_FLOW_KEY = pattern(rf" *({_KEY}): +")
_FLOW_ITEM = pattern(
    rf" *(?:{_QUOTED}|((?!-(?![A-Za-z0-9_.-])|[=<>@%*)])(?:{_WORD})(?: +{_WORD})*))?"
)
_FLOW_END = pattern(r" *([],}])")
_FLOW_REST = pattern(r" *(?: #.*)?")
_BLOCK = {"|": "\n", "|-": "\n", ">": " ", ">-": " "}
_PLAIN_FIRST = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./$(<=^+\\~;"
)

Mark = tuple[int, int]
Path = tuple[str | int, ...]
Marks = dict[Path, tuple[Mark, Mark]]


class _Unusual(Exception):
    """This is for libyaml."""


def quick_value(data: bytes, marks: Marks | None = None) -> Any:
    """Returns the map or list in ``data``, or None where it is not plain enough.

    Args:
        data: anything.
        marks: gets path → (mark of the key or item, mark of the value).
    """
    if len(data) > MAX_BYTES or data[-1:] != b"\n" or b"\r" in data or CONTROL.search(data):
        return None
    try:
        text = data.decode("utf-8")
        if not data.isascii() and not all(map(_usual, set(text))):
            return None
        return _Reader(text, marks).read()
    except (_Unusual, UnicodeDecodeError):
        return None


def _usual(letter: str) -> bool:
    """Whether it is printable for libyaml, ends no line and changes no direction."""
    if letter <= "\u2027":
        return letter <= "~" or letter >= "\xa0"
    return "\u202f" <= letter <= "\u2065" or "\u206a" <= letter <= "\ud7ff"


class _Reader:
    """Reads one text.

    Attributes:
        number: of the next line.
        container, column, path: the innermost open list or map, and where it stands.
        stack: the same of those around it.
        waiting: a key whose value stands in the next lines.
    """

    def __init__(self, text: str, marks: Marks | None) -> None:
        self.lines = text.split("\n")
        self.marks = marks
        self.number = 0
        self.container: Any = None
        self.column = 0
        self.path: Path = ()
        self.stack: list[tuple[Any, int, Path]] = []
        self.waiting: str | None = None

    def read(self) -> Any:
        """Returns the value of the whole text."""
        lines, match, end = self.lines, _LINE.fullmatch, len(self.lines)
        root = None
        while self.number < end:
            line = lines[self.number]
            found = match(line)
            assert found is not None
            self.number += 1
            indent, dash, key, rest = found.groups()
            if key is None and dash is None and (not rest or rest[0] == "#"):
                continue
            if "\t" in line:
                raise _Unusual
            at = len(indent)
            if root is None:
                if at:
                    raise _Unusual
                root = self.container = {} if dash is None else []
                if self.marks is not None:
                    self.marks[()] = ((self.number - 1, 0), (self.number - 1, 0))
            elif self.waiting is not None:
                self.go_in(at, dash)
            elif at != self.column or (dash is None) is (type(self.container) is list):
                self.go_out(at, dash)
            if dash is not None:
                at += len(dash)
                self.item(key, rest, at)
            if key is not None:
                self.entry(key, rest, at, found.start(4))
            elif dash is None:
                raise _Unusual
        if self.waiting is not None:
            raise _Unusual
        return root

    def open(self, value: Any, at: int, place: str | int) -> None:
        """Makes ``value`` the innermost container."""
        self.stack.append((self.container, self.column, self.path))
        if len(self.stack) > _MOST_LEVELS:
            raise _Unusual
        self.container, self.column, self.path = value, at, (*self.path, place)

    def go_in(self, at: int, dash: str | None) -> None:
        """Opens the value of the waiting key at the first line of it."""
        if at < self.column + (dash is None):  # a list may stand in the column of its key
            raise _Unusual
        key, self.waiting = self.waiting, None
        assert key is not None
        value: Any = {} if dash is None else []
        self.container[key] = value
        self.open(value, at, key)

    def go_out(self, at: int, dash: str | None) -> None:
        """Closes what ends before a line of that column."""
        while at < self.column:
            self.container, self.column, self.path = self.stack.pop()
        if dash is None and type(self.container) is list and self.stack:
            if self.stack[-1][1] != self.column:
                raise _Unusual
            self.container, self.column, self.path = self.stack.pop()
        if at != self.column:
            raise _Unusual

    def item(self, key: str | None, rest: str, at: int) -> None:
        """Adds an item to the list; one that begins with a key is a map, which stays open."""
        if type(self.container) is not list:
            raise _Unusual
        place = len(self.container)
        if key is None:
            self.container.append(self.value(rest, at, self.column, (*self.path, place), None))
            return
        value: Any = {}
        self.container.append(value)
        self.open(value, at, place)
        if self.marks is not None:
            here = (self.number - 1, at)
            self.marks[self.path] = (here, here)

    def entry(self, key: str, rest: str, at: int, value_at: int) -> None:
        """Adds a key, with its value where it stands in the same line."""
        if type(self.container) is not dict:
            raise _Unusual
        if key[0] == '"':
            key = key[1:-1]
        elif key in NULLS or key in BOOLEANS:
            raise _Unusual
        if key in self.container:
            raise _Unusual
        path, here = (*self.path, key), (self.number - 1, at)
        if not rest or rest[0] == "#":
            self.waiting = key
            if self.marks is not None:
                self.marks[path] = (here, here)
        else:
            self.container[key] = self.value(rest, value_at, self.column, path, here)

    def value(self, rest: str, at: int, column: int, path: Path, key: Mark | None) -> Any:
        """Returns the value that begins at ``rest``, in a container of that column."""
        first = rest[:1]
        if self.marks is not None:
            here = (self.number - 1, at)
            self.marks[path] = (key or here, here)
        if first in _PLAIN_FIRST or (first == "-" and rest[1:2] not in ("", " ")) or first > "\xa0":
            cut = rest.find(" #")
            text = (rest if cut < 0 else rest[:cut]).rstrip(" ")
            if ": " in text or text[-1] == ":":
                raise _Unusual
            return plain(text) if first in SPECIAL_FIRST else text
        if first in ('"', "'"):
            found = _WHOLE_QUOTED.fullmatch(rest)
            if found is None:
                raise _Unusual
            return _unquoted(found[1], found[2])
        if first in ("[", "{"):
            value, end = self.flow(rest, 0, at, path, 0)
            if _FLOW_REST.fullmatch(rest, end) is None:
                raise _Unusual
            return value
        return self.block(rest, column)

    def block(self, header: str, column: int) -> str:
        """Returns a literal block, or a folded one of even lines without gaps."""
        header = header.rstrip(" ")
        joint = _BLOCK.get(header)
        if joint is None:
            raise _Unusual
        lines, start = self.lines, self.number
        while start < len(lines) and not lines[start]:
            start += 1
        line = lines[start] if start < len(lines) else ""
        inner = len(line) - len(line.lstrip(" "))
        if inner <= column or inner == len(line) or line[inner] == "\t":
            raise _Unusual
        margin, number = line[:inner], start
        body = [""] * (start - self.number)
        while number < len(lines):
            line = lines[number]
            if line.startswith(margin):
                body.append(line[inner:])
            elif line.strip(" "):
                break
            else:
                body.append("")
            number += 1
        self.number = number
        while not body[-1]:
            body.pop()
        if joint == " " and not all(line and line[0] not in " \t" for line in body):
            raise _Unusual
        return joint.join(body) + ("" if header[-1] == "-" else "\n")

    def flow(self, rest: str, at: int, start: int, path: Path, level: int) -> tuple[Any, int]:
        """Returns the flow list or map that begins at ``rest[at]``, and where it ends."""
        if level > 4:
            raise _Unusual
        named = rest[at] == "{"
        value: Any = {} if named else []
        end = _FLOW_END.match(rest, at + 1)
        if end is not None and end[1] == ("}" if named else "]"):
            return value, end.end()
        at += 1
        while True:
            place: Any = len(value)
            mark = None
            if named:
                found = _FLOW_KEY.match(rest, at)
                if found is None:
                    raise _Unusual
                place = found[1]
                mark = (self.number - 1, start + found.start(1))
                if place[0] == '"':
                    place = place[1:-1]
                elif place in NULLS or place in BOOLEANS:
                    raise _Unusual
                if place in value:
                    raise _Unusual
                at = found.end()
            item, at = self.flow_item(rest, at, start, (*path, place), mark, level)
            if named:
                value[place] = item
            else:
                value.append(item)
            end = _FLOW_END.match(rest, at)
            if end is None:
                raise _Unusual
            at = end.end()
            if end[1] != ",":
                if (end[1] == "}") != named:
                    raise _Unusual
                return value, at

    def flow_item(
        self, rest: str, at: int, start: int, path: Path, key: Mark | None, level: int
    ) -> tuple[Any, int]:
        found = _FLOW_ITEM.match(rest, at)
        assert found is not None
        which = found.lastindex
        first = found.end() if which is None else found.start(which) - (which < 3)
        if self.marks is not None:
            here = (self.number - 1, start + first)
            self.marks[path] = (key or here, here)
        if which is None:
            if rest[first : first + 1] not in ("[", "{"):
                raise _Unusual
            return self.flow(rest, first, start, path, level + 1)
        text = found[which]
        if which < 3:
            return _unquoted(found[1], found[2]), found.end()
        return plain(text) if text[0] in SPECIAL_FIRST else text, found.end()


def plain(text: str) -> Any:
    """Returns the value of a plain scalar that may be more than text (section 10.3.2)."""
    if text in NULLS:
        raise _Unusual
    if text in BOOLEANS:
        return BOOLEANS[text]
    if text[0] in "tTfFnN":
        return text
    if INTEGER.fullmatch(text):
        return int(text)
    if ODD_INTEGER.fullmatch(text) or FLOAT.fullmatch(text):
        raise _Unusual
    return text


_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n", "\\t": "\t"}
_ESCAPE = pattern(r"\\.")


def _unquoted(double: str | None, single: str | None) -> str:
    if double is None:
        return (single or "").replace("''", "'")
    return _ESCAPE.sub(lambda m: _ESCAPES[m[0]], double) if "\\" in double else double
