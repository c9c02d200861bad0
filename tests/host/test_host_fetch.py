from __future__ import annotations

import contextlib
import http.server
import io
import threading
from collections.abc import Iterator

import pytest

from ssds.core.digest import sha256_of
from ssds.core.errors import IntegrityError, UnavailableError
from ssds.host.fetch import CHUNK, Fetcher

DATA = b"the right bytes " * 10_000
DIGEST = sha256_of(DATA)


class Site(http.server.ThreadingHTTPServer):
    """A real server whose behaviour a path names."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.connections = 0
        self.stopped = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"

    def get_request(self):
        self.connections += 1
        return super().get_request()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Site

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.strip("/")
        self.server.asked.append(path)
        count = self.server.asked.count(path)
        if path == "missing" or (path == "busy" and count < 3) or path == "broken":
            self.send_error({"missing": 404, "busy": 503, "broken": 500}[path])
        elif path == "leave":
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif path == "loop":
            self.send_response(302)
            self.send_header("Location", "/loop")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif path == "slow":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                for _ in range(500):
                    if self.server.stopped.wait(0.02):
                        break
                    self.wfile.write(b"x")
                else:
                    self.server.asked.append("slow to its end")
            self.close_connection = True
        else:
            body = {"wrong": b"other bytes", "long": DATA + b"x"}.get(path, DATA)
            short = path == "short" or (path == "cut" and count < 2)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:1000] if short else body)
            if short:
                self.close_connection = True

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(DATA)))
        self.end_headers()


@pytest.fixture
def site():
    server = Site()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.stopped.set()
    server.shutdown()
    thread.join()
    server.server_close()


class Sinks:
    """Opens a fresh sink per attempt; keeps the bytes of the one that ended well."""

    def __init__(self) -> None:
        self.kept = b""
        self.opened = 0

    @contextlib.contextmanager
    def open(self) -> Iterator[io.BytesIO]:
        self.opened += 1
        sink = io.BytesIO()
        yield sink
        self.kept = sink.getvalue()


@pytest.fixture
def fetcher():
    with Fetcher(timeout_s=5, pauses_s=(0.01,)) as made:
        yield made


def get(fetcher: Fetcher, *urls: str, size: int = len(DATA), local: bool = False) -> Sinks:
    sinks = Sinks()
    fetcher.download(urls, sinks.open, digest=DIGEST, size_bytes=size, local=local, name="file.bin")
    return sinks


@pytest.mark.parametrize("path", ["good", "busy", "cut"])
def test_bytes_arrive_also_after_passing_troubles(path, site, fetcher):
    assert get(fetcher, site.url(path)).kept == DATA


def test_the_next_address_is_asked_when_one_fails(site, fetcher):
    dead = "http://127.0.0.1:1/x"
    urls = (dead, site.url("missing"), site.url("wrong"), site.url("good"))
    assert get(fetcher, *urls).kept == DATA
    assert site.asked == ["missing", "wrong", "good"]


@pytest.mark.parametrize(("path", "words"), [("wrong", "other bytes"), ("long", "more than")])
def test_wrong_bytes_are_never_accepted(path, words, site, fetcher):
    sinks = Sinks()
    with pytest.raises(IntegrityError, match=words) as caught:
        fetcher.download([site.url(path)], sinks.open, digest=DIGEST, size_bytes=len(DATA))
    assert sinks.kept == b""
    assert path in caught.value.message
    assert caught.value.hint


def test_wrong_bytes_of_unknown_size_are_never_accepted(site, fetcher):
    with pytest.raises(IntegrityError):
        get(fetcher, site.url("long"), size=0)


def test_the_error_lists_every_attempt(site, fetcher):
    with pytest.raises(UnavailableError) as caught:
        get(fetcher, "http://nobody:secret@127.0.0.1:1/a", site.url("missing"), site.url("broken"))
    text = caught.value.message
    assert "127.0.0.1:1/a" in text
    assert "404" in text
    assert "500" in text
    assert "secret" not in text
    assert "file.bin" in text
    assert site.asked.count("missing") == 1
    assert site.asked.count("broken") == 4


@pytest.mark.parametrize("path", ["short", "leave", "loop"])
def test_truncated_and_misleading_answers_fail(path, site, fetcher):
    with pytest.raises(UnavailableError):
        get(fetcher, site.url(path))


def test_local_files_are_read_only_for_configured_mirrors(tmp_path, fetcher):
    path = tmp_path / "a b"
    path.write_bytes(DATA)
    assert get(fetcher, f"file://{tmp_path}/a%20b", local=True).kept == DATA
    assert get(fetcher, str(path), local=True).kept == DATA
    for url in (str(path), f"file://{path}"):
        with pytest.raises(UnavailableError):
            get(fetcher, url)


@pytest.mark.parametrize("url", ["ftp://example.invalid/x", "http://", "http://[::bad/x", "x", ""])
def test_an_address_that_cannot_be_used_is_an_error_and_no_crash(url, fetcher):
    with pytest.raises(UnavailableError):
        get(fetcher, url)


def test_one_thread_keeps_its_connection(site, fetcher):
    for _ in range(5):
        get(fetcher, site.url("good"))
    assert site.connections == 1


def test_a_document_larger_than_its_limit_is_refused(site, fetcher):
    with pytest.raises(IntegrityError):
        fetcher.read(site.url("good"), limit_bytes=1000)
    with pytest.raises(UnavailableError) as caught:
        fetcher.read(site.url("missing"), limit_bytes=1000)
    assert caught.value.code == "F053"


def test_a_server_that_gives_a_byte_now_and_then_is_left_at_the_deadline(site):
    with (
        Fetcher(timeout_s=5, deadline_s=0.1, pauses_s=()) as fetcher,
        pytest.raises(UnavailableError, match="not whole after"),
    ):
        fetcher.read(site.url("slow"), limit_bytes=CHUNK)
    assert site.asked == ["slow"]


def test_sizes_can_be_asked(site, fetcher, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"123")
    assert fetcher.size(site.url("good")) == len(DATA)
    assert fetcher.size(str(path), local=True) == 3
    assert fetcher.size(str(path)) == 0
    assert fetcher.size("http://127.0.0.1:1/") == 0
