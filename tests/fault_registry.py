"""A registry in this process that counts what it is asked and fails on demand.

It obeys the OCI distribution specification 1.1: blobs by upload sessions and mounts, manifests and
tags, the referrers API where it is switched on. A *fault* is a function of the request; what it
returns happens in place of, or to, the answer.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from ssds.core.digest import sha256_of
from ssds.oci import types

Fault = Callable[[str, str], str]
"""Method and path → "", a status (``503``, ``429:1``), ``reset``, ``cut``, ``wrong``, ``slow``."""

_UPLOAD = re.compile(r"/v2/(.+)/blobs/uploads/([^/]*)")
_BLOB = re.compile(r"/v2/(.+)/blobs/(sha256:[0-9a-f]{64})")
_MANIFEST = re.compile(r"/v2/(.+)/manifests/([^/]+)")
_TAGS = re.compile(r"/v2/(.+)/tags/list")
_REFERRERS = re.compile(r"/v2/(.+)/referrers/(sha256:[0-9a-f]{64})")


class FaultRegistry:
    """What it holds and what it was asked.

    Attributes:
        blobs, manifests, tags: by repository.
        referrers_api: whether it keeps lists of referrers itself.
        token: the bearer token that it wants now, or the empty string.
        asked: ``METHOD path`` of each request, in order.
    """

    def __init__(self, *, referrers_api: bool = True) -> None:
        self.blobs: dict[str, dict[str, bytes]] = {}
        self.manifests: dict[str, dict[str, tuple[str, bytes]]] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.referrers_api = referrers_api
        self.token = ""
        self.fault: Fault = lambda method, path: ""
        self.asked: list[str] = []
        self.guard = threading.Lock()
        outer = self

        class Handler(_Handler):
            registry = outer

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def count(self, start: str) -> int:
        return sum(line.startswith(start) for line in self.asked)


@contextlib.contextmanager
def fault_registry(**options: bool) -> Iterator[FaultRegistry]:
    made = FaultRegistry(**options)
    try:
        yield made
    finally:
        made.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: FaultRegistry
    disable_nagle_algorithm = True

    def log_message(self, *arguments: object) -> None:
        pass

    def handle_any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        path = urlsplit(self.path).path
        fault = self.registry.fault(self.command, path)
        with self.registry.guard:
            self.registry.asked.append(f"{self.command} {path}")
        if fault == "reset" and length > 4:
            self.rfile.read(length // 2)
        if fault == "reset":
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            self.close_connection = True
            return
        body = self.rfile.read(length)
        self.wrong = fault if fault in ("cut", "wrong", "slow") else ""
        if fault and not self.wrong:
            status, _, after = fault.partition(":")
            self.reply(int(status), b"", **({"Retry-After": after} if after else {}))
        elif not self._allowed(path):
            pass
        else:
            with self.registry.guard:
                answer = self._answer(path, body)
            self.reply(*answer[:2], **answer[2])

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = handle_any  # noqa: N815

    def _allowed(self, path: str) -> bool:
        wanted = self.registry.token
        if path == "/token":
            self.reply(200, json.dumps({"token": wanted}).encode())
            return False
        if wanted and self.headers.get("Authorization") != f"Bearer {wanted}":
            realm = f'Bearer realm="http://{self.registry.host}/token",service="s"'
            found = re.match(r"/v2/(.+?)/(?:blobs|manifests|tags|referrers)/", path)
            scope = f',scope="repository:{found[1]}:pull,push"' if found else ""
            self.reply(401, b"", **{"WWW-Authenticate": realm + scope})
            return False
        return True

    def _answer(self, path: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        for form, answer in (
            (_UPLOAD, self._upload),
            (_BLOB, self._blob),
            (_MANIFEST, self._manifest),
            (_TAGS, self._tags),
            (_REFERRERS, self._referrers),
        ):
            found = form.fullmatch(path)
            if found:
                return answer(*found.groups(), body)  # type: ignore[operator]
        return (200, b"{}", {}) if path == "/v2/" else (404, b"", {})

    def _upload(self, name: str, session: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        query = {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
        blobs = self.registry.blobs
        if self.command == "POST":
            there = blobs.get(query.get("from", ""), {}).get(query.get("mount", ""))
            if there is not None:
                blobs.setdefault(name, {})[query["mount"]] = there
                return 201, b"", {"Docker-Content-Digest": query["mount"]}
            return 202, b"", {"Location": f"/v2/{name}/blobs/uploads/{uuid.uuid4()}"}
        if self.command != "PUT" or sha256_of(body) != query.get("digest"):
            return 400, b'{"errors":[{"code":"DIGEST_INVALID"}]}', {}
        blobs.setdefault(name, {})[query["digest"]] = body
        return 201, b"", {"Docker-Content-Digest": query["digest"]}

    def _blob(self, name: str, digest: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        data = self.registry.blobs.get(name, {}).get(digest)
        if data is None:
            return 404, b"", {}
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        return (206 if start else 200), data[start:], {"Docker-Content-Digest": digest}

    def _manifest(self, name: str, ref: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        known = self.registry.manifests.get(name, {})
        tags = self.registry.tags.get(name, {})
        if self.command == "PUT":
            known = self.registry.manifests.setdefault(name, {})
            tags = self.registry.tags.setdefault(name, {})
            digest = str(sha256_of(body))
            document = json.loads(body)
            parts = [*document.get("layers", []), *filter(None, [document.get("config")])]
            blobs = self.registry.blobs.get(name, {})
            lacking = [p for p in parts if p["digest"] not in blobs]
            lacking += [m for m in document.get("manifests", []) if m["digest"] not in known]
            if lacking:
                return 400, b'{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}', {}
            known[digest] = (self.headers.get("Content-Type", ""), body)
            if not ref.startswith("sha256:"):
                tags[ref] = digest
            more = {"Docker-Content-Digest": digest}
            if self.registry.referrers_api and "subject" in document:
                more["OCI-Subject"] = document["subject"]["digest"]
            return 201, b"", more
        digest = tags.get(ref, ref)
        if digest not in known:
            return 404, b"", {}
        if self.command == "DELETE":
            del known[digest]
            return 202, b"", {}
        media_type, data = known[digest]
        return 200, data, {"Content-Type": media_type, "Docker-Content-Digest": digest}

    def _tags(self, name: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        if name not in self.registry.tags:
            return 404, b"", {}
        return 200, json.dumps({"tags": sorted(self.registry.tags[name])}).encode(), {}

    def _referrers(self, name: str, digest: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        if not self.registry.referrers_api:
            return 404, b"404 page not found", {}
        entries = []
        for media_type, data in self.registry.manifests.get(name, {}).values():
            document = json.loads(data)
            if document.get("subject", {}).get("digest") == digest:
                entries.append(
                    types.Descriptor(
                        media_type=media_type,
                        digest=sha256_of(data),
                        size_bytes=len(data),
                        artifact_type=document.get("artifactType", ""),
                        annotations=document.get("annotations", {}),
                    )
                )
        return 200, types.index_bytes(entries), {"Content-Type": types.INDEX}

    def reply(self, status: int, data: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.wrong == "cut" and data:
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        elif self.wrong == "wrong" and data:
            self.wfile.write(bytes([data[0] ^ 1]) + data[1:])
        elif self.wrong == "slow" and data:
            for at in range(0, len(data), max(1, len(data) // 8)):
                self.wfile.write(data[at : at + max(1, len(data) // 8)])
                self.wfile.flush()
                time.sleep(0.02)
        else:
            self.wfile.write(data)


def times(count: int, what: str, *, method: str = "", part: str = "") -> Fault:
    """Fails the first ``count`` requests that match."""
    left = [count]

    def fault(found: str, path: str) -> str:
        if left[0] and (not method or found == method) and part in path:
            left[0] -= 1
            return what
        return ""

    return fault
