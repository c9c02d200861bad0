"""One path of a merged view, and the bytes of a file where they lie in a layer's tar."""

from __future__ import annotations

import bisect
import io
from collections.abc import Mapping
from dataclasses import dataclass, field

from ssds.core.errors import IntegrityError
from ssds.oci.tarindex import Member


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One path of the merged view.

    Attributes:
        path: without a leading slash; the root is the empty string.
        type: ``file folder symlink char block fifo``.
        mode: permission bits with setuid, setgid and sticky.
        target: of a symbolic link, as written.
        layer: index of the layer that it comes from; -1 for an implied parent folder.
        content_id: equal for the names of one hard-linked file; unique within the tree.
        offset: where the content starts in the layer's tar.
        segments: of a sparse file, else None.
    """

    path: str
    type: str
    mode: int
    uid: int = 0
    gid: int = 0
    size_bytes: int = 0
    mtime: int = 0
    target: str = ""
    layer: int = -1
    content_id: tuple[int, int] = (-1, 0)
    offset: int = 0
    xattrs: Mapping[str, bytes] = field(default_factory=dict)
    segments: tuple[tuple[int, int], ...] | None = None


def entry_of(
    member: Member, path: str, *, layer: int = -1, content_id: tuple[int, int] = (-1, 0)
) -> Entry:
    """Returns the entry that a tar's member becomes at ``path``."""
    return Entry(
        path=path,
        type=member.type,
        mode=member.mode,
        uid=member.uid,
        gid=member.gid,
        size_bytes=member.size_bytes,
        mtime=member.mtime,
        target=member.target,
        layer=layer,
        content_id=content_id,
        offset=member.offset,
        xattrs=member.xattrs,
        segments=member.segments,
    )


def parts_of(
    segments: tuple[tuple[int, int], ...] | None, size_bytes: int
) -> tuple[tuple[int, int], ...]:
    """Returns (place in the file, length) of what is stored; a sparse file may be all hole."""
    return ((0, size_bytes),) if segments is None else segments


class Content(io.RawIOBase):
    """The bytes of one file inside a tar; holes of sparse files read as zeros."""

    def __init__(self, tar: str, entry: Entry) -> None:
        super().__init__()
        self._file = open(tar, "rb", buffering=0)  # noqa: SIM115 - closed with this object
        self._entry = entry
        self._position = 0
        self._parts: list[tuple[int, int, int]] = []
        offset = entry.offset
        for place, length in parts_of(entry.segments, entry.size_bytes):
            if length:
                self._parts.append((place, length, offset))
            offset += length
        self._starts = [place for place, _, _ in self._parts]

    def readable(self) -> bool:
        """True."""
        return True

    seekable = readable

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves to a place in the file; returns it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._entry.size_bytes}
        self._position = max(0, base[whence] + offset)
        return self._position

    def readinto(self, buffer: object) -> int:
        """Reads into ``buffer``; returns the number of bytes, 0 at the end."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        wanted = min(len(view), self._entry.size_bytes - self._position)
        if wanted <= 0:
            return 0
        number = bisect.bisect_right(self._starts, self._position) - 1
        place, length, offset = self._parts[number] if number >= 0 else (0, 0, 0)
        inside = self._position - place
        if inside < length:
            self._file.seek(offset + inside)
            data = self._file.read(min(wanted, length - inside))
            if not data:
                raise cut_layer()
        else:
            ahead = self._starts[number + 1] if number + 1 < len(self._starts) else None
            end = self._entry.size_bytes if ahead is None else ahead
            data = bytes(min(wanted, end - self._position))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        """Closes the tar."""
        self._file.close()
        super().close()


def cut_layer() -> IntegrityError:
    """Returns the error for a tar that became shorter after its headers were read."""
    text = "a layer's tar was cut while it was read"
    return IntegrityError(text, hint="Run `ssds store verify`.", code="O030")
