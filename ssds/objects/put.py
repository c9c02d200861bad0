"""A web server that takes uploads: GET, HEAD and PUT (WebDAV servers among them)."""

from __future__ import annotations

from collections.abc import Iterator

from ssds.core.digest import Digest
from ssds.objects.address import Address
from ssds.objects.plug import Client, Opener, Request
from ssds.oci.body import Body
from ssds.oci.credentials import find_credentials
from ssds.oci.transport import Access

_PUT_OK = frozenset({200, 201, 204})


class Put:
    """A folder of a web server; credentials are found as for a registry of that host."""

    def __init__(self, address: Address, access: Access) -> None:
        """Makes the client; nothing is sent yet."""
        self.host = address.host
        self._prefix = address.path
        user = find_credentials(address.host)
        headers = {"Authorization": user.basic} if user else {}
        self._client = Client(address, access, lambda _: headers)

    def _path(self, key: str) -> str:
        return f"{self._prefix}/{key}" if self._prefix else key

    def size(self, key: str) -> int | None:
        """Returns an object's size in bytes; None where it is not there."""
        return self._client.size(self._path(key))

    def read(self, key: str) -> Iterator[bytes] | None:
        """Returns an object's bytes; None where it is not there."""
        return self._client.read(self._path(key))

    def write(self, key: str, digest: Digest, size_bytes: int, opener: Opener) -> None:
        """Puts an object as a stream."""
        put_stream(self._client, self._path(key), digest, size_bytes, opener)

    def look(self, key: str) -> tuple[Iterator[bytes], str] | None:
        """Returns an object's bytes and its mark; None where it is not there."""
        return self._client.look(self._path(key))

    def swap(self, key: str, data: bytes, mark: str | None) -> bool:
        """Puts a small object in place of the one with this mark."""
        return self._client.swap(self._path(key), data, mark)

    def delete(self, key: str) -> None:
        """Removes an object."""
        request = Request(method="DELETE", path=self._path(key), query={}, headers={})
        self._client.send(request, ok=frozenset({200, 202, 204, 404})).close()

    def copy(self, source: str, key: str, size_bytes: int) -> bool:
        """Returns False: such servers copy nothing."""
        del source, key, size_bytes
        return False


def put_stream(client: Client, path: str, digest: Digest, size_bytes: int, opener: Opener) -> None:
    """Sends one PUT whose body is checked on its way; each attempt opens the bytes anew."""
    headers = {"Content-Length": str(size_bytes), "Content-Type": "application/octet-stream"}
    request = Request(method="PUT", path=path, query={}, headers=headers)
    opened = []

    def body() -> Body:
        opened.append(opener())
        return Body(opened[-1], digest, size_bytes)

    try:
        client.send(request, ok=_PUT_OK, body=body).close()
    finally:
        for file in opened:
            file.close()
