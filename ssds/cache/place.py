"""The plug: what a cache lies in. Three kinds: a folder, a web server's folder, a registry.

A place keeps blobs by digest and a list of segments. A segment is listed after every blob of its
claims is there, and leaves the list only when a listed one holds all its lines; so two who push at
once lose nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import IO, Protocol, TypeVar

from ssds.cache.segment import SegmentName
from ssds.core.digest import Digest
from ssds.core.errors import InvalidValue, UnavailableError

T = TypeVar("T")
INDEX_LIMIT_BYTES = 16 << 20
Opener = Callable[[], IO[bytes]]


class Sink(Protocol):
    """Whatever takes bytes."""

    def write(self, data: bytes, /) -> int:
        """Takes ``data``."""


OpenSink = Callable[[], AbstractContextManager[Sink]]
"""Makes a new sink for each attempt; its block ends well only for the right bytes."""


class Place(Protocol):
    """Where a cache lies; threads may share it.

    Every method raises UnavailableError where the place gives no answer, IntegrityError where it
    gives other bytes than were asked for.
    """

    def prepare(self) -> None:
        """Makes ready for writing; raises Refused (T034) where nothing can be written."""

    def segments(self) -> tuple[SegmentName, ...]:
        """Returns the names of all segments, sorted; one request, or one per thousand."""

    def segment(self, name: SegmentName) -> bytes:
        """Returns the bytes of a segment, checked."""

    def has(self, digest: Digest) -> bool:
        """Whether a blob is there; its bytes are not read."""

    def fetch(self, digest: Digest, size_bytes: int, open_sink: OpenSink) -> None:
        """Writes a blob to a sink; never many more bytes than ``size_bytes``."""

    def put(self, digest: Digest, size_bytes: int, opener: Opener) -> bool:
        """Keeps a blob; False where it was there."""

    def publish(self, name: SegmentName, data: bytes, blobs: Mapping[Digest, int]) -> None:
        """Lists a segment; ``blobs`` (digest → size) are there already."""

    def forget(self, name: SegmentName) -> None:
        """Takes a segment off the list; nothing happens where it is not there."""


def open_place(
    location: str, *, insecure: bool = False, ca_bundle: str = "", proxy: str = "", limit_s: float
) -> Place:
    """Returns the place at a location; nothing is asked yet.

    Args:
        location: ``oci://HOST/REPOSITORY``, ``https://…`` or an absolute path.
        limit_s: longest wait for one answer.
    """
    if location.startswith("oci://"):
        from ssds.cache.registry import RegistryPlace
        from ssds.oci.registry import Registry

        host, _, repository = location.removeprefix("oci://").partition("/")
        registry = Registry(
            host, insecure=insecure, ca_bundle=ca_bundle, proxy=proxy, timeout_s=limit_s
        )
        return RegistryPlace(registry, repository)
    if location.startswith(("http://", "https://")):
        from ssds.cache.web import WebPlace

        return WebPlace(location, ca_bundle=ca_bundle, proxy=proxy, limit_s=limit_s)
    if location.startswith("/"):
        from ssds.cache.folder import FolderPlace

        return FolderPlace(location)
    raise InvalidValue(f"{location[:120]!r} is no place for a cache")


def within(limit_s: float, work: Callable[[], T]) -> T:
    """Returns what ``work`` does; gives up after ``limit_s`` seconds, whatever it waits for.

    Raises:
        UnavailableError: T033, it took longer; its thread is left behind.
    """
    answer: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            answer.append(work())
        except BaseException as error:  # handed to the caller
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(limit_s)
    if failed:
        raise failed[0]
    if not answer:
        raise UnavailableError(f"no answer within {limit_s:g} s", code="T033")
    return answer[0]
