"""The registry client against a faithful small server that fails on purpose."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import IntegrityError, UnavailableError
from ssds.host.mirrors import Mirrors
from ssds.oci import types
from ssds.oci.answers import RegistryError
from ssds.oci.credentials import Credentials
from ssds.oci.registry import Registry
from ssds.oci.web_layout import WebLayout

USER = Credentials(user="u", password="hidden-word")
DATA = b"0123456789" * 1000
DIGEST = sha256_of(DATA)
Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """Routes ``METHOD /path`` to answers and keeps what was asked."""

    def __init__(self) -> None:
        self.routes: dict[str, Answer] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.bodies: list[bytes] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                path = self.path.partition("?")[0]
                outer.asked.append((self.command, self.path, dict(self.headers)))
                length = int(self.headers.get("Content-Length") or 0)
                outer.bodies.append(self.rfile.read(length))
                route = outer.routes.get(f"{self.command} {path}")
                if route is None:
                    reply(404, b"404 page not found")(self)
                else:
                    route(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer  # noqa: N815

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def count(self, start: str) -> int:
        return sum(f"{m} {p}".startswith(start) for m, p, _ in self.asked)


def reply(status: int, body: bytes = b"", **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)

    return answer


def in_turn(*answers: Answer) -> Answer:
    rest = list(answers)
    return lambda handler: (rest.pop(0) if len(rest) > 1 else rest[0])(handler)


def cut_after(count: int) -> Answer:
    """Promises all and closes after ``count`` bytes; understands ranges."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        start = int(handler.headers.get("Range", "bytes=0-")[6:-1])
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(DATA) - start))
        handler.end_headers()
        handler.wfile.write(DATA[start : start + count])
        handler.close_connection = True

    return answer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("ssds.oci.transport.BACKOFF_S", (0.01, 0.02))
    made = Server()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_layout_whose_server_breaks_off_says_so(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssds.oci.web_layout._PAUSES_S", (0.0,))
    server.routes[f"GET /a/blobs/sha256/{DIGEST.hex}"] = reply(
        200, bytes(600_000), Content_Length="900000", Connection="close"
    )
    layout = WebLayout(f"http://{server.host}/a", Mirrors())
    with pytest.raises(UnavailableError) as caught:
        layout.fetch(DIGEST, 900_000, io.BytesIO())
    assert caught.value.code == "O136"


def test_a_registry_without_tls_says_so(server: Server) -> None:
    with pytest.raises(RegistryError, match="does not speak TLS") as caught:
        Registry(server.host, insecure=False, anonymous=True).fetch_manifest("a/b", "1.0")
    assert caught.value.code == "O078"
    assert "insecure: true" in caught.value.hint


@pytest.fixture
def registry(server: Server) -> Registry:
    return Registry(server.host, insecure=True, anonymous=True)


BLOB = f"/v2/r/blobs/{DIGEST}"


def test_a_download_that_is_cut_is_continued(server: Server, registry: Registry) -> None:
    server.routes[f"GET {BLOB}"] = cut_after(3000)
    sink = io.BytesIO()
    registry.fetch_blob("r", DIGEST, len(DATA), sink)
    assert sink.getvalue() == DATA
    assert [h.get("Range") for _, _, h in server.asked] == [
        None,
        "bytes=3000-",
        "bytes=6000-",
        "bytes=9000-",
    ]


def test_a_server_without_ranges_is_read_from_the_start_again(
    server: Server, registry: Registry
) -> None:
    cut = reply(200, DATA[:4000], Content_Length=str(len(DATA)), Connection="close")
    server.routes[f"GET {BLOB}"] = in_turn(cut, reply(200, DATA))
    sink = io.BytesIO()
    registry.fetch_blob("r", DIGEST, len(DATA), sink)
    assert sink.getvalue() == DATA


def test_a_download_without_progress_ends_as_temporary(server: Server, registry: Registry) -> None:
    server.routes[f"GET {BLOB}"] = cut_after(0)
    with pytest.raises(RegistryError) as caught:
        registry.fetch_blob("r", DIGEST, len(DATA), io.BytesIO())
    assert caught.value.temporary
    assert server.count("GET") <= 4


@pytest.mark.parametrize("wrong", [DATA[:-1] + b"x", DATA + b"x", DATA[:-1]])
def test_other_bytes_than_promised_are_refused(
    server: Server, registry: Registry, wrong: bytes
) -> None:
    server.routes[f"GET {BLOB}"] = reply(200, wrong)
    with pytest.raises(IntegrityError):
        registry.fetch_blob("r", DIGEST, len(DATA), io.BytesIO())


def test_a_busy_server_is_asked_again_a_few_times_only(server: Server, registry: Registry) -> None:
    server.routes["GET /v2/"] = in_turn(reply(503), reply(429, Retry_After="0"), reply(200))
    registry.ping()
    assert server.count("GET /v2/") == 3
    server.routes["GET /v2/"] = reply(500)
    with pytest.raises(RegistryError) as caught:
        registry.ping()
    assert (caught.value.status, caught.value.temporary) == (500, True)
    assert server.count("GET /v2/") == 6


def test_a_silent_server_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from ssds.oci.transport import Access, Transport

    server.routes["GET /v2/"] = lambda handler: time.sleep(1.5)
    transport = Transport(
        server.host, Access(insecure=True, connect_timeout_s=0.5, read_timeout_s=0.1), None
    )
    started = time.monotonic()
    with pytest.raises(RegistryError, match="timed out") as caught:
        transport.request("GET", "/v2/", repository="", ok=frozenset({200}))
    assert caught.value.temporary
    assert time.monotonic() - started < 3


def test_an_upload_that_is_cut_starts_anew(server: Server, registry: Registry) -> None:
    server.routes["GET /v2/"] = reply(200)
    server.routes["POST /v2/r/blobs/uploads/"] = reply(202, Location="/v2/up/1?state=a%2Fb")
    server.routes["PUT /v2/up/1"] = in_turn(reply(502), reply(201, Docker_Content_Digest=DIGEST))
    assert registry.push_blob("r", DIGEST, len(DATA), lambda: io.BytesIO(DATA))
    assert server.count("POST") == 2
    put = [path for method, path, _ in server.asked if method == "PUT"]
    assert put[0] == f"/v2/up/1?state=a%2Fb&digest=sha256%3A{DIGEST.hex}"
    assert server.bodies[-1] == DATA


def test_a_registry_that_keeps_other_bytes_is_noticed(server: Server, registry: Registry) -> None:
    data = types.index_bytes([])
    server.routes["PUT /v2/r/manifests/v1"] = reply(201, Docker_Content_Digest=str(DIGEST))
    server.routes["GET /v2/"] = reply(200)
    with pytest.raises(IntegrityError, match="kept"):
        registry.push_manifest("r", "v1", types.INDEX, data)


def test_a_manifest_with_another_digest_than_asked_for_is_refused(
    server: Server, registry: Registry
) -> None:
    data = types.index_bytes([])
    path = f"/v2/r/manifests/{DIGEST}"
    server.routes[f"GET {path}"] = reply(200, data, Content_Type=types.INDEX)
    with pytest.raises(IntegrityError, match="has the digest"):
        registry.fetch_manifest("r", DIGEST)
    server.routes["GET /v2/r/manifests/v1"] = reply(
        200, data, Content_Type=types.INDEX, Docker_Content_Digest=str(DIGEST)
    )
    with pytest.raises(IntegrityError, match="has the digest"):
        registry.fetch_manifest("r", "v1")


def test_an_endless_manifest_is_cut_off(server: Server, registry: Registry) -> None:
    server.routes["GET /v2/r/manifests/v1"] = reply(200, b" " * (5 << 20))
    with pytest.raises(IntegrityError, match="larger than"):
        registry.fetch_manifest("r", "v1")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{}",
        b'{"errors":[]}',
        b'{"errors":[3]}',
        b"x" * (1 << 20),
        b"[" * 50000,
        b'{"errors":[{"code":"DENIED","message":"no\\u001b[31m"}]}',
    ],
)
def test_any_error_body_gives_a_clear_error(
    server: Server, registry: Registry, body: bytes
) -> None:
    server.routes["GET /v2/r/manifests/v1"] = reply(403, body)
    with pytest.raises(RegistryError) as caught:
        registry.fetch_manifest("r", "v1")
    assert caught.value.status == 403
    assert caught.value.hint
    assert len(caught.value.message) < 400
    assert caught.value.message.isprintable()


def test_tags_are_read_page_by_page_and_only_from_the_same_host(
    server: Server, registry: Registry
) -> None:
    page = json.dumps({"tags": ["c", "b"]}).encode()
    more = json.dumps({"tags": ["a"]}).encode()
    last = in_turn(
        reply(200, page, Link='</v2/r/tags/list?n=2&last=b>; rel="next"'), reply(200, more)
    )
    server.routes["GET /v2/r/tags/list"] = last
    assert registry.tags("r") == ("a", "b", "c")
    server.routes["GET /v2/r/tags/list"] = reply(
        200, page, Link='<http://example.invalid/v2/r/tags/list>; rel="next"'
    )
    with pytest.raises(RegistryError, match="another host"):
        registry.tags("r")


def test_a_page_that_names_itself_as_the_next_ends(server: Server, registry: Registry) -> None:
    page = json.dumps({"tags": ["a"]}).encode()
    server.routes["GET /v2/r/tags/list"] = reply(200, page, Link="</v2/r/tags/list>; rel=next")
    assert registry.tags("r") == ("a",)
    assert server.count("GET") == 2


def test_the_referrers_interface_is_used_where_there_is_one(
    server: Server, registry: Registry
) -> None:
    subject = types.descriptor_of(b"s", types.INDEX)
    data = types.manifest_bytes(
        config=types.descriptor_of(b"{}", types.EMPTY),
        layers=[],
        subject=subject,
        artifact_type="application/x",
    )
    digest = sha256_of(data)
    server.routes["GET /v2/"] = reply(200)
    server.routes[f"PUT /v2/r/manifests/{digest}"] = reply(201, OCI_Subject=str(subject.digest))
    entry = registry.push_referrers("r", [data])[0]
    server.routes[f"GET /v2/r/referrers/{subject.digest}"] = reply(
        200, types.index_bytes([entry]), Content_Type=types.INDEX
    )
    assert registry.referrers("r", subject.digest) == (entry,)
    assert server.count("PUT") == 1


# --- tokens -----------------------------------------------------------------------------------


def token_server(server: Server, token: bytes, challenge_scope: str = "repository:r:pull") -> None:
    def guarded(handler: BaseHTTPRequestHandler) -> None:
        if handler.headers.get("Authorization") == "Bearer good":
            reply(200, DATA)(handler)
        else:
            realm = f'Bearer realm="http://{server.host}/token",service="s"'
            reply(401, WWW_Authenticate=f'{realm},scope="{challenge_scope}"')(handler)

    server.routes[f"GET {BLOB}"] = guarded
    server.routes["GET /token"] = reply(200, token)


def test_a_token_is_fetched_once_and_used_again(server: Server) -> None:
    token_server(server, b'{"token":"good"}')
    registry = Registry(server.host, insecure=True, credentials=USER)
    for _ in range(2):
        registry.fetch_blob("r", DIGEST, len(DATA), io.BytesIO())
    asked = [(p, h.get("Authorization", "")) for _, p, h in server.asked if "/token" in p]
    basic = "Basic " + base64.b64encode(b"u:hidden-word").decode()
    assert asked == [("/token?service=s&scope=repository%3Ar%3Apull", basic)]
    assert server.count(f"GET {BLOB}") == 3


@pytest.mark.parametrize("token", [b'{"token":"bad"}', b"{}", b'{"token":3}', b"no json", b"[]"])
def test_a_useless_token_ends_in_a_refusal(server: Server, token: bytes) -> None:
    token_server(server, token)
    with pytest.raises(RegistryError):
        Registry(server.host, insecure=True, anonymous=True).fetch_blob(
            "r", DIGEST, len(DATA), io.BytesIO()
        )
    assert len(server.asked) <= 4


def test_a_token_that_ends_during_an_upload_is_renewed(server: Server) -> None:
    realm = f'Bearer realm="http://{server.host}/token",service="s",scope="repository:r:push"'
    server.routes["GET /v2/"] = reply(401, WWW_Authenticate=realm)
    server.routes["GET /token"] = in_turn(
        reply(200, b'{"token":"one"}'), reply(200, b'{"token":"two"}')
    )
    server.routes["POST /v2/r/blobs/uploads/"] = in_turn(
        reply(401, WWW_Authenticate=realm), reply(202, Location="/v2/up/1")
    )

    def put(handler: BaseHTTPRequestHandler) -> None:
        good = handler.headers.get("Authorization") == "Bearer two"
        (reply(201) if good else reply(401, WWW_Authenticate=realm))(handler)

    server.routes["PUT /v2/up/1"] = put
    registry = Registry(server.host, insecure=True, credentials=USER)
    assert registry.push_blob("r", DIGEST, len(DATA), lambda: io.BytesIO(DATA))
    assert server.bodies[-1] == DATA
    assert server.count("PUT") == 2


def test_credentials_never_follow_a_redirect_to_another_host(server: Server) -> None:
    other = Server()
    try:

        def challenged(handler: BaseHTTPRequestHandler) -> None:
            if "Authorization" not in handler.headers:
                reply(401, WWW_Authenticate='Basic realm="x"')(handler)
            else:
                address = f"http://localhost:{other.host.split(':')[1]}/blob"
                reply(307, Location=address)(handler)

        server.routes[f"GET {BLOB}"] = challenged
        other.routes["GET /blob"] = reply(200, DATA)
        sink = io.BytesIO()
        Registry(server.host, insecure=True, credentials=USER).fetch_blob(
            "r", DIGEST, len(DATA), sink
        )
        assert sink.getvalue() == DATA
        assert [("Authorization" in h) for _, _, h in other.asked] == [False]
    finally:
        other.server.shutdown()
        other.server.server_close()


def test_a_proxy_that_is_set_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Server()
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    proxy.routes["GET http://registry.example.invalid/v2/"] = reply(200)
    registry = Registry(
        "registry.example.invalid", insecure=True, proxy=f"http://{proxy.host}", anonymous=True
    )
    registry.ping()
    assert proxy.asked[0][1] == "http://registry.example.invalid/v2/"
    proxy.server.shutdown()
    proxy.server.server_close()


def test_something_that_is_no_registry_is_named(server: Server, registry: Registry) -> None:
    with pytest.raises(RegistryError, match="is no registry"):
        registry.push_manifest("r", "v1", types.INDEX, types.index_bytes([]))
    assert isinstance(DIGEST, Digest)
