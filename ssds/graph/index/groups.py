"""The hot columns of the index: paths and rows in groups, and lists of texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ssds.graph.index.layout import BadIndex, IndexFile
from ssds.graph.index.rows import ROW_BYTES

HOT_SECTIONS = ("groups", "paths", "rows")


class Groups:
    """The rows: paths in groups, each group below one base folder.

    Attributes:
        bases: the base folder of each group, relative to the workspace, or absolute.
        paths: of each group, relative to its base.
        rows: of each group, ``ROW_BYTES`` for each path.
    """

    __slots__ = ("bases", "paths", "rows")

    def __init__(self) -> None:
        self.bases: list[str] = []
        self.paths: list[list[bytes]] = []
        self.rows: list[memoryview | bytearray] = []

    @classmethod
    def load(cls, file: IndexFile) -> Groups:
        """Returns the groups of an index file."""
        self = cls()
        rows = file.section("rows", ROW_BYTES)
        names = bytes(file.section("paths")).split(b"\0")
        at = 0
        for line in words(file, "groups"):
            count, _, base = line.partition(" ")
            end = at + int(count)
            self.bases.append(base)
            self.paths.append(names[at:end])
            self.rows.append(rows[at * ROW_BYTES : end * ROW_BYTES])
            at = end
        if at * ROW_BYTES != len(rows) or at != len(names) - 1:
            raise BadIndex("its rows and paths do not agree")
        return self

    def packed(self, name: str) -> bytes:
        """Returns the bytes of a section: ``groups``, ``paths`` or ``rows``."""
        if name == "groups":
            return join(f"{len(p)} {b}" for b, p in zip(self.bases, self.paths, strict=True))
        if name == "paths":
            return b"".join(p + b"\0" for paths in self.paths for p in paths)
        return b"".join(self.rows)

    def sections(self) -> Iterator[tuple[str, bytes]]:
        """Gives all sections."""
        for name in HOT_SECTIONS:
            yield name, self.packed(name)

    def __len__(self) -> int:
        return sum(map(len, self.paths))


def words(file: IndexFile, name: str) -> list[str]:
    """Returns a section of texts, each of which ends with a NUL."""
    try:
        return bytes(file.section(name)).decode("utf-8", "surrogateescape").split("\0")[:-1]
    except UnicodeDecodeError as error:
        raise BadIndex(f"its section {name} is no text") from error


def join(texts: Iterable[str]) -> bytes:
    """Returns what ``words`` reads."""
    return b"".join(text.encode("utf-8", "surrogateescape") + b"\0" for text in texts)
