"""The bytes of a repository, over ssds' own transport: proxies, certificates, limits, folders."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING
from urllib.parse import quote

from ssds.core.errors import IntegrityError, UnavailableError
from ssds.host.fetch import Fetcher

if TYPE_CHECKING:
    from tuf.ngclient import FetcherInterface

_MISSING = "F053"
_HIDDEN = ": HTTP 403"
"""What object stores say of a name that is not there, to who may not list the names."""


def transport(fetcher: Fetcher) -> FetcherInterface:
    """Returns what python-tuf's client reads through."""
    from tuf.api import exceptions
    from tuf.ngclient import FetcherInterface

    class Transport(FetcherInterface):
        def _fetch(self, url: str) -> Iterator[bytes]:
            raise NotImplementedError(url)

        @contextlib.contextmanager
        def download_file(self, url: str, max_length: int) -> Iterator[IO[bytes]]:
            yield io.BytesIO(self.download_bytes(url, max_length))

        def download_bytes(self, url: str, max_length: int) -> bytes:
            address = quote(url, safe=":/@+~,=[]?&%")
            try:
                return fetcher.read(address, limit_bytes=max_length, local=True)[0]
            except IntegrityError as error:
                raise exceptions.DownloadLengthMismatchError(error.message) from error
            except UnavailableError as error:
                for status, said in (
                    (404, error.code == _MISSING),
                    (403, _HIDDEN in error.message),
                ):
                    if said:
                        raise exceptions.DownloadHTTPError(error.message, status) from error
                raise exceptions.DownloadError(error.message) from error

    return Transport()
