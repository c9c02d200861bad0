"""The SIF container: a head, a table of descriptors, and the objects that they name.

Every field is a function of the content: times are SOURCE_DATE_EPOCH, the identifier follows from
what the file holds. Only what ssds writes is described here.

Source: the SIF specification 1.0 as github.com/apptainer/sif implements it (``pkg/sif``).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import IO

from ssds.core.digest import sha256_of
from ssds.core.errors import IntegrityError, UnavailableError
from ssds.core.platform import Platform
from ssds.core.records import dataclass

ALIGN_BYTES = 4096
DESCRIPTORS = 48
DEFINITION, LABELS, PARTITION, JSON = 0x4001, 0x4003, 0x4004, 0x4006
ARCHITECTURES = {"amd64": "02", "arm64": "04"}
_LAUNCH = b"#!/usr/bin/env run-singularity\n"
_MAGIC = b"SIF_MAGIC\0"
_VERSION = b"01\0"
_HEAD = struct.Struct("<32s10s3s3s16s8q")
_DESCRIPTOR = struct.Struct("<i?3I7q128s384s")
_TABLE = 4096
_GROUP = 0xF0000001
_SQUASHFS, _PRIMARY = 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One object of a SIF as its descriptor tells it.

    Attributes:
        type: DEFINITION, LABELS, PARTITION or JSON.
        offset, size_bytes: where it is in the file.
        extra: for a partition its file system, its role and the architecture.
    """

    type: int
    name: str
    offset: int
    size_bytes: int
    extra: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """The head of a SIF and its objects."""

    architecture: str
    uuid: bytes
    created: int
    parts: tuple[Part, ...]


def write_container(
    out: IO[bytes],
    *,
    platform: Platform,
    epoch: int,
    identity: bytes,
    objects: Sequence[tuple[int, str, bytes]],
    partition: Callable[[IO[bytes]], int],
) -> None:
    """Writes a SIF to ``out``, which must be empty and able to seek.

    Args:
        identity: what the identifier is made of: equal bytes, equal identifier.
        objects: type, name and content of what stands before the partition.
        partition: writes the squashfs from the present place; returns its size in bytes.

    Raises:
        UnavailableError: O122, SIF has no name for this architecture.
    """
    code = architecture_code(platform)
    start = _TABLE + DESCRIPTORS * _DESCRIPTOR.size
    parts: list[Part] = []
    position = start
    for kind, name, data in objects:
        position += -position % ALIGN_BYTES
        out.seek(position)
        out.write(data)
        parts.append(Part(type=kind, name=name, offset=position, size_bytes=len(data)))
        position += len(data)
    position += -position % ALIGN_BYTES
    out.seek(position)
    size = partition(out)
    extra = struct.pack("<ii3s", _SQUASHFS, _PRIMARY, code)
    parts.append(Part(type=PARTITION, name="rootfs", offset=position, size_bytes=size, extra=extra))
    end = position + size
    first = parts[0].offset
    out.seek(0)
    out.write(
        _HEAD.pack(
            _LAUNCH,
            _MAGIC,
            _VERSION,
            code,
            _uuid(identity),
            epoch,
            epoch,
            DESCRIPTORS - len(parts),
            DESCRIPTORS,
            _TABLE,
            DESCRIPTORS * _DESCRIPTOR.size,
            first,
            end - first,
        )
    )
    out.seek(_TABLE)
    before = start
    for number, part in enumerate(parts, 1):
        after = part.offset + part.size_bytes
        out.write(
            _DESCRIPTOR.pack(
                part.type,
                True,
                number,
                _GROUP,
                0,
                part.offset,
                part.size_bytes,
                after - before,
                epoch,
                epoch,
                0,
                0,
                part.name.encode(),
                part.extra,
            )
        )
        before = after
    out.seek(end)


def read_container(file: IO[bytes]) -> Container:
    """Reads the head and the descriptors of a SIF.

    Raises:
        IntegrityError: O123, it is no SIF, or one whose objects do not fit the file.
    """
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        raise _damaged("it is too short")
    _, magic, version, code, uuid, created, _, free, total, table, length, *_ = _HEAD.unpack(head)
    if magic != _MAGIC or version != _VERSION:
        raise _damaged("it does not start as one")
    if not 0 < total <= 4096 or not 0 <= free <= total or length != total * _DESCRIPTOR.size:
        raise _damaged("its table has an impossible size")
    if not _HEAD.size <= table <= size - length:
        raise _damaged("its table is not in the file")
    file.seek(table)
    parts = []
    for number in range(total):
        kind, used, _, _, _, offset, length, _, _, _, _, _, name, extra = _DESCRIPTOR.unpack(
            file.read(_DESCRIPTOR.size)
        )
        if not used:
            continue
        if offset < 0 or length < 0 or offset + length > size:
            raise _damaged(f"object {number + 1} is not in the file")
        parts.append(
            Part(
                type=kind,
                name=name.partition(b"\0")[0].decode("utf-8", "replace"),
                offset=offset,
                size_bytes=length,
                extra=extra.rstrip(b"\0"),
            )
        )
    known = {text: name for name, text in ARCHITECTURES.items()}
    return Container(
        architecture=known.get(code.partition(b"\0")[0].decode("ascii", "replace"), ""),
        uuid=uuid,
        created=created,
        parts=tuple(parts),
    )


def architecture_code(platform: Platform) -> bytes:
    """Returns the three bytes that stand for a platform's architecture.

    Raises:
        UnavailableError: O122, there are none.
    """
    code = ARCHITECTURES.get(platform.architecture)
    if code is None:
        raise UnavailableError(
            f"a SIF for {platform} cannot be made",
            hint=f"SIF files are made for {', '.join(sorted(ARCHITECTURES))}.",
            code="O122",
        )
    return code.encode() + b"\0"


def _uuid(identity: bytes) -> bytes:
    """Returns an identifier that follows from ``identity`` (RFC 9562, version 8)."""
    raw = bytearray(bytes.fromhex(sha256_of(identity).hex)[:16])
    raw[6] = 0x80 | raw[6] & 0x0F
    raw[8] = 0x80 | raw[8] & 0x3F
    return bytes(raw)


def _damaged(problem: str) -> IntegrityError:
    return IntegrityError(
        f"the file is no whole SIF: {problem}",
        hint="Get it again from where it came from.",
        code="O123",
    )
