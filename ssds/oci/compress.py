"""The one compressor of layers, pinned by name and version, and the bomb-safe way back (C18).

A layer's identity is its diffID; the compressed bytes are an output of the publish node, so that
the compressor's name and version stand in that node's slice. The container is gzip (RFC 1952)
with a fixed header: no name, no time, operating system 255.
"""

from __future__ import annotations

import functools
import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import IO

from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError, StepFailed, UnavailableError
from ssds.oci import types
from ssds.oci.compressor import COMPRESSOR

LAYER_LIMIT_BYTES = 256 * 1024**3
"""The largest uncompressed layer that is accepted."""

_HEADER = bytes.fromhex("1f8b08000000000000ff")
_CHUNK_BYTES = 1 << 20
_EXPECTED = "sha256:ebd2c20ce9391b02032724d7c117a94baf582e4628fd32fc55524aa555e5f4f3"
_GZIP = frozenset({types.LAYER_GZIP, types.DOCKER_LAYER_GZIP})
_PLAIN = frozenset({types.LAYER, types.DOCKER_LAYER})


def compress_chunks(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Gives the gzip member of these bytes, the same on every machine that passes the check."""
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15, 8, zlib.Z_DEFAULT_STRATEGY)
    crc = size = 0
    yield _HEADER
    for chunk in chunks:
        crc = zlib.crc32(chunk, crc)
        size += len(chunk)
        out = deflate.compress(chunk)
        if out:
            yield out
    yield deflate.flush() + struct.pack("<II", crc, size & 0xFFFFFFFF)


def compress(
    src_path: str, out_file: IO[bytes], stopping: Callable[[], bool] = lambda: False
) -> tuple[Digest, int]:
    """Writes the compressed form of a file; returns its sha256 and its size in bytes.

    Raises:
        StepFailed: ``stopping`` said True.
        UnavailableError: this machine's zlib gives other bytes than the pinned one.
    """
    check_compressor()
    digest = hashlib.sha256()
    size = 0
    with open(src_path, "rb") as file:
        for chunk in compress_chunks(_chunks(file)):
            if stopping():
                raise StepFailed("stopped by the user")
            digest.update(chunk)
            size += len(chunk)
            out_file.write(chunk)
    return Digest("sha256:" + digest.hexdigest()), size


@functools.cache
def check_compressor() -> None:
    """Proves that this machine's zlib gives the recorded bytes for a sample that works it hard.

    Raises:
        UnavailableError: it does not (zlib-ng and other builds differ); layers compressed here
            would have other digests than everywhere else.
    """
    found = sample_digest()
    if found != _EXPECTED:
        raise UnavailableError(
            f"this machine's zlib {zlib.ZLIB_RUNTIME_VERSION} is not the pinned compressor "
            f"{COMPRESSOR['name']} {COMPRESSOR['version']}: it gives other bytes ({found[:19]})",
            hint="Publish on a machine with the zlib of Debian 12 or another zlib 1.2; building, "
            "testing and deploying work here.",
            code="O020",
        )


def sample_digest() -> str:
    """Returns the sha256 of the compressed built-in sample."""
    digest = hashlib.sha256()
    for chunk in compress_chunks(_sample()):
        digest.update(chunk)
    return "sha256:" + digest.hexdigest()


def _sample() -> Iterator[bytes]:
    """Gives 420 kB of noise, text, runs and far repeats: each branch of deflate is taken."""
    noise = b"".join(hashlib.sha256(b"ssds %d" % i).digest() for i in range(2048))
    words = [b"w%x" % (b * b) for b in noise[:256]]
    text = b" ".join(words[b] for b in noise)
    yield noise[:40_000]
    yield text[:150_000]
    yield b"\0" * 70_000 + b"ab" * 5_000
    yield text[7_000:60_000]
    yield noise
    yield b"".join(noise[i : i + 5] + text[i : i + 9] for i in range(0, 30_000, 7))


def decompress_stream(
    file: IO[bytes], media_type: str, *, limit_bytes: int = LAYER_LIMIT_BYTES
) -> Iterator[bytes]:
    """Gives the uncompressed bytes of a layer, in pieces of at most 1 MiB.

    Raises:
        IntegrityError: O021 damaged or truncated, O022 more than ``limit_bytes``.
        UnavailableError: O023 a media type that ssds does not unpack.
    """
    if media_type in _GZIP:
        pieces = _gunzip(file)
    elif media_type in _PLAIN:
        pieces = _chunks(file)
    elif media_type == types.LAYER_ZSTD:
        pieces = _unzstd(file)
    else:
        raise UnavailableError(
            f"a layer of media type {media_type[:100]!r} cannot be unpacked",
            hint="ssds unpacks tar layers, plain or compressed by gzip or zstd.",
            code="O023",
        )
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > limit_bytes:
            raise IntegrityError(
                f"a layer is larger than {limit_bytes} bytes when uncompressed",
                hint="It may be a decompression bomb; it was not unpacked.",
                code="O022",
            )
        yield piece


def decompress(
    file: IO[bytes],
    sink: IO[bytes] | None,
    media_type: str,
    *,
    limit_bytes: int = LAYER_LIMIT_BYTES,
) -> tuple[Digest, int]:
    """Writes the uncompressed layer to ``sink`` if given; returns its diffID and size in bytes."""
    digest = hashlib.sha256()
    size = 0
    for piece in decompress_stream(file, media_type, limit_bytes=limit_bytes):
        digest.update(piece)
        size += len(piece)
        if sink is not None:
            sink.write(piece)
    return Digest("sha256:" + digest.hexdigest()), size


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk


def _gunzip(file: IO[bytes]) -> Iterator[bytes]:
    """Gives the content of all gzip members; zero bytes may pad the end (RFC 1952, 2.2)."""
    data = file.read(_CHUNK_BYTES)
    if not data:
        raise _damaged("it is empty")
    while data:
        inflate = zlib.decompressobj(31)
        while not inflate.eof:
            try:
                piece = inflate.decompress(data, _CHUNK_BYTES)
            except zlib.error as error:
                raise _damaged(str(error)[:100]) from error
            data = inflate.unconsumed_tail
            if piece:
                yield piece
            if not data and not inflate.eof:
                data = file.read(_CHUNK_BYTES)
                if not data and not piece:
                    raise _damaged("it ends too early")
        data = (inflate.unused_data or file.read(_CHUNK_BYTES)).lstrip(b"\0")
        while not data and (more := file.read(_CHUNK_BYTES)):
            data = more.lstrip(b"\0")


def _unzstd(file: IO[bytes]) -> Iterator[bytes]:
    from ssds.host.streams import decompressed

    try:
        with decompressed(file, "layer.zst") as stream:
            yield from _chunks(stream)
    except EOFError as error:
        raise _damaged(str(error)) from error


def _damaged(reason: str) -> IntegrityError:
    return IntegrityError(
        f"a compressed layer is damaged: {reason}",
        hint="Get the layer again from its source.",
        code="O021",
    )
