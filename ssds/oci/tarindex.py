"""The table of contents of a layer tar, read header by header without touching the content.

It reads POSIX ustar and pax, GNU long names and sparse files, as Go's and GNU's tar write them.
Python's ``tarfile`` needs four times as long per entry and follows the archive in several places
where this must not. Sources: POSIX.1-2017 "pax Interchange Format", GNU tar manual "Basic Tar
Format", OCI image specification 1.1 (layer.md).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Never

from ssds.core.errors import IntegrityError

BLOCK = 512
ENTRY_LIMIT = 2_000_000
EXTENDED_LIMIT_BYTES = 1 << 20
PATH_LIMIT_BYTES = 4096
NAME_LIMIT_BYTES = 255
DEPTH_LIMIT = 200

TYPES = {
    b"0": "file",
    b"\0": "file",
    b"7": "file",
    b"1": "hardlink",
    b"2": "symlink",
    b"3": "char",
    b"4": "block",
    b"5": "folder",
    b"6": "fifo",
    b"S": "file",
}
_XATTR = "SCHILY.xattr."


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One entry of a tar as it stands there.

    Attributes:
        path: without leading ``/`` or ``./`` and trailing ``/``; the empty string is the root.
            Bytes that are not UTF-8 are kept as surrogates, as os.fsdecode does.
        type: ``file folder symlink hardlink char block fifo``.
        mode: permission bits with setuid, setgid and sticky.
        size_bytes: of the content; mtime: seconds.
        target: of a symbolic link as written; of a hard link a path like ``path``.
        header_offset: where its header starts; it identifies the content within the layer.
        offset: where its content starts.
        segments: of a sparse file (place in the file, length), in order; else None.
    """

    path: str
    type: str
    mode: int
    uid: int
    gid: int
    size_bytes: int
    mtime: int
    target: str
    header_offset: int
    offset: int
    xattrs: Mapping[str, bytes] = field(default_factory=dict)
    segments: tuple[tuple[int, int], ...] | None = None


class _Reader:
    """Walks the headers of one tar."""

    def __init__(self, handle: int, size_bytes: int, what: str) -> None:
        self.handle = handle
        self.size = size_bytes
        self.what = what
        self.position = 0
        self.start = 0

    def fail(self, problem: str, code: str = "O030") -> Never:
        raise IntegrityError(
            f"{self.what}: entry at byte {self.start}: {problem}",
            hint="The layer is damaged or hostile; it was not unpacked.",
            code=code,
        )

    def header(self) -> bytes | None:
        """Returns the next header block; None at the end of the archive."""
        self.start = self.position
        block = os.pread(self.handle, BLOCK, self.position)
        if not block or block.count(0) == BLOCK:
            return None
        if len(block) < BLOCK:
            self.fail("the archive ends inside a header")
        self.position += BLOCK
        stored = self.number(block[148:156], "checksum")
        total = sum(block) - sum(block[148:156]) + 256
        if stored != total and stored != _signed_sum(block):
            self.fail("the header's checksum is wrong")
        return block

    def number(self, raw: bytes, what: str) -> int:
        """Reads an octal or base-256 number field."""
        if raw[0] & 0x80:
            value = int.from_bytes(raw, "big", signed=False) & ((1 << (8 * len(raw) - 1)) - 1)
            if raw[0] & 0x40:
                value -= 1 << (8 * len(raw) - 1)
            return value
        text = raw.partition(b"\0")[0].strip()
        try:
            return int(text, 8) if text else 0
        except ValueError:
            self.fail(f"{what} is not a number")

    def content(self, size: int) -> bytes:
        """Returns the content of an extended header and steps over it."""
        if size > EXTENDED_LIMIT_BYTES:
            self.fail(f"an extended header of {size} bytes")
        data = os.pread(self.handle, size, self.position)
        if len(data) != size:
            self.fail("the archive ends inside an extended header")
        self.skip(size)
        return data

    def skip(self, size: int) -> None:
        """Steps over ``size`` content bytes and their padding."""
        if not 0 <= size <= self.size - self.position:
            self.fail("the archive ends inside this entry's content")
        self.position += (size + BLOCK - 1) // BLOCK * BLOCK


def index_tar(path: str, *, what: str = "") -> Iterator[Member]:
    """Gives the entries of an uncompressed tar in its order.

    Args:
        what: how errors call it; the file's name where empty.

    Raises:
        IntegrityError: O030 damaged, O031 a path that leaves the root or is too long,
            O032 an entry type that no layer has, O033 too many entries.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        reader = _Reader(
            handle, os.fstat(handle).st_size, what or f"layer {os.path.basename(path)}"
        )
        count = 0
        while member := _next(reader, path):
            count += 1
            if count > ENTRY_LIMIT:
                reader.fail(f"more than {ENTRY_LIMIT} entries", "O033")
            yield member
    finally:
        os.close(handle)


def _next(reader: _Reader, tar_path: str) -> Member | None:
    """Reads one member with the extended headers before it."""
    extended: dict[str, bytes] = {}
    first = reader.position
    headers = 0
    while True:
        block = reader.header()
        if block is None:
            return None
        flag = block[156:157]
        size = reader.number(block[124:136], "size")
        if flag in b"LKxXg" and flag:
            headers += 1
            if headers > 16:
                reader.fail("too many extended headers in a row")
            data = reader.content(size)
            if flag == b"L":
                extended["path"] = data.rstrip(b"\0")
            elif flag == b"K":
                extended["linkpath"] = data.rstrip(b"\0")
            elif flag != b"g":
                extended.update(_records(reader, data))
            continue
        if flag == b"S" or any(name.startswith("GNU.sparse.") for name in extended):
            return _sparse(reader, block, extended, first, tar_path)
        return _member(reader, block, extended, first)


def _member(
    reader: _Reader,
    block: bytes,
    extended: Mapping[str, bytes],
    first: int,
) -> Member:
    raw = extended.get("path")
    if raw is None:
        raw = block[:100].partition(b"\0")[0]
        prefix = block[345:500].partition(b"\0")[0] if block[257:263] == b"ustar\0" else b""
        raw = prefix + b"/" + raw if prefix else raw
    flag = block[156:157]
    kind = TYPES.get(flag)
    if kind is None:
        reader.fail(f"type {flag!r} has no place in a layer", "O032")
    if kind == "file" and raw.endswith(b"/") and flag != b"7":
        kind = "folder"  # as tars before POSIX wrote folders
    size = _pax_number(reader, extended, "size", block[124:136])
    if kind != "file":
        size = size if kind == "hardlink" else 0
    target = ""
    if kind in ("symlink", "hardlink"):
        link = extended.get("linkpath", block[157:257].partition(b"\0")[0])
        target = _target(reader, link) if kind == "symlink" else clean_path(reader, link)
    offset = reader.position
    # A hard link's size field is its target's in some archives; its content is never there.
    reader.skip(size if kind == "file" else 0)
    return Member(
        path=clean_path(reader, raw),
        type=kind,
        mode=reader.number(block[100:108], "mode") & 0o7777,
        uid=_pax_number(reader, extended, "uid", block[108:116]),
        gid=_pax_number(reader, extended, "gid", block[116:124]),
        size_bytes=size if kind == "file" else 0,
        mtime=_pax_number(reader, extended, "mtime", block[136:148]),
        target=target,
        header_offset=first,
        offset=offset,
        xattrs=_xattrs(extended) if extended else {},
    )


def _sparse(
    reader: _Reader, block: bytes, extended: Mapping[str, bytes], first: int, tar_path: str
) -> Member:
    """Reads a sparse file; the standard library knows its four formats, its word is checked."""
    import dataclasses
    import tarfile

    named = dict(extended)
    if "GNU.sparse.name" in named:
        named["path"] = named["GNU.sparse.name"]
    try:
        with open(tar_path, "rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            tar.offset = first
            info = tar.next() if first else tar.getmembers()[0]
        if info is None:
            raise ValueError("no entry")
        found = [(int(place), int(length)) for place, length in getattr(info, "sparse", None) or ()]
    except (tarfile.TarError, ValueError, TypeError, OSError, EOFError, IndexError) as error:
        reader.fail(f"its sparse map cannot be read: {error}")
    member = _member(reader, block, {k: v for k, v in named.items() if k != "size"}, first)
    stored = sum(length for _, length in found)
    end = 0
    for place, length in found:
        if place < end or length < 0:
            reader.fail("its sparse map is not in order")
        end = place + length
    if info.size < end or info.offset_data + stored > reader.size or len(found) > 1_000_000:
        reader.fail("its sparse map does not fit the archive")
    if block[156:157] == b"S":
        reader.position = info.offset_data
        reader.skip(stored)
    return dataclasses.replace(
        member, type="file", size_bytes=info.size, offset=info.offset_data, segments=tuple(found)
    )


def _records(reader: _Reader, data: bytes) -> dict[str, bytes]:
    """Reads pax records: length, blank, key=value, newline (POSIX.1-2017)."""
    records: dict[str, bytes] = {}
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 12)
        digits = data[position:space]
        if space < 0 or not digits.isdigit():
            if not data[position:].strip(b"\0"):
                break
            reader.fail("a pax record has no length")
        end = position + int(digits)
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if end <= space or end > len(data) or data[end - 1 : end] != b"\n" or not equals:
            reader.fail("a pax record is damaged")
        name = key.decode("utf-8", "surrogateescape")
        if name.startswith("GNU.sparse.") and name in records:
            value = records[name] + b"," + value  # format 0.0 repeats its keys
        records[name] = value
        position = end
    return records


def _pax_number(reader: _Reader, extended: Mapping[str, bytes], name: str, raw: bytes) -> int:
    text = extended.get(name) if extended else None
    if text is None:
        return reader.number(raw, name)
    whole = text.partition(b".")[0]
    if not whole.lstrip(b"-").isdigit() or len(whole) > 20:
        reader.fail(f"{name} is not a number")
    return int(whole)


def _xattrs(extended: Mapping[str, bytes]) -> dict[str, bytes]:
    return {
        name[len(_XATTR) :]: value for name, value in extended.items() if name.startswith(_XATTR)
    }


def clean_path(reader: _Reader, raw: bytes) -> str:
    """Returns a path below the root; refuses what leaves it or no file system takes."""
    if b"\0" in raw or len(raw) > PATH_LIMIT_BYTES:
        reader.fail("a path is too long or has a NUL byte", "O031")
    if raw.startswith(b"./"):
        raw = raw[2:]
    text = raw.decode("utf-8", "surrogateescape").strip("/")
    if not text or text == ".":
        return ""
    parts = text.split("/")
    if "" in parts or "." in parts:
        parts = [part for part in parts if part not in ("", ".")]
        text = "/".join(parts)
    if ".." in parts:
        reader.fail(f"the path {text[:100]!r} leaves the image", "O031")
    if len(parts) > DEPTH_LIMIT or (len(raw) > NAME_LIMIT_BYTES and _longest(parts)):
        reader.fail(f"the path {text[:60]!r}… is too deep or has a name too long", "O031")
    return text


def _longest(parts: list[str]) -> bool:
    return any(len(p.encode("utf-8", "surrogateescape")) > NAME_LIMIT_BYTES for p in parts)


def _target(reader: _Reader, raw: bytes) -> str:
    if not raw or b"\0" in raw or len(raw) > PATH_LIMIT_BYTES:
        reader.fail("a symbolic link has no target or one that is too long", "O031")
    return raw.decode("utf-8", "surrogateescape")


def _signed_sum(block: bytes) -> int:
    values: tuple[int, ...] = struct.unpack("512b", block)
    return sum(values) - sum(values[148:156]) + 256
