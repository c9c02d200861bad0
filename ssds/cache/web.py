"""A cache behind a web server: what a folder holds, to be read only."""

from __future__ import annotations

from collections.abc import Mapping

from ssds.cache.folder import INDEX, SUFFIX, listed
from ssds.cache.place import INDEX_LIMIT_BYTES, Opener, OpenSink
from ssds.cache.segment import SEGMENT_LIMIT_BYTES, SegmentName
from ssds.core.digest import Digest
from ssds.core.errors import Refused
from ssds.host.fetch import Fetcher


class WebPlace:
    """What lies below an address."""

    def __init__(self, address: str, *, ca_bundle: str, proxy: str, limit_s: float) -> None:
        self.address = address.rstrip("/")
        self._fetcher = Fetcher(
            ca_bundle=ca_bundle, proxy=proxy, timeout_s=limit_s, pauses_s=(0.2, 0.5)
        )

    def prepare(self) -> None:
        """Raises Refused: nothing is written through a web server."""
        raise self._read_only()

    def segments(self) -> tuple[SegmentName, ...]:
        """Returns the names in ``cache.json``; one request."""
        url = f"{self.address}/{INDEX}"
        return listed(self._fetcher.read(url, limit_bytes=INDEX_LIMIT_BYTES)[0], url)

    def segment(self, name: SegmentName) -> bytes:
        """Returns the bytes of a segment, checked."""
        url = f"{self.address}/claims/{name}{SUFFIX}"
        data, _ = self._fetcher.read(url, limit_bytes=SEGMENT_LIMIT_BYTES)
        name.check(data)
        return data

    def has(self, digest: Digest) -> bool:
        """Whether the server says that a blob is there."""
        return not self._fetcher.absent(self._blob(digest))

    def fetch(self, digest: Digest, size_bytes: int, open_sink: OpenSink) -> None:
        """Writes a blob to a sink."""
        self._fetcher.download(
            [self._blob(digest)], open_sink, digest=digest, size_bytes=size_bytes, name=str(digest)
        )

    def put(self, digest: Digest, size_bytes: int, opener: Opener) -> bool:
        """Raises Refused, as ``prepare`` does."""
        del digest, size_bytes, opener
        raise self._read_only()

    def publish(self, name: SegmentName, data: bytes, blobs: Mapping[Digest, int]) -> None:
        """Raises Refused, as ``prepare`` does."""
        del name, data, blobs
        raise self._read_only()

    def forget(self, name: SegmentName) -> None:
        """Raises Refused, as ``prepare`` does."""
        del name
        raise self._read_only()

    def _read_only(self) -> Refused:
        return Refused(
            "a cache behind a web server is only read",
            hint="Push to the folder that the server gives, as a cache of its own.",
            code="T034",
        )

    def _blob(self, digest: Digest) -> str:
        return f"{self.address}/blobs/{digest.algorithm}/{digest.hex}"
