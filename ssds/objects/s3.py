"""S3: signed requests, uploads in parts that a later run continues.

Only seven requests are needed, so they are signed here and no SDK is (see
``docs/decisions/object-stores-are-spoken-to-directly.md``). The body's sha256 is part of every
signature: the store itself refuses other bytes.

Sources: AWS Signature Version 4; Amazon S3 API reference (path-style requests).
"""

from __future__ import annotations

import configparser
import datetime as dt
import functools
import hashlib
import hmac
import os
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from xml.sax.saxutils import escape

from ssds.core.digest import Digest
from ssds.core.errors import UsageError
from ssds.core.records import dataclass, field
from ssds.host.files import write_point
from ssds.objects.address import Address
from ssds.objects.plug import EMPTY_SHA256, Client, Opener, Request
from ssds.oci.answers import RegistryError, limited
from ssds.oci.body import Body
from ssds.oci.transport import Access

PART_BYTES = 16 * 1024 * 1024
PARTS_LIMIT = 10_000
_COPY_LIMIT_BYTES = 5 * 1024**3
_ANSWER_LIMIT_BYTES = 16 * 1024 * 1024
_OK = frozenset({200})


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """An access key; the secret does not appear in its text form."""

    access: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)


def find_keys(host: str, environment: Mapping[str, str] | None = None) -> Keys:
    """Returns the access key: from the environment, else from the AWS credentials file.

    Raises:
        UsageError: O202, there is none.
    """
    env = os.environ if environment is None else environment
    if env.get("AWS_ACCESS_KEY_ID") and env.get("AWS_SECRET_ACCESS_KEY"):
        return Keys(
            access=env["AWS_ACCESS_KEY_ID"],
            secret=env["AWS_SECRET_ACCESS_KEY"],
            token=env.get("AWS_SESSION_TOKEN", ""),
        )
    path = env.get("AWS_SHARED_CREDENTIALS_FILE") or os.path.join(
        env.get("HOME", ""), ".aws", "credentials"
    )
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
        entry = parser[env.get("AWS_PROFILE", "default")]
        return Keys(
            access=entry["aws_access_key_id"],
            secret=entry["aws_secret_access_key"],
            token=entry.get("aws_session_token", ""),
        )
    except (OSError, configparser.Error, KeyError, UnicodeDecodeError):
        raise UsageError(
            f"there is no access key for {host}",
            hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write the AWS credentials "
            "file.",
            code="O202",
        ) from None


def signed(
    request: Request, host: str, region: str, keys: Keys, now: dt.datetime
) -> dict[str, str]:
    """Returns the headers that sign a request (AWS Signature Version 4)."""
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    headers = {
        "host": host,
        "x-amz-content-sha256": request.sha256,
        "x-amz-date": stamp,
        **({"x-amz-security-token": keys.token} if keys.token else {}),
        **{n.lower(): v for n, v in request.headers.items() if n.lower().startswith("x-amz-")},
    }
    names = ";".join(sorted(headers))
    path, _, query = request.target.partition("?")
    listed = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers))
    canonical = f"{request.method}\n{path}\n{query}\n{listed}\n{names}\n{request.sha256}"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    key = f"AWS4{keys.secret}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    del headers["host"]
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys.access}/{scope}, SignedHeaders={names}, "
        f"Signature={key.hex()}"
    )
    return headers


class S3:
    """A bucket, or what lies below a prefix of it."""

    def __init__(self, address: Address, access: Access, keys: Keys | None = None) -> None:
        """Makes the client; nothing is sent yet."""
        self.host = address.host
        self._prefix = address.path
        found = keys or find_keys(address.host)
        region = address.region or "us-east-1"

        def sign(request: Request) -> dict[str, str]:
            return signed(request, address.host, region, found, dt.datetime.now(dt.UTC))

        self._client = Client(address, access, sign)

    def _path(self, key: str) -> str:
        return f"{self._prefix}/{key}"

    def size(self, key: str) -> int | None:
        """Returns an object's size in bytes; None where it is not there."""
        return self._client.size(self._path(key))

    def read(self, key: str) -> Iterator[bytes] | None:
        """Returns an object's bytes; None where it is not there."""
        return self._client.read(self._path(key))

    def write(self, key: str, digest: Digest, size_bytes: int, opener: Opener) -> None:
        """Puts an object; a large one in parts, of which those that are there stay."""
        if size_bytes > PART_BYTES:
            self._write_parts(key, digest, size_bytes, opener)
            return
        with opener() as file:
            data = Body(file, digest, size_bytes).read()
        self._send("PUT", key, {}, functools.partial(bytes, data), sha256=digest.hex)

    def _write_parts(self, key: str, digest: Digest, size_bytes: int, opener: Opener) -> None:
        """Continues the newest upload of this key, or begins one."""
        part_bytes = max(PART_BYTES, -(-size_bytes // PARTS_LIMIT))
        upload = self._newest_upload(key)
        there = self._parts(key, upload) if upload else {}
        if not upload:
            upload = self._begin(key)
        parts: dict[int, str] = {}
        with opener() as file:
            whole = Body(file, digest, size_bytes)
            for number, data in enumerate(whole.parts(part_bytes), start=1):
                tag = hashlib.md5(data, usedforsecurity=False).hexdigest()
                if there.get(number) != tag:
                    query = {"partNumber": str(number), "uploadId": upload}
                    body = functools.partial(bytes, data)
                    sha256 = hashlib.sha256(data).hexdigest()
                    # the store's own word: where it encrypts, an ETag is no MD5
                    tag = self._put_part(key, query, body, sha256) or tag
                    write_point("objects.part")
                parts[number] = tag
        listed = "".join(
            f"<Part><PartNumber>{n}</PartNumber><ETag>&quot;{escape(t)}&quot;</ETag></Part>"
            for n, t in sorted(parts.items())
        )
        done = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        sha256 = hashlib.sha256(done).hexdigest()
        answer = self._send(
            "POST", key, {"uploadId": upload}, lambda: done, sha256=sha256, document=True
        )
        if answer.tag.rpartition("}")[2] == "Error":  # a 200 that is none
            raise RegistryError(
                f"{self.host} could not join the parts of {key}: {_text(answer, 'Code')}",
                hint="Try again; the parts that are there stay.",
                code="O203",
                temporary=True,
            )

    def _put_part(
        self, key: str, query: Mapping[str, str], body: Callable[[], bytes], sha256: str
    ) -> str:
        """Sends one part; returns its ETag."""
        path = self._path(key)
        request = Request(method="PUT", path=path, query=query, headers={}, sha256=sha256)
        response = self._client.send(request, ok=_OK, body=body)
        response.close()
        return str(response.headers.get("ETag", "")).strip('"')

    def _newest_upload(self, key: str) -> str:
        bucket, _, path = self._path(key).partition("/")
        request = Request(
            method="GET", path=bucket, query={"uploads": "", "prefix": path}, headers={}
        )
        found = [
            (_text(entry, "Initiated"), _text(entry, "UploadId"))
            for entry in _children(self._document(request), "Upload")
            if _text(entry, "Key") == path
        ]
        return max(found)[1] if found else ""

    def _begin(self, key: str) -> str:
        answer = self._send("POST", key, {"uploads": ""}, None, document=True)
        return _text(answer, "UploadId")

    def _parts(self, key: str, upload: str) -> dict[int, str]:
        found: dict[int, str] = {}
        marker = ""
        for _ in range(PARTS_LIMIT // 1000 + 1):
            query = {"uploadId": upload, **({"part-number-marker": marker} if marker else {})}
            request = Request(method="GET", path=self._path(key), query=query, headers={})
            answer = self._document(request)
            for part in _children(answer, "Part"):
                number = _text(part, "PartNumber")
                if number.isdigit():
                    found[int(number)] = _text(part, "ETag").strip('"')
            marker = _text(answer, "NextPartNumberMarker")
            if _text(answer, "IsTruncated") != "true" or not marker.isdigit():
                break
        return found

    def look(self, key: str) -> tuple[Iterator[bytes], str] | None:
        """Returns an object's bytes and its mark; None where it is not there."""
        return self._client.look(self._path(key))

    def swap(self, key: str, data: bytes, mark: str | None) -> bool:
        """Puts a small object in place of the one with this mark."""
        return self._client.swap(self._path(key), data, mark)

    def delete(self, key: str) -> None:
        """Removes an object."""
        request = Request(method="DELETE", path=self._path(key), query={}, headers={})
        self._client.send(request, ok=frozenset({200, 204, 404})).close()

    def copy(self, source: str, key: str, size_bytes: int) -> bool:
        """Copies inside the store; False where the object is larger than one request copies."""
        if size_bytes > _COPY_LIMIT_BYTES:
            return False
        request = Request(method="PUT", path=self._path(source), query={}, headers={})
        self._send("PUT", key, {}, None, headers={"x-amz-copy-source": request.target})
        return True

    def _send(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        body: Callable[[], bytes] | None,
        *,
        sha256: str = "",
        headers: Mapping[str, str] | None = None,
        document: bool = False,
    ) -> ET.Element:
        request = Request(
            method=method,
            path=self._path(key),
            query=query,
            headers=headers or {},
            sha256=sha256 or EMPTY_SHA256,
        )
        response = self._client.send(request, ok=_OK, body=body)
        if document:
            return _parsed(limited(response, _ANSWER_LIMIT_BYTES, "the answer"), self.host)
        response.close()
        return ET.Element("none")

    def _document(self, request: Request) -> ET.Element:
        response = self._client.send(request, ok=_OK)
        return _parsed(limited(response, _ANSWER_LIMIT_BYTES, "the answer"), self.host)


def _parsed(data: bytes, host: str) -> ET.Element:
    """Returns a small XML answer; entities are refused, for a store sends none."""
    try:
        if b"<!" in data:
            raise ET.ParseError("it declares a document type")
        return ET.fromstring(data)  # noqa: S314 - without a document type there are no entities
    except ET.ParseError as error:
        raise RegistryError(
            f"{host} gave an answer that is no XML: {error}",
            hint="Check the address: is it an S3 endpoint?",
            code="O204",
        ) from error


def _children(element: ET.Element, name: str) -> Iterator[ET.Element]:
    return (child for child in element if child.tag.rpartition("}")[2] == name)


def _text(element: ET.Element, name: str) -> str:
    return next((child.text or "" for child in _children(element, name)), "")
