"""An image layout on a web server, read only: ``index.json`` and ``blobs/<algorithm>/<hex>``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import IntegrityError, UnavailableError
from ssds.host.fetch import Fetcher, Sink
from ssds.host.mirrors import Mirrors, redacted
from ssds.oci.document import DOCUMENT_LIMIT_BYTES
from ssds.oci.layout import named_entries
from ssds.oci.types import Descriptor, Index, parse_index

_PAUSES_S = (0.2, 1.0)


class WebLayout:
    """What ``layout.Layout`` is for a folder, as far as it can be read."""

    def __init__(self, url: str, mirrors: Mirrors) -> None:
        self.url = url.rstrip("/")
        self.path = redacted(self.url)
        self._fetcher = Fetcher(
            ca_bundle=mirrors.ca_bundle, proxy=mirrors.proxy, pauses_s=_PAUSES_S
        )
        self._index: Index | None = None

    def index(self) -> Index:
        """Returns ``index.json``, read once.

        Raises:
            UnavailableError: it cannot be read. IntegrityError: it is damaged.
        """
        if self._index is None:
            url = f"{self.url}/index.json"
            data, _ = self._fetcher.read(url, limit_bytes=DOCUMENT_LIMIT_BYTES)
            self._index = parse_index(data, what=redacted(url))
        return self._index

    def tags(self) -> dict[str, Descriptor]:
        """Returns the named entries; raises IntegrityError where two have one name."""
        return named_entries(self.index(), self.path)

    def has(self, digest: Digest) -> bool:
        """Whether the server seems to have the blob."""
        return not self._fetcher.absent(self._place(digest))

    def read(self, digest: Digest, limit_bytes: int = DOCUMENT_LIMIT_BYTES) -> bytes:
        """Returns a document's bytes, checked."""
        data, _ = self._fetcher.read(self._place(digest), limit_bytes=limit_bytes)
        if sha256_of(data) != digest:
            raise IntegrityError(
                f"{self.path} gives other bytes for {digest}",
                hint="The copy there is damaged; it must be made anew.",
                code="O133",
            )
        return data

    def fetch(self, digest: Digest, size_bytes: int, sink: Sink) -> None:
        """Writes a blob to ``sink``.

        Raises:
            UnavailableError: O136, the connection broke in its middle; it cannot be had.
        """
        counted = _Counted(sink)

        @contextlib.contextmanager
        def once() -> Iterator[Sink]:
            if counted.bytes:
                raise UnavailableError(
                    f"{self.path} broke off in the middle of {digest}",
                    hint="Try again.",
                    code="O136",
                )
            yield counted

        self._fetcher.download([self._place(digest)], once, digest=digest, size_bytes=size_bytes)

    def _place(self, digest: Digest) -> str:
        return f"{self.url}/blobs/{digest.algorithm}/{digest.hex}"


class _Counted:
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.bytes = 0

    def write(self, data: bytes, /) -> object:
        self.bytes += len(data)
        return self._sink.write(data)
