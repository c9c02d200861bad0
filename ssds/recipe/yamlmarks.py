"""YAML for people's files: plain types, hostile-safe, with places found only when asked.

``load`` builds values with ``quick_yaml``, and with ``yaml_events`` what that one declines;
``Document.span`` parses once more and keeps the marks. The scalars are those of YAML 1.2's core
schema (section 10.3) less floats and nulls; anchors, aliases, tags, directives and several
documents are refused, so no bomb can be written.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import Any

from ssds.core.diagnostics import Collector, Span
from ssds.core.errors import InputError
from ssds.host.reading import read_open
from ssds.recipe.address import Path, format_address, parse_address
from ssds.recipe.codes import diagnostic
from ssds.recipe.quick_yaml import Marks, quick_value

MAX_BYTES = 1 << 20


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
        self._marks: Marks | None = None
        self._lines: list[str] | None = None

    @property
    def size_bytes(self) -> int:
        """How long the file is."""
        return len(self._text)

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

    @property
    def lines(self) -> list[str]:
        """The file's lines, without their ends."""
        if self._lines is None:
            self._lines = self._text.decode("utf-8", "replace").split("\n")
        return self._lines

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
        lines = self.lines
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
    value = quick_value(data)
    if value is not None:
        return Document(data=value, path=path, text=data)
    from ssds.recipe.yaml_events import Reader

    own = Collector() if collector is None else collector
    usable, value = Reader(path, own).read(data)
    if collector is None and len(own):
        raise InputError(own.sorted())
    return Document(data=value, path=path, text=data, usable=usable)


def _marks_of(data: bytes) -> Marks:
    """Returns path → (mark of the key or item, mark of the value); as far as the file parses."""
    marks: Marks = {}
    if quick_value(data, marks) is not None:
        return marks
    from ssds.recipe.yaml_events import marks_of

    return marks_of(data)


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

    def line(self, path: str, number: int) -> str:
        """Returns line ``number`` (from 1) of a file, or the empty string where there is none."""
        document = self._document(path)
        lines = document.lines if document else []
        return lines[number - 1] if 1 <= number <= len(lines) else ""

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
