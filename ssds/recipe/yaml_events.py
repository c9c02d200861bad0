"""YAML from libyaml's events (C speed, no node objects, no recursion), with every diagnostic.

Values are built in one pass; marks are kept in another, only when a diagnostic asks. Importing this
imports PyYAML, which takes as long as many a plan: ``yamlmarks`` tries ``quick_yaml`` first.
"""

from __future__ import annotations

from typing import Any

import yaml

from ssds.core.diagnostics import Collector, Span
from ssds.core.errors import UnavailableError
from ssds.core.patterns import pattern
from ssds.recipe.codes import diagnostic
from ssds.recipe.quick_yaml import (
    BOOLEANS,
    CONTROL,
    FLOAT,
    INTEGER,
    NULLS,
    ODD_INTEGER,
    SPECIAL_FIRST,
    Mark,
    Marks,
    Path,
)

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_VALUES = 50_000

_Parser: Any = getattr(getattr(yaml, "cyaml", None), "CParser", None)
_CONTROL_TEXT = pattern("[\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f]")
_DIRECTION = pattern("[\u202a-\u202e\u2066-\u2069]")
_NONE = object()


class _Stop(Exception):
    """The file cannot be read any further."""


class Reader:
    """Builds values from events; one per file.

    Attributes:
        special: first characters of plain scalars that may be more than text.
    """

    special = SPECIAL_FIRST

    def __init__(self, path: str, collector: Collector) -> None:
        self.path = path
        self.collector = collector

    def problem(self, code: str, mark: Any, what: str = "", label: str = "found") -> None:
        """Adds a diagnostic at a mark."""
        line, column = (mark.line, mark.column) if hasattr(mark, "line") else mark
        span = Span(path=self.path, line=line + 1, column=column + 1)
        facts = ((label, what),) if what else ()
        self.collector.add(diagnostic(code, span, facts=facts))

    def stop(self, code: str, mark: Any, what: str = "") -> _Stop:
        """Adds a diagnostic, and returns what ends the reading."""
        self.problem(code, mark, what)
        return _Stop()

    def read(self, data: bytes) -> tuple[bool, Any]:
        """Returns whether the file could be read to its end, and its value."""
        if _Parser is None:
            raise UnavailableError(
                "this PyYAML has no libyaml",
                hint="Install the PyYAML wheel of your platform, or build it with libyaml.",
            )
        try:
            self.check_bytes(data)
            return True, self.build(data)
        except _Stop:
            return False, {}
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            if "nesting depth" in (error.problem or ""):  # libyaml 0.2.6 stops by itself
                self.problem("Y013", mark or (0, 0))
                return False, {}
            line = _line_of(data, mark.line) if mark else b""
            tabbed = b"\t" in line[: len(line) - len(line.lstrip())] or "'\\t'" in str(error)
            what = (error.problem or "").replace("\n", " ")
            self.problem("Y007" if tabbed else "Y006", mark or (0, 0), what, "reason")
        except yaml.YAMLError as error:
            self.problem("Y006", (0, 0), str(error).splitlines()[0], "reason")
        return False, {}

    def check_bytes(self, data: bytes) -> None:
        """Refuses what no text of a catalog may hold, before libyaml sees it."""
        if len(data) > MAX_BYTES:
            raise self.stop("Y002", (0, 0), f"{len(data)} bytes")
        if data[:3] == b"\xef\xbb\xbf":
            raise self.stop("Y004", (0, 0))
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise self.stop("Y003", (0, 0), "UTF-16")
        control = CONTROL.search(data)
        if control:
            raise self.stop("Y005", _place(data, control.start()), f"byte {control[0][0]:#04x}")
        if data.isascii():
            return
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            place = _place(data, error.start)
            raise self.stop("Y003", place, f"byte {data[error.start]:#04x}") from error
        direction = _DIRECTION.search(text)
        if direction:
            offset = len(text[: direction.start()].encode("utf-8"))
            raise self.stop("Y018", _place(data, offset), f"U+{ord(direction[0]):04X}")

    def build(self, data: bytes) -> Any:  # noqa: PLR0912, PLR0915 - one loop, whole for speed
        """Returns the value; iterative, one pass."""
        get = _Parser(data).get_event
        get()
        first = get()
        if type(first) is yaml.StreamEndEvent:
            raise self.stop("Y012", (0, 0))
        if first.version or first.tags:
            raise self.stop("Y010", first.start_mark, "a % directive")
        stack: list[tuple[Any, Any]] = []  # (container, pending key) of the levels above
        container: Any = None
        key: Any = _NONE
        root: Any = _NONE
        budget = MAX_VALUES
        special = self.special
        while True:
            event = get()
            kind = type(event)
            if kind is yaml.ScalarEvent:
                if event.anchor is not None or event.tag is not None:
                    self.marked(event)
                text = event.value
                if not event.style:  # a plain one: no quotes, no block
                    is_key = key is _NONE and type(container) is dict
                    value = text if text[:1] not in special and text else None
                    if value is None:
                        value = self.scalar(text, event, is_key)
                else:
                    value = text
                    if event.style == '"' and _CONTROL_TEXT.search(text):
                        self.problem("Y005", event.start_mark, repr(text)[:60])
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                if event.anchor is not None or event.tag is not None:
                    self.marked(event)
                if type(container) is dict and key is _NONE:
                    raise self.stop("Y016", event.start_mark, "a list or a map")
                if len(stack) >= MAX_DEPTH:
                    raise self.stop("Y013", event.start_mark)
                stack.append((container, key))
                container = {} if kind is yaml.MappingStartEvent else []
                key = _NONE
                continue
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                value = container
                container, key = stack.pop()
            elif kind is yaml.DocumentEndEvent:
                break
            else:
                raise self.stop("Y009", event.start_mark, f"*{event.anchor}")
            budget -= 1
            if not budget:
                raise self.stop("Y019", event.start_mark)
            if container is None:
                root = value
            elif type(container) is list:
                container.append(value)
            elif key is _NONE:
                key = value
                if key in container:
                    self.problem("Y008", event.start_mark, key, "key")
            else:
                container[key] = value
                key = _NONE
        after = get()
        if type(after) is not yaml.StreamEndEvent:
            raise self.stop("Y011", after.start_mark)
        return root

    def marked(self, event: Any) -> None:
        """Refuses an anchor or a tag."""
        if event.anchor is not None:
            raise self.stop("Y009", event.start_mark, f"&{event.anchor}")
        raise self.stop("Y010", event.start_mark, str(event.tag))

    def scalar(self, text: str, event: Any, is_key: bool) -> Any:
        """Returns the value of a plain scalar that may be more than text."""
        if text in NULLS:
            self.problem("Y016" if is_key else "Y015", event.start_mark, text or "nothing")
            return text if is_key else ""
        value: Any = text
        if text in BOOLEANS:
            value = BOOLEANS[text]
        elif INTEGER.fullmatch(text):
            value = int(text)
        elif ODD_INTEGER.fullmatch(text):
            self.problem("Y017", event.start_mark, text[:60])
        elif FLOAT.fullmatch(text):
            self.problem("Y014", event.start_mark, text[:60])
        if is_key and type(value) is not str:
            self.problem("Y016", event.start_mark, text[:60])
            return text
        return value


def _line_of(data: bytes, line: int) -> bytes:
    lines = data.split(b"\n")
    return lines[line] if line < len(lines) else b""


def _place(data: bytes, offset: int) -> Mark:
    """Returns line and column, from 0, of a byte offset."""
    before = data[:offset]
    start = before.rfind(b"\n") + 1
    return before.count(b"\n"), len(before[start:].decode("utf-8", "replace"))


def marks_of(data: bytes) -> Marks:
    """Returns path → (mark of the key or item, mark of the value); as far as the file parses.

    The value of a block map or list below a key is marked at its key: that is what people see.
    """
    marks: Marks = {}
    stack: list[tuple[str, Path, Any, Mark]] = []  # kind, path, next key or index, key's mark
    get = _Parser(data).get_event
    try:
        while True:
            event = get()
            kind = type(event)
            if kind is yaml.StreamEndEvent:
                break
            if kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                stack.pop()
                _next(stack)
                continue
            if kind not in (yaml.ScalarEvent, yaml.MappingStartEvent, yaml.SequenceStartEvent):
                continue
            here = (event.start_mark.line, event.start_mark.column)
            if stack and stack[-1][0] == "map" and stack[-1][2] is _NONE:
                top = stack[-1]
                stack[-1] = ("map", top[1], str(getattr(event, "value", "")), here)
                continue
            path = (*stack[-1][1], stack[-1][2]) if stack else ()
            in_map = bool(stack) and stack[-1][0] == "map"
            key_mark = stack[-1][3] if in_map else here
            block = in_map and kind is not yaml.ScalarEvent and not event.flow_style
            marks.setdefault(path, (key_mark, key_mark if block else here))
            if kind is yaml.ScalarEvent:
                _next(stack)
            else:
                opened = "map" if kind is yaml.MappingStartEvent else "list"
                stack.append((opened, path, _NONE if opened == "map" else 0, here))
    except (yaml.YAMLError, IndexError):
        pass
    return marks


def _next(stack: list[tuple[str, Path, Any, Mark]]) -> None:
    """Moves on to the next key or item of the innermost container."""
    if stack:
        kind, path, position, mark = stack[-1]
        stack[-1] = (kind, path, _NONE if kind == "map" else position + 1, mark)
