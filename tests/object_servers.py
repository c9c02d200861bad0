"""Object stores for tests: moto's S3 in this process, and a small server of uploads and Swift."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import requests


@contextlib.contextmanager
def running_s3() -> Iterator[str]:
    """Gives ``host:port`` of moto's S3 with the bucket ``depot``."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host = f"127.0.0.1:{server.get_host_and_port()[1]}"
    requests.put(f"http://{host}/depot", timeout=10).raise_for_status()
    try:
        yield host
    finally:
        server.stop()


class UploadServer:
    """A web server that takes PUT, and under ``/v1/`` speaks Swift: tokens, copies, segments.

    Attributes:
        objects: path → bytes; asked: ``METHOD path`` of each request.
        refuse: a status for every PUT, or 0; spoil: keep other bytes than those that came.
        token: what Swift wants now.
        compares: it obeys If-Match and If-None-Match.
        first: called with each request's method and path before it is answered.
        stale: path → what a cache in front of it answers in its place.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.lists: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.refuse = 0
        self.spoil = False
        self.token = "first"
        self.compares = True
        self.first: Callable[[str, str], None] = lambda method, path: None
        self.stale: dict[str, bytes] = {}
        outer = self

        class Handler(_Handler):
            outside = outer

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def content(self, path: str) -> bytes | None:
        if path in self.lists:
            return b"".join(self.objects[part] for part in self.lists[path])
        return self.objects.get(path)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    outside: UploadServer

    def log_message(self, *arguments: object) -> None:
        pass

    def answer(self, status: int, data: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def handle_any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:  # a sender that stopped: nothing is kept
            self.close_connection = True
            return
        parts = urlsplit(self.path)
        path, out = unquote(parts.path), self.outside
        out.asked.append(f"{self.command} {path}")
        out.first(self.command, path)
        if path == "/auth/v1.0":
            good = self.headers.get("X-Auth-Key") == "for-this-test"
            self.answer(204 if good else 401, X_Auth_Token=out.token if good else "")
        elif path.startswith("/v1/") and self.headers.get("X-Auth-Token") != out.token:
            self.answer(401)
        elif self.command == "PUT":
            self._put(path, parts.query, body)
        elif self.command == "DELETE":
            self._delete(path, parts.query)
        else:
            self._get(path)

    do_GET = do_HEAD = do_PUT = do_DELETE = handle_any  # noqa: N815

    def _put(self, path: str, query: str, body: bytes) -> None:
        out = self.outside
        if out.refuse:
            self.answer(out.refuse)
            return
        if out.compares and not self._condition(out.content(path)):
            self.answer(412)
            return
        account = "/".join(path.split("/")[:3])
        if query == "multipart-manifest=put":
            parts = [account + entry["path"] for entry in json.loads(body)]
            etags = [entry["etag"] for entry in json.loads(body)]
            if any(_etag(out.objects.get(p, b"")) != e for p, e in zip(parts, etags, strict=True)):
                self.answer(400)
                return
            out.lists[path] = parts
        elif "X-Copy-From" in self.headers:
            found = out.content(account + self.headers["X-Copy-From"])
            if found is None:
                self.answer(404)
                return
            out.objects[path] = found
        else:
            out.objects[path] = body[:-1] + b"?" if out.spoil else body
        self.answer(201, ETag=_etag(body))

    def _delete(self, path: str, query: str) -> None:
        """A bulk deletion of Swift answers 200 whatever came of it; the body says what."""
        out = self.outside
        if query != "multipart-manifest=delete":
            gone = out.objects.pop(path, None) is not None or bool(out.lists.pop(path, None))
            self.answer(204 if gone else 404)
        elif path in out.lists:
            for part in out.lists.pop(path):
                out.objects.pop(part, None)
            self.answer(200, b"Response Status: 200 OK\nErrors:\n")
        elif path in out.objects:
            self.answer(200, b"Response Status: 400 Bad Request\nErrors:\nNot an SLO manifest\n")
        else:
            self.answer(200, b"Response Status: 404 Not Found\nErrors:\n")

    def _condition(self, there: bytes | None) -> bool:
        wanted = self.headers.get("If-Match", "")
        if self.headers.get("If-None-Match") == "*" and there is not None:
            return False
        return not wanted or (there is not None and wanted == f'"{_etag(there)}"')

    def _get(self, path: str) -> None:
        data = self.outside.stale.get(path, self.outside.content(path))
        if data is None:
            self.answer(404)
            return
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        headers = {"X_Static_Large_Object": "True"} if path in self.outside.lists else {}
        self.answer(206 if start else 200, data[start:], ETag=f'"{_etag(data)}"', **headers)


def _etag(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@contextlib.contextmanager
def upload_servers() -> Iterator[UploadServer]:
    server = UploadServer()
    try:
        yield server
    finally:
        server.server.shutdown()
        server.server.server_close()
