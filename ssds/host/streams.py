"""Compressed streams and the members of a .deb, read with limits on memory.

Sources: RFC 1952, the xz and zstd formats, deb(5), ar(5).
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import shutil
import subprocess
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from ssds.core.errors import IntegrityError, UnavailableError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_CHUNK = 256 * 1024


@contextlib.contextmanager
def damage_explained(path: str) -> Iterator[None]:
    """Turns the readers' many complaints about damaged bytes into IntegrityError."""
    try:
        yield
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        UnicodeError,
        OverflowError,
        ValueError,
        NotImplementedError,  # zipfile: a compression method that Python does not have
        RuntimeError,
        RecursionError,
    ) as error:
        if isinstance(error, IntegrityError):
            raise
        raise _damaged(path, str(error)) from error
    except OSError as error:
        if error.errno is None:  # the decompressors' own complaints carry no number
            raise _damaged(path, str(error)) from error
        raise


def _damaged(path: str, why: str) -> IntegrityError:
    return IntegrityError(
        f"{os.path.basename(path)} cannot be read as an archive: {why[:200]}",
        code="F042",
        hint="The file is damaged or of another kind than its name says.",
    )


@contextlib.contextmanager
def decompressed(file: IO[bytes], name: str) -> Iterator[IO[bytes]]:
    """Gives the uncompressed stream of ``file``; the ending of ``name`` tells the compression."""
    if name.endswith((".gz", ".tgz")):
        with gzip.GzipFile(fileobj=file, mode="rb") as stream:
            yield stream  # type: ignore[misc]
    elif name.endswith((".xz", ".txz", ".lzma")):
        with lzma.LZMAFile(file) as stream:
            yield stream
    elif name.endswith((".bz2", ".tbz")):
        with bz2.BZ2File(file) as stream:
            yield stream
    elif name.endswith(".zst"):
        with _zstd(file) as stream:
            yield stream
    else:
        yield file


@contextlib.contextmanager
def _zstd(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """Decompresses by the zstd program, with a limit on its window (memory)."""
    try:
        process = subprocess.Popen(
            ["zstd", "-dcq", "--memory=256MB"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except FileNotFoundError as error:
        raise UnavailableError(
            "the program zstd is missing", hint="Install it: apt-get install zstd."
        ) from error
    feed, out = process.stdin, process.stdout
    assert feed is not None
    assert out is not None

    broken: list[str] = []

    def pump() -> None:
        try:
            with feed:
                shutil.copyfileobj(file, feed, _CHUNK)
        except (OSError, ValueError):
            pass  # the reader had enough, or the program says itself what is wrong
        except (EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
            broken.append(str(error) or "the archive is truncated")

    feeder = threading.Thread(target=pump, daemon=True)
    feeder.start()
    try:
        yield out
        while out.read(_CHUNK):
            pass
        feeder.join()
        if process.wait() != 0 or broken:
            raise EOFError("; ".join(broken) or "the zstd stream is damaged or truncated")
    finally:
        process.kill()
        process.wait()
        feeder.join()
        out.close()


class _Window(io.RawIOBase):
    """A part of an open file, read as a file of its own."""

    def __init__(self, file: IO[bytes], size_bytes: int) -> None:
        self._file, self._left = file, size_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), self._left)
        data = self._file.read(wanted)
        if len(data) < wanted:
            raise EOFError("the archive is truncated")
        view[:wanted] = data
        self._left -= wanted
        return wanted


@contextlib.contextmanager
def deb_member(path: str, name: str) -> Iterator[IO[bytes]]:
    """Gives the uncompressed stream of ``control.tar`` or ``data.tar`` of a .deb.

    Raises:
        IntegrityError: no .deb, or without that member. Source: deb(5).
    """
    with damage_explained(path), open(path, "rb") as file:
        if file.read(8) != b"!<arch>\n":
            raise ValueError("it does not begin as a Debian package")
        for _ in range(16):
            header = file.read(60)
            if len(header) < 60 or header[58:] != b"`\n":
                break
            member = header[:16].decode("ascii").rstrip(" ").rstrip("/")
            size = int(header[48:58].decode("ascii").strip())
            if size < 0:
                break
            if member == name or member.startswith(name + "."):
                raw = io.BufferedReader(_Window(file, size), _CHUNK)
                with decompressed(raw, member) as stream:
                    yield stream
                return
            file.seek(size + size % 2, os.SEEK_CUR)
        raise ValueError(f"it has no member {name}")
