"""The plug of object stores, and what all of them share: requests, addresses, reading back."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, Protocol
from urllib.parse import quote, urlencode

from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError
from ssds.core.records import dataclass
from ssds.objects.address import Address
from ssds.oci.answers import RegistryError, explain, no_answer, pieces
from ssds.oci.transport import BACKOFF_S, Access, make_session

ATTEMPTS = 3
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


_PUT_OK = frozenset({200, 201, 204})
_REFUSED = frozenset({404, 409, 412, 501})
"""Another object stands there, or none any more; 501: the store knows no conditions."""

Opener = Callable[[], IO[bytes]]


class ObjectStore(Protocol):
    """Bytes under keys; threads may share it."""

    host: str

    def size(self, key: str) -> int | None:
        """Returns an object's size in bytes; None where it is not there."""

    def read(self, key: str) -> Iterator[bytes] | None:
        """Returns an object's bytes piece by piece; None where it is not there."""

    def write(self, key: str, digest: Digest, size_bytes: int, opener: Opener) -> None:
        """Puts an object, whole or not at all; ``opener`` opens its bytes, anew for an attempt."""

    def look(self, key: str) -> tuple[Iterator[bytes], str] | None:
        """Returns an object's bytes and its mark (RFC 9110, ETag), past caches; None: not there."""

    def swap(self, key: str, data: bytes, mark: str | None) -> bool:
        """Puts a small object in place of the one with this mark; False: another stands there.

        ``None`` stands for no object, the empty mark for whatever is there. A store that cannot
        compare replaces whatever is there.
        """

    def delete(self, key: str) -> None:
        """Removes an object; nothing where it is not there."""

    def copy(self, source: str, key: str, size_bytes: int) -> bool:
        """Copies an object inside the store; False where the store cannot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, before it is signed.

    Attributes:
        path: from the host's root, not quoted; query: not quoted.
        sha256: of the body, in hex.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    sha256: str = EMPTY_SHA256

    @property
    def target(self) -> str:
        """Path and query as they are sent: quoted as RFC 3986 says, the query sorted."""
        path = "/" + quote(self.path, safe="/-_.~")
        query = urlencode(sorted(self.query.items()), quote_via=quote, safe="-_.~")
        return f"{path}?{query}" if query else path


Sign = Callable[[Request], Mapping[str, str]]
"""Returns the headers that prove who asks."""


class Client:
    """Sends requests to one host: limits, bounded retries, errors with words."""

    def __init__(self, address: Address, access: Access, sign: Sign) -> None:
        self.address = address
        self._session = make_session(access, lambda request: request)
        self._sign = sign

    def send(
        self,
        request: Request,
        *,
        ok: frozenset[int],
        body: Callable[[], Any] | None = None,
    ) -> Any:
        """Returns the answer, its content not yet read.

        Raises:
            RegistryError: no answer within the limits, or another status than those that are ok.
        """
        import requests

        for attempt in range(1, ATTEMPTS + 1):
            try:
                response = self._session.request(
                    request.method,
                    self.address.base + request.target,
                    data=body() if body else None,
                    headers={**request.headers, **self._sign(request)},
                    stream=True,
                    allow_redirects=False,
                )
            except (requests.RequestException, OSError) as error:
                refusal = no_answer(error, request.method, self.address.host)
            else:
                if response.status_code in ok:
                    return response
                refusal = explain(response, request.method, self.address.host, self.address.path)
            if not refusal.temporary or attempt == ATTEMPTS:
                raise refusal
            time.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S)) - 1])
        raise AssertionError("unreachable")

    def size(self, path: str) -> int | None:
        """Asks for an object's size; None where it is not there."""
        request = Request(method="HEAD", path=path, query={}, headers={})
        response = self.send(request, ok=frozenset({200, 404}))
        response.close()
        if response.status_code == 404:
            return None
        length = response.headers.get("Content-Length", "")
        return int(length) if length.isdigit() else -1

    def read(self, path: str) -> Iterator[bytes] | None:
        """Returns an object's bytes; continues where the connection was cut."""
        first = self._get(path, 0)
        return None if first is None else self._pieces(path, first)

    def look(self, path: str) -> tuple[Iterator[bytes], str] | None:
        """Returns an object's bytes and its ETag; caches on the way are told to ask anew."""
        first = self._get(path, 0, {"Cache-Control": "no-cache"})
        if first is None:
            return None
        return self._pieces(path, first), first.headers.get("ETag", "")

    def swap(self, path: str, data: bytes, mark: str | None, *, match: bool = True) -> bool:
        """Puts a small object where it still has the mark; without a condition where none works.

        Args:
            match: whether the store knows If-Match; a weak ETag never matches.
        """
        headers = {"Content-Type": "application/octet-stream"}
        condition = {"If-None-Match": "*"} if mark is None else {}
        if mark and match and not mark.startswith("W/"):
            condition = {"If-Match": mark}
        status = self._put_small(path, data, {**headers, **condition}, bool(condition))
        if status == 501:
            status = self._put_small(path, data, headers, False)
        return status in _PUT_OK

    def _put_small(self, path: str, data: bytes, headers: Mapping[str, str], may: bool) -> int:
        sha256 = hashlib.sha256(data).hexdigest()
        request = Request(method="PUT", path=path, query={}, headers=headers, sha256=sha256)
        ok = _PUT_OK | _REFUSED if may else _PUT_OK
        response = self.send(request, ok=ok, body=lambda: data)
        response.close()
        return int(response.status_code)

    def _get(self, path: str, start: int, more: Mapping[str, str] | None = None) -> Any:
        headers = {**(more or {}), **({"Range": f"bytes={start}-"} if start else {})}
        request = Request(method="GET", path=path, query={}, headers=headers)
        response = self.send(request, ok=frozenset({200, 206, 404}))
        if response.status_code != 404:
            return response
        response.close()
        return None

    def _pieces(self, path: str, response: Any) -> Iterator[bytes]:
        done = failures = 0
        while response is not None:
            skip = done if response.status_code == 200 else 0
            before = done
            try:
                for piece in pieces(response, self.address.host):
                    data = piece[skip:]
                    skip = max(0, skip - len(piece))
                    done += len(data)
                    yield data
            except RegistryError:
                failures = 1 if done > before else failures + 1
                if failures >= ATTEMPTS:
                    raise
                response = self._get(path, done)
                continue
            return


def put_checked(
    store: ObjectStore, key: str, digest: Digest, size_bytes: int, opener: Opener
) -> None:
    """Puts an object and reads it back; wrong bytes under a key that ends with a digest go.

    Raises:
        IntegrityError: O091, the bytes to be sent are damaged; O201, those that came back are.
    """
    store.write(key, digest, size_bytes, opener)
    check(store, key, digest, size_bytes)


def check(store: ObjectStore, key: str, digest: Digest, size_bytes: int) -> None:
    """Reads an object and checks it.

    A wrong one is removed only where its key ends with its digest, for then whatever is there is
    wrong. Under any other key another writer's object may stand, or a cache may have answered.
    """
    found, count = digest_at(store, key)
    if count != size_bytes or found != digest:
        if key.rpartition("/")[2] == digest.hex:
            store.delete(key)
        raise IntegrityError(
            f"{store.host} has {count} bytes with {found} under {key}, where "
            f"{size_bytes} with {digest} were sent",
            hint="The store, or something before it, changes or loses bytes; do not use it.",
            code="O201",
        )


def digest_at(store: ObjectStore, key: str) -> tuple[Digest, int]:
    """Returns the digest and the size of what is under a key; of nothing where it is not there."""
    found, count = hashlib.sha256(), 0
    for data in store.read(key) or ():
        count += len(data)
        found.update(data)
    return Digest(f"sha256:{found.hexdigest()}"), count


def open_store(address: Address, access: Access) -> ObjectStore:
    """Returns the client of an address; nothing is contacted yet."""
    if address.kind == "s3":
        from ssds.objects.s3 import S3

        return S3(address, access)
    if address.kind == "swift":
        from ssds.objects.swift import Swift

        return Swift(address, access)
    from ssds.objects.put import Put

    return Put(address, access)
