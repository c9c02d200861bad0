"""OpenStack Swift: a token in a header; large objects in segments that a later run continues.

Sources: OpenStack Object Storage API v1; its "static large objects" and "v1 authentication".
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import UsageError
from ssds.host.files import write_point
from ssds.objects.address import Address, parse_address
from ssds.objects.plug import Client, Opener, Request
from ssds.objects.put import put_stream
from ssds.oci.answers import RegistryError
from ssds.oci.body import Body
from ssds.oci.transport import Access

SEGMENT_BYTES = 64 * 1024 * 1024
_SEGMENTS_LIMIT = 1000

T = TypeVar("T")


class Swift:
    """A container, or what lies below a prefix of it; ``/v1/ACCOUNT/CONTAINER[/PREFIX]``."""

    def __init__(
        self, address: Address, access: Access, environment: Mapping[str, str] | None = None
    ) -> None:
        """Makes the client; the token is asked for by the first request."""
        self.host = address.host
        self._prefix = address.path
        self._access = access
        self._env = os.environ if environment is None else environment
        self._token = ""
        self._client = Client(address, access, lambda _: {"X-Auth-Token": self._token})

    def _path(self, key: str) -> str:
        return f"{self._prefix}/{key}"

    def _ready(self, *, renew: bool = False) -> Client:
        if renew or not self._token:
            self._token = find_token(self.host, self._access, self._env)
        return self._client

    def size(self, key: str) -> int | None:
        """Returns an object's size in bytes; None where it is not there."""
        return self._renewing(lambda client: client.size(self._path(key)))

    def read(self, key: str) -> Iterator[bytes] | None:
        """Returns an object's bytes; None where it is not there."""
        return self._renewing(lambda client: client.read(self._path(key)))

    def write(self, key: str, digest: Digest, size_bytes: int, opener: Opener) -> None:
        """Puts an object; a large one as segments under a list of them."""
        if size_bytes <= SEGMENT_BYTES:
            path = self._path(key)
            self._renewing(lambda c: put_stream(c, path, digest, size_bytes, opener))
            return
        length = max(SEGMENT_BYTES, -(-size_bytes // _SEGMENTS_LIMIT))
        with opener() as file:
            body = Body(file, digest, size_bytes)
            listed = [self._segment(key, n, d) for n, d in enumerate(body.parts(length))]
        data = json.dumps(listed).encode()
        request = Request(
            method="PUT",
            path=self._path(key),
            query={"multipart-manifest": "put"},
            headers={"Content-Type": "application/json"},
        )
        ok = frozenset({200, 201})
        self._renewing(lambda c: c.send(request, ok=ok, body=lambda: data).close())

    def _segment(self, key: str, number: int, data: bytes) -> dict[str, object]:
        """Puts one segment where it is not there, and returns its entry in the list."""
        path = f"{self._path(key)}.segments/{number:06}"
        found = hashlib.md5(data, usedforsecurity=False).hexdigest()
        request = Request(method="HEAD", path=path, query={}, headers={})
        answer = self._renewing(lambda c: c.send(request, ok=frozenset({200, 404})))
        answer.close()
        if answer.status_code == 404 or answer.headers.get("ETag", "").strip('"') != found:
            digest = sha256_of(data)
            self._renewing(
                lambda c: put_stream(c, path, digest, len(data), lambda: io.BytesIO(data))
            )
            write_point("objects.part")
        container = path.split("/", 2)[2]
        return {"path": f"/{container}", "etag": found, "size_bytes": len(data)}

    def look(self, key: str) -> tuple[Iterator[bytes], str] | None:
        """Returns an object's bytes and its mark; None where it is not there."""
        return self._renewing(lambda client: client.look(self._path(key)))

    def swap(self, key: str, data: bytes, mark: str | None) -> bool:
        """Puts a small object; Swift only knows the condition that there is none."""
        path = self._path(key)
        return self._renewing(lambda client: client.swap(path, data, mark, match=False))

    def delete(self, key: str) -> None:
        """Removes an object, and its segments where it has some.

        Only a list of segments is asked to go with them: for any other object Swift answers 200
        to that, and removes nothing.
        """
        path = self._path(key)
        ask = Request(method="HEAD", path=path, query={}, headers={})
        answer = self._renewing(lambda c: c.send(ask, ok=frozenset({200, 404})))
        answer.close()
        if answer.status_code == 404:
            return
        listed = answer.headers.get("X-Static-Large-Object", "").lower() == "true"
        query = {"multipart-manifest": "delete"} if listed else {}
        request = Request(method="DELETE", path=path, query=query, headers={})
        self._renewing(lambda c: c.send(request, ok=frozenset({200, 204, 404})).close())

    def copy(self, source: str, key: str, size_bytes: int) -> bool:
        """Copies inside the store; False for what lies in segments."""
        if size_bytes > SEGMENT_BYTES:
            return False
        container = self._path(source).split("/", 2)[2]
        request = Request(
            method="PUT",
            path=self._path(key),
            query={},
            headers={"X-Copy-From": f"/{container}", "Content-Length": "0"},
        )
        self._renewing(lambda c: c.send(request, ok=frozenset({200, 201})).close())
        return True

    def _renewing(self, work: Callable[[Client], T]) -> T:
        """Does it once more with a new token where the old one has ended."""
        try:
            return work(self._ready())
        except RegistryError as error:
            if error.status != 401:
                raise
        return work(self._ready(renew=True))


def find_token(host: str, access: Access, env: Mapping[str, str]) -> str:
    """Returns a token: OS_AUTH_TOKEN, or that of ST_AUTH for ST_USER and ST_KEY.

    Raises:
        UsageError: O205, neither is set.
        RegistryError: the authentication server refuses.
    """
    if env.get("ST_AUTH") and env.get("ST_USER") and env.get("ST_KEY"):
        address = parse_address(env["ST_AUTH"])
        headers = {"X-Auth-User": env["ST_USER"], "X-Auth-Key": env["ST_KEY"]}
        client = Client(address, access, lambda _: headers)
        request = Request(method="GET", path=address.path, query={}, headers={})
        answer = client.send(request, ok=frozenset({200, 204}))
        answer.close()
        token: str = answer.headers.get("X-Auth-Token", "")
        if token:
            return token
    elif env.get("OS_AUTH_TOKEN"):
        return env["OS_AUTH_TOKEN"]
    raise UsageError(
        f"there is no token for {host}",
        hint="Set ST_AUTH, ST_USER and ST_KEY, or OS_AUTH_TOKEN (`openstack token issue`).",
        code="O205",
    )
