"""Reads one RPM header as rpm's databases store it, without the lead and the magic number.

Source: Linux Standard Base 5.0, "Package File Format", header structure; rpm's tag numbers.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ssds.core.errors import IntegrityError

LIMIT_BYTES = 256 * 1024 * 1024
LIMIT_INDEXES = 65_536
LIMIT_FILES = 2_000_000
LIMIT_PATH = 4096
"""Linux's PATH_MAX; each file repeats its folder's name, so long ones make much of little."""
LIMIT_PATHS = 64 * 1024 * 1024
_NAME, _VERSION, _RELEASE, _EPOCH = 1000, 1001, 1002, 1003
_LICENCE, _ARCH, _SOURCE_RPM, _MODULE = 1014, 1022, 1044, 5096
_DIR_INDEXES, _BASE_NAMES, _DIR_NAMES = 1116, 1117, 1118
_INT32, _STRING, _TEXTS, _I18N = 4, 6, 8, 9


@dataclass(frozen=True, slots=True, kw_only=True)
class RpmHeader:
    """What an installed package's header says; ``files`` are absolute paths."""

    name: str
    version: str
    release: str
    epoch: int
    architecture: str
    licence: str
    source_rpm: str
    module: str
    files: tuple[str, ...]


def read_header(data: bytes) -> RpmHeader:
    """Returns the header in ``data``.

    Raises:
        IntegrityError: its sizes or offsets do not fit its bytes, or it has no name or version.
    """
    header = _Header(data)
    name, version = header.text(_NAME), header.text(_VERSION)
    if not name or not version:
        raise IntegrityError("a package header has no name or version")
    return RpmHeader(
        name=name,
        version=version,
        release=header.text(_RELEASE),
        epoch=next(iter(header.integers(_EPOCH)), 0),
        architecture=header.text(_ARCH),
        licence=header.text(_LICENCE),
        source_rpm=header.text(_SOURCE_RPM),
        module=header.text(_MODULE),
        files=header.files(),
    )


class _Header:
    def __init__(self, data: bytes) -> None:
        if len(data) < 8 or len(data) > LIMIT_BYTES:
            raise IntegrityError(f"a package header has {len(data)} bytes")
        count, size_bytes = struct.unpack_from(">II", data)
        start = 8 + count * 16
        if not 0 < count <= LIMIT_INDEXES or start + size_bytes > len(data):
            raise IntegrityError("a package header is cut off")
        self.store = data[start : start + size_bytes]
        self.tags: dict[int, tuple[int, int, int]] = {}
        for index in range(count):
            tag, kind, offset, items = struct.unpack_from(">IIII", data, 8 + index * 16)
            self.tags.setdefault(tag, (kind, offset, items))

    def text(self, tag: int) -> str:
        kind, offset, _ = self.tags.get(tag, (0, 0, 0))
        return self._texts(offset, 1)[0] if kind in (_STRING, _TEXTS, _I18N) else ""

    def integers(self, tag: int) -> tuple[int, ...]:
        kind, offset, items = self.tags.get(tag, (0, 0, 0))
        if kind != _INT32 or items == 0:
            return ()
        if items > LIMIT_FILES or offset + items * 4 > len(self.store):
            raise IntegrityError("a package header points outside of its bytes")
        return struct.unpack_from(f">{items}I", self.store, offset)

    def files(self) -> tuple[str, ...]:
        folders = self._list(_DIR_NAMES)
        names = self._list(_BASE_NAMES)
        places = self.integers(_DIR_INDEXES)
        if len(places) != len(names) or any(place >= len(folders) for place in places):
            raise IntegrityError("a package header's list of files does not fit together")
        total = sum(len(folders[place]) for place in places) + sum(map(len, names))
        if max(map(len, (*folders, *names)), default=0) > LIMIT_PATH or total > LIMIT_PATHS:
            raise IntegrityError("a package header's names of files are too long")
        return tuple(folders[place] + name for place, name in zip(places, names, strict=True))

    def _list(self, tag: int) -> list[str]:
        kind, offset, items = self.tags.get(tag, (0, 0, 0))
        if kind not in (_STRING, _TEXTS):
            return []
        if items > LIMIT_FILES:
            raise IntegrityError("a package header lists too many files")
        return self._texts(offset, items)

    def _texts(self, offset: int, items: int) -> list[str]:
        found: list[str] = []
        for _ in range(items):
            end = self.store.find(b"\0", offset)
            if offset > len(self.store) or end < 0:
                raise IntegrityError("a package header points outside of its bytes")
            found.append(self.store[offset:end].decode("utf-8", "surrogateescape"))
            offset = end + 1
        return found
