"""Object stores: addresses, signatures, uploads that a later run continues, checked bytes."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from object_servers import UploadServer, running_s3, upload_servers

from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import InvalidValue, SsdsError, UsageError
from ssds.objects import s3, swift
from ssds.objects.address import parse_address
from ssds.objects.plug import ObjectStore, Request, open_store, put_checked
from ssds.objects.s3 import S3, Keys, find_keys, signed
from ssds.oci.answers import RegistryError
from ssds.oci.transport import Access

ACCESS = Access(insecure=True)
KEYS = Keys(access="lab", secret="hidden-word", token="of-a-session")


@pytest.fixture(scope="module")
def s3_host() -> Iterator[str]:
    with running_s3() as host:
        yield host


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[UploadServer]:
    with upload_servers() as made:
        monkeypatch.setattr("ssds.objects.plug.BACKOFF_S", (0.0,))
        monkeypatch.setenv("ST_AUTH", f"http://{made.host}/auth/v1.0")
        monkeypatch.setenv("ST_USER", "lab:ci")
        monkeypatch.setenv("ST_KEY", "for-this-test")
        yield made


def put(store: ObjectStore, data: bytes, digest: Digest | None = None) -> None:
    put_checked(store, "big", digest or sha256_of(data), len(data), lambda: io.BytesIO(data))


def content(store: ObjectStore, key: str = "big") -> bytes:
    found = store.read(key)
    assert found is not None
    return b"".join(found)


def test_addresses_say_who_speaks_and_hold_no_password() -> None:
    found = parse_address("s3+https://s3.example.org/depot/tools?region=eu-central-1")
    assert (found.kind, found.base, found.path) == ("s3", "https://s3.example.org", "depot/tools")
    assert found.region == "eu-central-1"
    assert parse_address("https://files.example.org/up").kind == "put"
    assert parse_address("swift+https://example.org/v1/AUTH_a/depot").kind == "swift"
    for text in (
        *("", "depot", "ftp://example.org/x", "s3+https://example.org", "s4+https://example.org/x"),
        *("https://user:word@example.org/x", "https://example.org/x?token=word", "https://"),
    ):
        with pytest.raises(InvalidValue):
            parse_address(text)


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("GET", "depot/sha256/ab/abcd", {}),
        ("PUT", "depot/a+b ~(1)/x_1.0-r1.sif", {"partNumber": "2", "uploadId": "a/b=="}),
        ("GET", "depot", {"uploads": "", "prefix": "tools/a b"}),
    ],
)
def test_signatures_are_those_of_the_makers_library(
    method: str, path: str, query: dict[str, str]
) -> None:
    botocore = pytest.importorskip("botocore.auth")
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    now = dt.datetime.now(dt.UTC)
    request = Request(method=method, path=path, query=query, headers={})
    theirs = AWSRequest(method=method, url=f"https://s3.example.org{request.target}")
    theirs.headers["x-amz-content-sha256"] = request.sha256
    theirs.headers["x-amz-date"] = now.strftime("%Y%m%dT%H%M%SZ")
    theirs.headers["x-amz-security-token"] = KEYS.token
    signer = botocore.S3SigV4Auth(
        Credentials(KEYS.access, KEYS.secret, KEYS.token), "s3", "eu-central-1"
    )
    theirs.context["timestamp"] = now.strftime("%Y%m%dT%H%M%SZ")
    text = signer.string_to_sign(theirs, signer.canonical_request(theirs))
    ours = signed(request, "s3.example.org", "eu-central-1", KEYS, now)
    assert ours["Authorization"].endswith(f"Signature={signer.signature(text, theirs)}")


def test_keys_come_from_the_environment_or_the_file_and_are_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("[lab]\naws_access_key_id = a\naws_secret_access_key = hidden-word\n")
    env = {"AWS_SHARED_CREDENTIALS_FILE": str(file), "AWS_PROFILE": "lab"}
    found = find_keys("h", env)
    assert (found.access, found.secret) == ("a", "hidden-word")
    assert "hidden-word" not in repr(found)
    both = {**env, "AWS_ACCESS_KEY_ID": "b", "AWS_SECRET_ACCESS_KEY": "c"}
    assert find_keys("h", both).access == "b"
    with pytest.raises(UsageError):
        find_keys("h", {"HOME": str(tmp_path)})


def test_s3_continues_an_upload_that_was_cut(s3_host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "PART_BYTES", 5 * 1024 * 1024)
    store = S3(parse_address(f"s3+http://{s3_host}/depot/parts"), ACCESS, KEYS)
    data = bytes(range(256)) * (11 * 4096)
    sent: list[int] = []
    original = requests.Session.request

    def counting(self: object, method: str, url: str, **more: object) -> object:
        if "partNumber=" in url:
            sent.append(int(url.partition("partNumber=")[2].partition("&")[0]))
            if len(sent) == 2:
                raise requests.exceptions.SSLError("cut")
        return original(self, method, url, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(requests.Session, "request", counting)
    with pytest.raises(RegistryError):
        put(store, data)
    assert store.size("big") is None
    put(store, data)
    assert sent == [1, 2, 2, 3]
    assert content(store) == data


def test_parts_are_joined_by_the_tags_that_the_store_gave_them(
    s3_host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.s3.models import FakeKey

    plain = FakeKey.etag.fget
    encrypted = property(lambda self: plain(self)[::-1])  # as with SSE-KMS: no MD5
    monkeypatch.setattr(s3, "PART_BYTES", 5 * 1024 * 1024)
    store = S3(parse_address(f"s3+http://{s3_host}/depot/kms"), ACCESS, KEYS)
    data = bytes(range(256)) * (6 * 4096)
    monkeypatch.setattr(FakeKey, "etag", encrypted)
    put(store, data)
    assert content(store) == data


def test_swift_continues_after_the_segments_that_are_there(
    server: UploadServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swift, "SEGMENT_BYTES", 1000)
    store = open_store(parse_address(f"swift+http://{server.host}/v1/AUTH_lab/depot/x"), ACCESS)
    data = bytes(range(250)) * 10
    put(store, data)
    assert content(store) == data
    server.lists.clear()
    server.asked.clear()
    put(store, data)
    assert sum(line.startswith("PUT") for line in server.asked) == 1
    assert not store.copy("big", "other", len(data))


def test_swift_removes_small_objects_and_large_ones_with_their_segments(
    server: UploadServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(parse_address(f"swift+http://{server.host}/v1/AUTH_lab/depot/x"), ACCESS)
    put(store, b"small")
    store.delete("big")
    assert store.size("big") is None
    monkeypatch.setattr(swift, "SEGMENT_BYTES", 1000)
    put(store, bytes(2500))
    assert len(server.objects) == 3
    store.delete("big")
    assert (server.objects, server.lists) == ({}, {})
    store.delete("big")


def test_a_swift_token_that_has_ended_is_renewed(server: UploadServer) -> None:
    store = open_store(parse_address(f"swift+http://{server.host}/v1/AUTH_lab/depot/x"), ACCESS)
    put(store, b"one")
    server.token = "second"
    put(store, b"two")
    assert content(store) == b"two"
    assert store.copy("big", "other", 3)
    assert content(store, "other") == b"two"


def test_other_bytes_are_named_and_removed_only_where_the_key_says_the_digest(
    server: UploadServer,
) -> None:
    store = open_store(parse_address(f"http://{server.host}/up"), ACCESS)
    data = b"0123456789"
    digest = sha256_of(data)
    server.spoil = True
    for key in (f"sha256/{digest.hex}", "tool/index.json"):
        with pytest.raises(SsdsError) as caught:
            put_checked(store, key, digest, len(data), lambda: io.BytesIO(data))
        assert caught.value.code == "O201"
    assert list(server.objects) == ["/up/tool/index.json"]


@pytest.mark.parametrize("kind", ["s3", "put", "swift"])
def test_a_small_object_is_only_put_where_none_was_when_that_is_asked(
    kind: str, s3_host: str, server: UploadServer
) -> None:
    store: ObjectStore = S3(parse_address(f"s3+http://{s3_host}/depot/swap"), ACCESS, KEYS)
    if kind != "s3":
        address = "http://{}/up" if kind == "put" else "swift+http://{}/v1/AUTH_lab/depot/x"
        store = open_store(parse_address(address.format(server.host)), ACCESS)
    assert store.look("big") is None
    assert store.swap("big", b"one", None)
    assert not store.swap("big", b"two", None)
    found = store.look("big")
    assert found is not None
    assert b"".join(found[0]) == b"one"
    assert store.swap("big", b"three", found[1])
    if kind == "put":
        assert not store.swap("big", b"four", found[1])
    assert content(store) == b"three"


@pytest.mark.parametrize("kind", ["s3", "put"])
def test_damaged_bytes_are_not_sent(kind: str, s3_host: str, server: UploadServer) -> None:
    store: ObjectStore = S3(parse_address(f"s3+http://{s3_host}/depot/bad"), ACCESS, KEYS)
    if kind == "put":
        store = open_store(parse_address(f"http://{server.host}/up"), ACCESS)
    with pytest.raises(SsdsError):
        put(store, b"0123456789", sha256_of(b"9876543210"))
    assert store.size("big") is None


def test_a_refusal_is_told_with_its_status_and_tried_again_only_where_that_helps(
    server: UploadServer,
) -> None:
    store = open_store(parse_address(f"http://{server.host}/up"), ACCESS)
    for status, attempts in ((503, 3), (403, 1)):
        server.asked.clear()
        server.refuse = status
        with pytest.raises(RegistryError) as caught:
            put(store, b"x")
        assert caught.value.status == status
        assert sum(line.startswith("PUT") for line in server.asked) == attempts
    assert store.read("nothing") is None


@pytest.mark.parametrize("text", ["s3+https://[x/b", "https://[::1/x", "swift+https://]/v1/a/b"])
def test_brackets_that_hold_no_address_are_told(text: str) -> None:
    with pytest.raises(InvalidValue, match="is not the address of an object store"):
        parse_address(text)
