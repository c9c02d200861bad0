"""Tar streams, written one way only: a layer's digest must not depend on a library's version.

POSIX ustar headers, and a pax header only for what ustar cannot hold: long or non-ASCII names,
large sizes and ids, extended attributes. ``ssds.oci.tarindex`` reads tars.

Source: POSIX.1-2001, "pax Interchange Format"; OCI image specification 1.1 (layer.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import IO

from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError

BLOCK = 512
XATTR = "SCHILY.xattr."
REGULAR, HARD_LINK, SYMLINK, FOLDER, FIFO = b"01256"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One entry of a tar.

    Attributes:
        name: path as bytes, without a trailing slash.
        kind: REGULAR, HARD_LINK, SYMLINK, FOLDER or FIFO.
        mode: permission bits with set-uid, set-gid and sticky.
        mtime: whole seconds since the Unix epoch.
        link: target of a hard or symbolic link.
        xattrs: name → value.
        size_bytes: of a regular file.
    """

    name: bytes
    kind: int
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    link: bytes = b""
    xattrs: Mapping[bytes, bytes] = field(default_factory=dict)
    size_bytes: int = 0


class TarWriter:
    """Writes a tar to ``stream`` and computes its sha256 on the way."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.size_bytes = 0
        self.entries = 0

    def add(self, member: Member, chunks: Iterable[bytes] = ()) -> None:
        """Writes one entry; ``chunks`` must give exactly ``member.size_bytes``.

        Raises:
            IntegrityError: the content is longer or shorter: the file changed while it was read.
        """
        self._put(_headers(member))
        written = 0
        for chunk in chunks:
            written += len(chunk)
            if written > member.size_bytes:
                break
            self._put(chunk)
        if written != member.size_bytes:
            shown = member.name.decode("utf-8", "replace")
            raise IntegrityError(f"{shown} changed while it was read")
        self._put(b"\0" * (-written % BLOCK))
        self.entries += 1

    def finish(self) -> Digest:
        """Writes the end of the archive; returns the digest of all bytes."""
        self._put(b"\0" * (2 * BLOCK))
        return Digest("sha256:" + self._hash.hexdigest())

    def _put(self, data: bytes) -> None:
        self._stream.write(data)
        self._hash.update(data)
        self.size_bytes += len(data)


def _headers(member: Member) -> bytes:
    name = member.name + (b"/" if member.kind == FOLDER else b"")
    records: dict[bytes, bytes] = {}
    if len(name) > 100 or not name.isascii():
        records[b"path"] = name
    if len(member.link) > 100 or not member.link.isascii():
        records[b"linkpath"] = member.link
    if member.size_bytes >= 8**11:
        records[b"size"] = b"%d" % member.size_bytes
    for key, value in ((b"uid", member.uid), (b"gid", member.gid)):
        if value >= 8**7:
            records[key] = b"%d" % value
    if not 0 <= member.mtime < 8**11:
        records[b"mtime"] = b"%d" % member.mtime
    for key, data in member.xattrs.items():
        records[XATTR.encode() + key] = data
    before = b""
    if records:
        body = b"".join(_record(key, records[key]) for key in sorted(records))
        extra = Member(name=b"PaxHeaders/" + member.name[-80:], kind=REGULAR)
        before = _ustar(extra, extra.name, b"x", len(body)) + body + b"\0" * (-len(body) % BLOCK)
    kind = bytes([member.kind])
    return before + _ustar(member, name, kind, member.size_bytes)


def _record(key: bytes, value: bytes) -> bytes:
    """Returns length, blank, key=value, newline; the length counts its own digits too."""
    body = b" " + key + b"=" + value + b"\n"
    length = len(body)
    while len(b"%d" % length) + len(body) != length:
        length = len(b"%d" % length) + len(body)
    return b"%d" % length + body


def _ustar(member: Member, name: bytes, kind: bytes, size: int) -> bytes:
    def octal(value: int, width: int) -> bytes:
        return b"%0*o\0" % (width - 1, value if 0 <= value < 8 ** (width - 1) else 0)

    header = b"".join(
        (
            _plain(name),
            octal(member.mode, 8),
            octal(member.uid, 8),
            octal(member.gid, 8),
            octal(size, 12),
            octal(member.mtime, 12),
            b" " * 8,
            kind,
            _plain(member.link),
            b"ustar\x0000",
            b"\0" * 64,
            octal(0, 8),
            octal(0, 8),
            b"\0" * 167,
        )
    )
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def _plain(text: bytes) -> bytes:
    """Returns what old readers see of a name: its first 100 bytes, ASCII only."""
    shown = bytes(c if c < 128 else 0x3F for c in text[:100])
    return shown.ljust(100, b"\0")
