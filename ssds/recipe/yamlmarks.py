"""YAML for people's files: plain types, hostile-safe, with places found only when asked.

``load`` builds values straight from libyaml's events (C speed, no node objects, no recursion);
``Document.span`` parses once more and keeps the marks. The scalars are those of YAML 1.2's core
schema (section 10.3) less floats and nulls; anchors, aliases, tags, directives and several
documents are refused, so no bomb can be written.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from typing import Any

import yaml

from ssds.core.diagnostics import Collector, Span
from ssds.core.errors import InputError, UnavailableError
from ssds.host.reading import read_open
from ssds.recipe.address import Path, format_address, parse_address
from ssds.recipe.codes import diagnostic

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_VALUES = 50_000

_Parser: Any = getattr(getattr(yaml, "cyaml", None), "CParser", None)
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})")
_ODD_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", re.IGNORECASE
)
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_CONTROL_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f]")
_DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069]")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_SPECIAL_FIRST = frozenset("0123456789-+.~tTfFnN")

Mark = tuple[int, int]
_NONE = object()


class _Stop(Exception):
    """The file cannot be read any further."""


class Document:
    """A file's values, and where each stands.

    Attributes:
        data: maps, lists, text, integers and booleans; an empty map when not usable.
        path: the file's name in messages, relative to the workspace.
        usable: False when the file could not be read to its end.
    """

    __slots__ = ("_lines", "_marks", "_text", "data", "path", "usable")

    def __init__(self, *, data: Any, path: str, text: bytes, usable: bool = True) -> None:
        self.data = data
        self.path = path
        self.usable = usable
        self._text = text
        self._marks: dict[Path, tuple[Mark, Mark]] | None = None
        self._lines: list[str] | None = None

    def span(self, address: Path | str, *, key: bool = False) -> Span:
        """Returns the place of a value, or of its key; of the nearest part above when absent."""
        path = parse_address(address) if isinstance(address, str) else tuple(address)
        if self._marks is None:
            self._marks = _marks_of(self._text)
        while path and path not in self._marks:
            path, key = path[:-1], True
        marks = self._marks.get(path)
        if marks is None:
            return Span(path=self.path, line=1, column=1)
        line, column = marks[0 if key else 1]
        return Span(path=self.path, line=line + 1, column=column + 1)

    def has(self, path: Path) -> bool:
        """Whether a value stands at ``path``."""
        if self._marks is None:
            self._marks = _marks_of(self._text)
        return path in self._marks

    def inside(self, address: Path | str, text: str, offset: int) -> Span:
        """Returns the place of ``text[offset]`` where the value at ``address`` is ``text``.

        Falls back to the value's own place where the text is folded or escaped.
        """
        start = self.span(address)
        word = text[offset:].split("\n", 1)[0]
        if self._lines is None:
            self._lines = self._text.decode("utf-8", "replace").split("\n")
        lines = self._lines
        below = text[:offset].count("\n")
        for line in (start.line - 1 + below, start.line + below):
            if 0 <= line < len(lines) and word:
                at = lines[line].find(word, start.column - 1 if line == start.line - 1 else 0)
                if at >= 0:
                    return Span(path=self.path, line=line + 1, column=at + 1)
        return start


def lies_in(home: str, path: str) -> bool:
    """Whether ``path`` lies below the folder ``home``, whatever links there are."""
    return os.path.realpath(path).startswith(os.path.realpath(home) + os.sep)


def read_file(path: str, name: str, collector: Collector) -> bytes | None:
    """Returns the bytes of a regular file of at most 1 MiB, or None with a diagnostic.

    Opens without waiting, so that a pipe in the catalog cannot stop anybody.
    """
    problem = ""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            status = os.fstat(handle)
            if stat.S_ISREG(status.st_mode):
                data = read_open(handle, MAX_BYTES)
                if len(data) <= MAX_BYTES:
                    return data
                facts = (("size", f"{status.st_size} bytes"), ("limit", f"{MAX_BYTES} bytes"))
                collector.add(diagnostic("Y002", Span(path=name), facts=facts))
                return None
            problem = "not a regular file"
        finally:
            os.close(handle)
    except OSError as error:
        problem = os.strerror(error.errno or 0)
    collector.add(diagnostic("Y001", Span(path=name), facts=(("reason", problem),)))
    return None


def load(data: bytes, path: str, collector: Collector | None = None) -> Document:
    """Returns the document in ``data``.

    Problems go to ``collector``; a document with ``usable`` False then stands for a file that
    could not be read to its end.

    Raises:
        InputError: without a collector, for any problem.
    """
    if _Parser is None:
        raise UnavailableError(
            "this PyYAML has no libyaml",
            hint="Install the PyYAML wheel of your platform, or build it with libyaml.",
        )
    own = Collector() if collector is None else collector
    reader = _Reader(path, own)
    usable, value = reader.read(data)
    if collector is None and len(own):
        raise InputError(own.sorted())
    return Document(data=value, path=path, text=data, usable=usable)


class _Reader:
    """Builds values from events; one per file."""

    def __init__(self, path: str, collector: Collector) -> None:
        self.path = path
        self.collector = collector

    def problem(self, code: str, mark: Any, what: str = "", label: str = "found") -> None:
        line, column = (mark.line, mark.column) if hasattr(mark, "line") else mark
        span = Span(path=self.path, line=line + 1, column=column + 1)
        facts = ((label, what),) if what else ()
        self.collector.add(diagnostic(code, span, facts=facts))

    def stop(self, code: str, mark: Any, what: str = "") -> _Stop:
        self.problem(code, mark, what)
        return _Stop()

    def read(self, data: bytes) -> tuple[bool, Any]:
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
        if len(data) > MAX_BYTES:
            raise self.stop("Y002", (0, 0), f"{len(data)} bytes")
        if data[:3] == b"\xef\xbb\xbf":
            raise self.stop("Y004", (0, 0))
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise self.stop("Y003", (0, 0), "UTF-16")
        control = _CONTROL.search(data)
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
        while True:
            event = get()
            kind = type(event)
            if kind is yaml.ScalarEvent:
                if event.anchor is not None or event.tag is not None:
                    self.marked(event)
                text = event.value
                if not event.style:  # a plain one: no quotes, no block
                    is_key = key is _NONE and type(container) is dict
                    value = text if text[:1] not in _SPECIAL_FIRST and text else None
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
        if event.anchor is not None:
            raise self.stop("Y009", event.start_mark, f"&{event.anchor}")
        raise self.stop("Y010", event.start_mark, str(event.tag))

    def scalar(self, text: str, event: Any, is_key: bool) -> Any:
        """Returns the value of a plain scalar that may be more than text."""
        if text in _NULLS:
            self.problem("Y016" if is_key else "Y015", event.start_mark, text or "nothing")
            return text if is_key else ""
        value: Any = text
        if text in _BOOLEANS:
            value = _BOOLEANS[text]
        elif _INTEGER.fullmatch(text):
            value = int(text)
        elif _ODD_INTEGER.fullmatch(text):
            self.problem("Y017", event.start_mark, text[:60])
        elif _FLOAT.fullmatch(text):
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


def _marks_of(data: bytes) -> dict[Path, tuple[Mark, Mark]]:
    """Returns path → (mark of the key or item, mark of the value); as far as the file parses.

    The value of a block map or list below a key is marked at its key: that is what people see.
    """
    marks: dict[Path, tuple[Mark, Mark]] = {}
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


class Spans:
    """Gives the place of any address in any file of a workspace, reading only when asked."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._documents: dict[str, Document] = {}

    def keep(self, document: Document) -> None:
        """Uses ``document`` for its path instead of reading the file again."""
        self._documents[document.path] = document

    def __call__(self, path: str, address: Path | str = "", *, key: bool = False) -> Span:
        """Returns the span; a file that cannot be read gives its path alone."""
        document = self._document(path)
        return document.span(address, key=key) if document else Span(path=path)

    def first(self, path: str, addresses: Sequence[Path]) -> Path:
        """Returns the first of ``addresses`` that stands in the file, or the last of them."""
        document = self._document(path)
        found = (a for a in addresses if document is not None and document.has(a))
        return next(found, addresses[-1])

    def inside(self, path: str, address: Path | str, text: str, offset: int) -> Span:
        """Returns the place of ``text[offset]`` where the value at ``address`` is ``text``."""
        document = self._document(path)
        return document.inside(address, text, offset) if document else Span(path=path)

    def _document(self, path: str) -> Document | None:
        document = self._documents.get(path)
        if document is None:
            data = read_file(os.path.join(self._root, path), path, Collector())
            if data is None:
                return None
            document = Document(data={}, path=path, text=data)
            self._documents[path] = document
        return document


__all__ = ["Document", "Spans", "format_address", "load", "parse_address", "read_file"]
