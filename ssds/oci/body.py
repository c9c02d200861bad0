"""A blob on its way out: a request body of known length that checks what it sends."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import IO

from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError


class Body:
    """A request's body of known length that checks what it sends."""

    def __init__(self, file: IO[bytes], digest: Digest, size_bytes: int) -> None:
        self._file = file
        self._digest = digest
        self._size = size_bytes
        self._hash = hashlib.new(digest.algorithm)
        self._done = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read(1 << 18):
            yield data

    def parts(self, size_bytes: int) -> Iterator[bytes]:
        """Gives all bytes in parts of that size; raises before the last as ``read`` does."""
        while data := self.read(size_bytes):
            yield data

    def read(self, count: int = -1) -> bytes:
        """Gives the next bytes; raises before the last ones where the digest would be wrong."""
        left = self._size - self._done
        data = self._file.read(left if count < 0 else min(count, left)) if left else b""
        self._done += len(data)
        self._hash.update(data)
        whole = self._done == self._size
        if (left and not data) or (whole and self._hash.hexdigest() != self._digest.hex):
            raise IntegrityError(
                f"the bytes to be sent do not have the digest {self._digest}",
                hint="Run `ssds store verify`; nothing was kept in the registry.",
                code="O091",
            )
        return data
