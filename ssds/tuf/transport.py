"""The bytes of a repository, over ssds' own transport: proxies, certificates, limits, folders."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING
from urllib.parse import quote

from ssds.core.errors import IntegrityError, UnavailableError
from ssds.host.fetch import CHUNK, Fetcher
from ssds.tuf.gather import FILE_LIMIT_BYTES

if TYPE_CHECKING:
    from tuf.ngclient import FetcherInterface

_MISSING = "F053"
_HIDDEN = ": HTTP 403"
"""What object stores say of a name that is not there, to who may not list the names."""
_GONE = ": HTTP 410"


def transport(fetcher: Fetcher, scratch: str) -> FetcherInterface:
    """Returns what python-tuf's client reads through.

    Args:
        scratch: a folder for the file that is on its way; nobody else uses it meanwhile.
    """
    from tuf.ngclient import FetcherInterface

    class Transport(FetcherInterface):
        def _fetch(self, url: str) -> Iterator[bytes]:
            with self.download_file(url, FILE_LIMIT_BYTES) as file:
                yield from iter(lambda: file.read(CHUNK), b"")

        @contextlib.contextmanager
        def download_file(self, url: str, max_length: int) -> Iterator[IO[bytes]]:
            place = os.path.join(scratch, "incoming")
            try:
                with open(place, "w+b") as file:
                    with _told():
                        fetcher.copy(_address(url), file, limit_bytes=max_length, local=True)
                    file.seek(0)
                    yield file
            finally:
                os.unlink(place)

        def download_bytes(self, url: str, max_length: int) -> bytes:
            with _told():
                return fetcher.read(_address(url), limit_bytes=max_length, local=True)[0]

    return Transport()


def _address(url: str) -> str:
    return quote(url, safe=":/@+~,=[]?&%") if "://" in url else url  # a path is taken as it is


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Says in python-tuf's words what our transport met."""
    from tuf.api import exceptions

    try:
        yield
    except IntegrityError as error:
        raise exceptions.DownloadLengthMismatchError(error.message) from error
    except UnavailableError as error:
        for status, said in (
            (404, error.code == _MISSING or _GONE in error.message),
            (403, _HIDDEN in error.message),
        ):
            if said:
                raise exceptions.DownloadHTTPError(error.message, status) from error
        raise exceptions.DownloadError(error.message) from error
