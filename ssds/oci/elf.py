"""What an ELF file of an image says about how it is started, read without running it.

Sources: System V gABI (chapters 4 and 5), elf(5). Only what a dynamic loader needs: the machine,
the loader's path and the dynamic section. Everything is bounded: the file is hostile.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from ssds.core.records import dataclass
from ssds.oci.content import Entry
from ssds.oci.flatten import FlatTree

MAGIC = b"\x7fELF"
MACHINES = {"amd64": (62, 3), "arm64": (183,)}
"""Architecture → machines whose programs its kernels start."""
MACHINE_NAMES = {3: "i386", 40: "arm", 62: "amd64", 183: "arm64", 243: "riscv64", 21: "ppc64"}
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB, _DT_SONAME, _DT_RPATH, _DT_RUNPATH, _DT_FLAGS_1 = (
    1, 5, 14, 15, 29, 0x6FFFFFFB,
)  # fmt: skip
_DF_1_NODEFLIB = 0x800
_SEGMENTS, _ENTRIES, _TEXT_BYTES = 256, 8192, 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Elf:
    """One program or library.

    Attributes:
        machine: ``e_machine``; wide: whether it is a 64-bit file.
        loader: its program interpreter, or the empty string.
        needed: DT_NEEDED, in order.
        rpath, runpath: as written, with ``$ORIGIN``; joined by ``:``.
        no_default: DF_1_NODEFLIB: the default folders are not searched.
    """

    machine: int
    wide: bool
    loader: str = ""
    needed: tuple[str, ...] = ()
    soname: str = ""
    rpath: str = ""
    runpath: str = ""
    no_default: bool = False


def read_elf(tree: FlatTree, entry: Entry) -> Elf | None:
    """Returns what a file says, or None when it is no whole little-endian ELF file."""
    with tree.open_entry(entry) as file:
        head = file.read(64)
        if len(head) < 52 or not head.startswith(MAGIC) or head[5] != 1:
            return None
        try:
            return _Reader(file, head, entry.size_bytes).read()
        except (struct.error, OverflowError):
            return None


class _Reader:
    def __init__(self, file: BinaryIO, head: bytes, size: int) -> None:
        self.file, self.head, self.size = file, head, size
        self.wide = head[4] == 2
        self.word = "<Q" if self.wide else "<I"

    def at(self, offset: int, count: int) -> bytes:
        if not 0 <= offset <= self.size:
            return b""
        self.file.seek(offset)
        return self.file.read(min(count, self.size - offset))

    def read(self) -> Elf:
        machine: int = struct.unpack_from("<H", self.head, 18)[0]
        segments = self.segments()
        loader, tags = "", []
        for kind, offset, _, size in segments:
            if kind == _PT_INTERP:
                loader = _text(self.at(offset, min(size, _TEXT_BYTES)))
            elif kind == _PT_DYNAMIC:
                tags = self.tags(offset, size)
        values = dict(tags)
        strings = self.place(segments, values.get(_DT_STRTAB, 0))

        def text(tag: int) -> str:
            return self.string(strings, values[tag]) if tag in values else ""

        return Elf(
            machine=machine,
            wide=self.wide,
            loader=loader,
            needed=tuple(self.string(strings, v) for tag, v in tags if tag == _DT_NEEDED),
            soname=text(_DT_SONAME),
            rpath=text(_DT_RPATH),
            runpath=text(_DT_RUNPATH),
            no_default=bool(values.get(_DT_FLAGS_1, 0) & _DF_1_NODEFLIB),
        )

    def segments(self) -> list[tuple[int, int, int, int]]:
        """Returns type, offset, address and size in the file of each program header."""
        start: int = struct.unpack_from(self.word, self.head, 32 if self.wide else 28)[0]
        size, count = struct.unpack_from("<HH", self.head, 54 if self.wide else 42)
        found = []
        for index in range(min(count, _SEGMENTS)):
            data = self.at(start + index * size, 56 if self.wide else 32)
            if self.wide:
                kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", data)
            else:
                kind, offset, address, _, length = struct.unpack_from("<IIIII", data)
            found.append((kind, offset, address, length))
        return found

    def tags(self, offset: int, size: int) -> list[tuple[int, int]]:
        step = 16 if self.wide else 8
        data = self.at(offset, min(size, _ENTRIES * step))
        found = []
        for tag, value in struct.iter_unpack(
            "<QQ" if self.wide else "<II", data[: len(data) // step * step]
        ):
            if tag == 0:
                break
            found.append((tag, value))
        return found

    def place(self, segments: list[tuple[int, int, int, int]], address: int) -> int:
        """Returns where in the file an address lies; a plain offset where no segment has it."""
        for kind, offset, start, length in segments:
            if kind == _PT_LOAD and start <= address < start + length:
                return address - start + offset
        return address

    def string(self, table: int, index: int) -> str:
        return _text(self.at(table + index, _TEXT_BYTES))


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")
