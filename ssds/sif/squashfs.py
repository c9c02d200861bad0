"""Writes a squashfs 4.0 from a merged view of layers: equal trees, equal bytes.

Nothing is unpacked, so that an ordinary user gets every owner, mode and capability. Devices, fifos
and sockets are left out: containers that need no privileges cannot use them.

Source: the kernel's Documentation/filesystems/squashfs.rst, version 4.0; its fs/squashfs for what
a reader checks.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, NamedTuple, Self

import blake3

from ssds.core.errors import StepFailed
from ssds.oci.compress import check_compressor
from ssds.oci.content import Content, Entry, cut_layer
from ssds.oci.flatten import FlatTree
from ssds.oci.normal import kept_xattr
from ssds.sif.blocks import BLOCK_BYTES, LEVEL, DataWriter, Placed
from ssds.sif.tables import Ids, Metadata, Xattrs, blocks_and_list, meta_block

MAGIC = 0x73717368
_SUPERBLOCK_BYTES = 96
_FLAGS = 0x0040 | 0x0400  # equal files are stored once; the compressor's options are stated
_NO_XATTRS = 0x0200
_NONE = 2**64 - 1
_HEADER_ENTRIES = 256
_BASIC_SIZE = 2**32
FOLDER, FILE, SYMLINK = 1, 2, 3
_TYPES = {"folder": FOLDER, "file": FILE, "symlink": SYMLINK}
_EXTENDED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was written.

    Attributes:
        size_bytes: of the file system, with padding to 4 KiB.
        dropped: paths of devices and fifos that were left out.
    """

    size_bytes: int
    inodes: int
    dropped: tuple[str, ...]


class _Name(NamedTuple):
    """One name of a folder: where its inode is, and of what type."""

    name: bytes
    number: int
    block: int
    offset: int
    type: int


def write_squashfs(
    tree: FlatTree, out: IO[bytes], *, epoch: int, stopping: Callable[[], bool] = lambda: False
) -> Written:
    """Writes ``tree`` to ``out`` from its present place; it must be able to seek.

    Args:
        epoch: SOURCE_DATE_EPOCH, the time of the file system itself, in seconds.
        stopping: True once the user asked to stop.

    Raises:
        UnavailableError: O020, this machine's zlib is not the pinned one; O120, O121, what no
            squashfs holds.
        StepFailed: ``stopping`` said True.
    """
    check_compressor()
    origin = out.tell()
    options = meta_block(struct.pack("<IHH", LEVEL, 15, 0))
    out.write(bytes(_SUPERBLOCK_BYTES) + options)
    entries = [e for e in tree.walk() if e.type in _TYPES]
    dropped = tuple(e.path for e in tree.walk() if e.type not in _TYPES)
    with (
        _Reader(tree) as reader,
        DataWriter(out, _SUPERBLOCK_BYTES + len(options)) as data,
    ):
        contents = _place_files(entries, reader, data, stopping)
    inodes = _Inodes(tree, entries, contents)
    block, offset = inodes.folder("")
    places, tail = _tables(inodes, data)
    out.write(tail)
    used = data.position + len(tail)
    out.write(bytes(-used % 4096))
    end = out.tell()
    xattrs = places[1] != _NONE
    superblock = struct.pack(
        "<5I6H8Q",
        MAGIC,
        inodes.count,
        _time(epoch),
        BLOCK_BYTES,
        len(data.fragments),
        1,  # gzip, that is a zlib stream
        BLOCK_BYTES.bit_length() - 1,
        _FLAGS | (0 if xattrs else _NO_XATTRS),
        len(inodes.ids),
        4,
        0,
        block << 16 | offset,
        used,
        *places,
    )
    out.seek(origin)
    out.write(superblock)
    out.seek(end)
    return Written(size_bytes=end - origin, inodes=inodes.count, dropped=dropped)


def _tables(inodes: _Inodes, data: DataWriter) -> tuple[tuple[int, ...], bytes]:
    """Returns the places of the six tables as the superblock names them, and their bytes."""
    start = data.position
    tail = bytearray(inodes.inodes.finish())
    folders = start + len(tail)
    tail += inodes.listings.finish()
    fragments = _NONE
    if data.fragments:
        table = b"".join(struct.pack("<QII", place, size, 0) for place, size in data.fragments)
        blocks, found = blocks_and_list(table, start + len(tail))
        fragments = start + len(tail) + len(blocks)
        tail += blocks + found
    blocks, found = blocks_and_list(inodes.ids.table(), start + len(tail))
    ids = start + len(tail) + len(blocks)
    tail += blocks + found
    section, xattrs = inodes.xattrs.section(start + len(tail))
    tail += section
    return (ids, _NONE if xattrs < 0 else xattrs, start, folders, fragments, _NONE), bytes(tail)


class _Reader:
    """Reads the content of files from the layers' tars, each opened once."""

    def __init__(self, tree: FlatTree) -> None:
        self._tree = tree
        self._files: list[int] = []

    def __enter__(self) -> Self:
        for path in self._tree.layers:
            self._files.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            os.close(file)

    def pieces(self, entry: Entry) -> Iterator[bytes]:
        """Gives a file's content in pieces of BLOCK_BYTES."""
        if entry.segments is not None:
            yield from self._sparse(entry)
            return
        file, place = self._files[entry.layer], entry.offset
        left = entry.size_bytes
        while left:
            piece = os.pread(file, min(left, BLOCK_BYTES), place)
            if len(piece) < min(left, BLOCK_BYTES):
                raise cut_layer()
            place += len(piece)
            left -= len(piece)
            yield piece

    def _sparse(self, entry: Entry) -> Iterator[bytes]:
        with Content(self._tree.layers[entry.layer], entry) as content:
            left = entry.size_bytes
            while left:
                piece = bytearray()
                while len(piece) < min(left, BLOCK_BYTES):
                    piece += content.read(min(left, BLOCK_BYTES) - len(piece)) or b""
                left -= len(piece)
                yield bytes(piece)


def _place_files(
    entries: Sequence[Entry], reader: _Reader, data: DataWriter, stopping: Callable[[], bool]
) -> dict[tuple[int, int], Placed]:
    """Writes the content of all files, equal ones once; returns where each is."""
    files = {e.content_id: e for e in entries if e.type == "file"}
    sizes = Counter(e.size_bytes for e in files.values())
    known: dict[bytes, Placed] = {}
    found: dict[tuple[int, int], Placed] = {}
    for name, entry in files.items():
        if stopping():
            raise StepFailed("stopped by the user")
        if sizes[entry.size_bytes] == 1:  # no other file can be equal
            found[name] = data.place(reader.pieces(entry))
            continue
        digest = _digest(reader.pieces(entry))
        placed = known.get(digest)
        if placed is None:
            placed = known[digest] = data.place(reader.pieces(entry))
        found[name] = placed
    return found


def _digest(pieces: Iterator[bytes]) -> bytes:
    hasher = blake3.blake3()
    for piece in pieces:
        hasher.update(piece)
    return hasher.digest()


class _Inodes:
    """Makes inodes and folder listings, children before their folder."""

    def __init__(
        self,
        tree: FlatTree,
        entries: Sequence[Entry],
        contents: dict[tuple[int, int], Placed],
    ) -> None:
        self.tree = tree
        self.contents = contents
        self.inodes = Metadata()
        self.listings = Metadata()
        self.ids = Ids()
        self.xattrs = Xattrs()
        self.links = Counter(e.content_id for e in entries if e.type != "folder")
        self.numbers: dict[str | tuple[int, int], int] = {}
        for entry in entries:
            self.numbers.setdefault(_identity(entry), len(self.numbers) + 1)
        self.count = len(self.numbers)
        self.places: dict[tuple[int, int], tuple[int, int]] = {}

    def folder(self, path: str) -> tuple[int, int]:
        """Writes a folder and all below it; returns the place of its inode."""
        base = path + "/" if path else ""
        found: list[tuple[bytes, Entry]] = []
        for name in self.tree.children[path]:
            entry = self.tree.entries[base + name]
            if entry.type in _TYPES:
                found.append((os.fsencode(name), entry))
        found.sort(key=lambda pair: pair[0])
        inner = {e.path: self.folder(e.path) for _, e in found if e.type == "folder"}
        names = [
            _Name(
                name,
                self.numbers[_identity(entry)],
                *(inner[entry.path] if entry.type == "folder" else self.leaf(entry)),
                _TYPES[entry.type],
            )
            for name, entry in found
        ]
        return self._folder_inode(self.tree.entries[path], names, len(inner))

    def leaf(self, entry: Entry) -> tuple[int, int]:
        """Writes the inode of a file or link unless it is there; returns its place."""
        place = self.places.get(entry.content_id)
        if place is None:
            xattr = self._xattr(entry)
            make = self._symlink if entry.type == "symlink" else self._file
            kind, body = make(entry, self.links[entry.content_id], xattr)
            place = self.places[entry.content_id] = self.inodes.place()
            self.inodes.write(self._head(entry, kind) + body)
        return place

    def _file(self, entry: Entry, links: int, xattr: int) -> tuple[int, bytes]:
        at = self.contents[entry.content_id]
        sizes = struct.pack(f"<{len(at.sizes)}I", *at.sizes)
        small = max(at.start, entry.size_bytes) < _BASIC_SIZE
        if small and links == 1 and xattr < 0 and not at.hole_bytes:
            head = struct.pack("<4I", at.start, at.fragment, at.offset, entry.size_bytes)
            return FILE, head + sizes
        head = struct.pack(
            "<3Q4I",
            at.start,
            entry.size_bytes,
            at.hole_bytes,
            links,
            at.fragment,
            at.offset,
            xattr & 0xFFFFFFFF,
        )
        return FILE + _EXTENDED, head + sizes

    def _symlink(self, entry: Entry, links: int, xattr: int) -> tuple[int, bytes]:
        target = os.fsencode(entry.target)
        body = struct.pack("<II", links, len(target)) + target
        if xattr < 0:
            return SYMLINK, body
        return SYMLINK + _EXTENDED, body + struct.pack("<I", xattr)

    def _folder_inode(self, entry: Entry, names: list[_Name], folders: int) -> tuple[int, int]:
        block, offset = self.listings.place()
        size, index = self._listing(names)
        parent = self.numbers[entry.path.rpartition("/")[0]] if entry.path else self.count + 1
        xattr = self._xattr(entry)
        links, size = folders + 2, size + 3  # . and .. count as 3 bytes
        if size < 65536 and xattr < 0 and not index:
            kind = FOLDER
            body = struct.pack("<IIHHI", block, links, size, offset, parent)
        else:
            kind = FOLDER + _EXTENDED
            count = len(index)
            body = struct.pack(
                "<4IHHI", links, size, block, parent, count, offset, xattr & 0xFFFFFFFF
            )
            body += b"".join(index)
        place = self.inodes.place()
        self.inodes.write(self._head(entry, kind) + body)
        return place

    def _listing(self, names: list[_Name]) -> tuple[int, list[bytes]]:
        """Writes a listing; returns its size in bytes, and an index where it crosses blocks."""
        index: list[bytes] = []
        size = start = 0
        seen = self.listings.place()[0]
        while start < len(names):
            first = names[start]
            block = self.listings.place()[0]
            if block != seen:
                entry = struct.pack("<III", size, block, len(first.name) - 1)
                index.append(entry + first.name)
                seen = block
            end = start
            record = bytearray()
            while end < len(names) and end - start < _HEADER_ENTRIES:
                name = names[end]
                delta = name.number - first.number
                if name.block != first.block or not -32768 <= delta < 32768:
                    break
                record += struct.pack("<HhHH", name.offset, delta, name.type, len(name.name) - 1)
                record += name.name
                end += 1
            head = struct.pack("<III", end - start - 1, first.block, first.number)
            self.listings.write(head + record)
            size += len(head) + len(record)
            start = end
        return size, index

    def _head(self, entry: Entry, kind: int) -> bytes:
        return struct.pack(
            "<4HII",
            kind,
            0o777 if entry.type == "symlink" else entry.mode & 0o7777,
            self.ids.number(entry.uid),
            self.ids.number(entry.gid),
            _time(entry.mtime),
            self.numbers[_identity(entry)],
        )

    def _xattr(self, entry: Entry) -> int:
        kept = {n: v for n, v in entry.xattrs.items() if kept_xattr(n)} if entry.xattrs else {}
        return self.xattrs.number(kept) if kept else -1


def _identity(entry: Entry) -> str | tuple[int, int]:
    """Returns what is equal for the names of one inode."""
    return entry.path if entry.type == "folder" else entry.content_id


def _time(seconds: int) -> int:
    """Returns a time that squashfs can hold: from 1970 to 2106."""
    return min(max(seconds, 0), 2**32 - 1)
