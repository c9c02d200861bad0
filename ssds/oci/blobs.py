"""Blobs by digest in a folder ``blobs/sha256``, as in an OCI image layout.

A blob is written once: to a temporary file, synced, renamed to its digest, its folder synced. So
a name that is there stands for whole bytes, also after a power cut.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from typing import IO

from ssds.core.digest import Digest
from ssds.core.errors import EnvironmentProblem, IntegrityError, InvalidValue, UnavailableError
from ssds.host.files import TEMPORARY_PREFIX, Staged, adopt_file, staged, write_point
from ssds.host.reading import read_open

READ_LIMIT_BYTES = 64 * 1024 * 1024
_CHUNK_BYTES = 1 << 20
_MODE = 0o444
_POINT = "blob"


class BlobWriter:
    """Takes bytes; after the block ``digest`` and ``size_bytes`` are known."""

    def __init__(self, place: Staged) -> None:
        self._place = place
        self._hash = hashlib.sha256()
        self.size_bytes = 0
        self._digest: Digest | None = None

    def write(self, data: bytes) -> int:
        """Appends ``data``."""
        self._hash.update(data)
        self.size_bytes += len(data)
        return self._place.file.write(data)

    @property
    def digest(self) -> Digest:
        """The sha256 of all bytes; it can be asked once the block is left."""
        assert self._digest is not None, "the writer's block has not ended"
        return self._digest

    @property
    def size(self) -> int:
        """The number of bytes written."""
        return self.size_bytes

    def seal(self) -> Digest:
        """Ends the hashing."""
        self._digest = Digest("sha256:" + self._hash.hexdigest())
        return self._digest


class Blobs:
    """The blobs of one folder; several processes may use it at once."""

    def __init__(self, folder: str, *, name: str = "the store") -> None:
        self.folder = os.path.join(folder, "sha256")
        self.name = name

    def path(self, digest: Digest) -> str:
        """Returns the path of a blob that is there; its bytes are not read.

        Raises:
            UnavailableError: O050, the blob is not there.
        """
        path = self._place(digest)
        if not os.path.isfile(path):
            raise _absent(digest, self.name)
        return path

    def has(self, digest: Digest) -> bool:
        """Whether the blob is there; its bytes are not read."""
        return digest.algorithm == "sha256" and os.path.isfile(self._place(digest))

    def size(self, digest: Digest) -> int:
        """Returns the blob's size in bytes; raises UnavailableError where it is not there."""
        try:
            return os.stat(self._place(digest)).st_size
        except FileNotFoundError:
            raise _absent(digest, self.name) from None

    def read(self, digest: Digest, limit_bytes: int = READ_LIMIT_BYTES) -> bytes:
        """Returns the blob's bytes, checked.

        Raises:
            UnavailableError: O050, it is not there.
            IntegrityError: O051, its bytes do not have its digest; O052, it is larger than
                ``limit_bytes``.
        """
        with self.open(digest) as file:
            data = read_open(file.fileno(), limit_bytes)
        if len(data) > limit_bytes:
            raise IntegrityError(
                f"blob {digest} is larger than {limit_bytes} bytes",
                hint="It is not of the kind that was expected here.",
                code="O052",
            )
        found = hashlib.sha256(data).hexdigest()
        if found != digest.hex:
            raise _damaged(digest, f"sha256:{found}", self.name)
        return data

    def open(self, digest: Digest) -> IO[bytes]:
        """Opens a blob for reading, unchecked.

        Raises:
            UnavailableError: O050, it is not there.
            EnvironmentProblem: O055, it cannot be read.
        """
        try:
            return open(self._place(digest), "rb")
        except FileNotFoundError:
            raise _absent(digest, self.name) from None
        except OSError as error:
            raise EnvironmentProblem(
                f"the blob {digest} in {self.name} cannot be read: {os.strerror(error.errno or 0)}",
                hint="Check the owner and the permissions of the store.",
                code="O055",
            ) from error

    def chunks(self, digest: Digest) -> Iterator[bytes]:
        """Gives the blob's bytes; raises IntegrityError at the end where they are damaged."""
        found = hashlib.sha256()
        with self.open(digest) as file:
            while chunk := file.read(_CHUNK_BYTES):
                found.update(chunk)
                yield chunk
        if found.hexdigest() != digest.hex:
            raise _damaged(digest, f"sha256:{found.hexdigest()}", self.name)

    def put(self, data: bytes, expected: Digest | None = None) -> Digest:
        """Keeps ``data``; returns its digest.

        Raises:
            IntegrityError: O053, it does not have the digest ``expected``; nothing is kept.
        """
        found = Digest("sha256:" + hashlib.sha256(data).hexdigest())
        _check(found, len(data), expected, None)
        if not self._complete(found, len(data)):
            with staged(self.folder, point=_POINT, mode=_MODE) as place:
                place.file.write(data)
                place.place(self._place(found))
        return found

    @contextlib.contextmanager
    def writer(
        self, expected: Digest | None = None, size_bytes: int | None = None
    ) -> Iterator[BlobWriter]:
        """Gives a writer; when the block ends well, its bytes are a blob.

        Raises:
            IntegrityError: O053, other bytes than ``expected`` or another size; nothing is kept.
        """
        with staged(self.folder, point=_POINT, mode=_MODE) as place:
            writer = BlobWriter(place)
            yield writer
            digest = writer.seal()
            _check(digest, writer.size_bytes, expected, size_bytes)
            if not self._complete(digest, writer.size_bytes):
                place.place(self._place(digest))

    def adopt(self, path: str, digest: Digest) -> None:
        """Moves a finished file in, whose digest the caller has computed while writing it.

        Raises:
            UnavailableError: the file is not there.
        """
        try:
            size = os.stat(path).st_size
        except FileNotFoundError:
            raise UnavailableError(f"the file {path} is not there any more") from None
        if self._complete(digest, size):
            os.unlink(path)
            return
        adopt_file(path, self._place(digest), point=_POINT, mode=_MODE)

    def all(self) -> Iterator[Digest]:
        """Gives the digests of all blobs, sorted."""
        try:
            names = sorted(os.listdir(self.folder))
        except FileNotFoundError:
            return
        for name in names:
            if not name.startswith(TEMPORARY_PREFIX):
                with contextlib.suppress(InvalidValue):
                    yield Digest(f"sha256:{name}")

    def strays(self) -> list[str]:
        """Returns the names in the folder that are neither blobs nor leftovers of writers."""
        try:
            names = sorted(os.listdir(self.folder))
        except FileNotFoundError:
            return []
        known = {digest.hex for digest in self.all()}
        return [n for n in names if n not in known and not n.startswith(TEMPORARY_PREFIX)]

    def remove(self, digest: Digest) -> int:
        """Removes a blob; returns its size in bytes, 0 where it was not there."""
        path = self._place(digest)
        try:
            size = os.stat(path).st_size
            os.unlink(path)
        except FileNotFoundError:
            return 0
        write_point(f"{_POINT}.removed")
        return size

    def _place(self, digest: Digest) -> str:
        if digest.algorithm != "sha256":
            raise InvalidValue(
                f"{digest} cannot name a blob here: blobs are named by sha256", code="O054"
            )
        return os.path.join(self.folder, digest.hex)

    def _complete(self, digest: Digest, size_bytes: int) -> bool:
        """Whether the blob is there with the right size; one that was cut is written anew."""
        try:
            found = os.stat(self._place(digest))
        except FileNotFoundError:
            return False
        return found.st_size == size_bytes


def _check(found: Digest, size: int, expected: Digest | None, size_bytes: int | None) -> None:
    if size_bytes is not None and size != size_bytes:
        raise IntegrityError(
            f"{size} bytes came instead of {size_bytes}" + (f" for {expected}" if expected else ""),
            hint="The transfer was cut or its source is damaged; nothing was kept. Try again.",
            code="O053",
        )
    if expected is not None and found != expected:
        raise IntegrityError(
            f"the bytes have the digest {found}, not the promised {expected}",
            hint="The source is damaged or gives other bytes than promised; nothing was kept.",
            code="O053",
        )


def _absent(digest: Digest, name: str) -> UnavailableError:
    return UnavailableError(
        f"{name} does not have the blob {digest}",
        hint="Run `ssds apply --fetch` to get or make it.",
        code="O050",
    )


def _damaged(digest: Digest, found: str, name: str) -> IntegrityError:
    return IntegrityError(
        f"the blob {digest} in {name} is damaged: its bytes have {found}",
        hint="Run `ssds store verify`; remove the blob and it is fetched or made again.",
        code="O051",
    )
