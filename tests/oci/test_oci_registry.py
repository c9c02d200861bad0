"""The registry client against a real registry on loopback."""

from __future__ import annotations

import base64
import io
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from oci_makers import put_release
from registry_server import free_port, running_registry

from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import IntegrityError, InvalidValue
from ssds.core.platform import Platform
from ssds.oci import types
from ssds.oci.answers import RegistryError
from ssds.oci.blobs import Blobs
from ssds.oci.copy import Repository, copy_release
from ssds.oci.credentials import Credentials
from ssds.oci.layout import Layout
from ssds.oci.registry import Registry

USER = Credentials(user="someone", password="s3cret-word:with colon")
pytestmark = pytest.mark.component("registry")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture(scope="module")
def locked_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    folder = tmp_path_factory.mktemp("locked")
    users = {USER.user: USER.password}
    with running_registry(folder, users=users, tls=True) as address:
        yield address, str(folder / "ca.crt")


def plain(host: str) -> Registry:
    return Registry(host, insecure=True, anonymous=True)


def push(registry: Registry, repository: str, data: bytes) -> Digest:
    digest = sha256_of(data)
    registry.push_blob(repository, digest, len(data), lambda: io.BytesIO(data))
    return digest


def test_a_blob_goes_there_and_back(host: str) -> None:
    registry = plain(host)
    data = os.urandom(3_000_000)
    digest = sha256_of(data)
    assert not registry.has_blob("a/b", digest)
    assert registry.push_blob("a/b", digest, len(data), lambda: io.BytesIO(data)) is True
    assert registry.push_blob("a/b", digest, len(data), lambda: io.BytesIO(data)) is False
    assert registry.blob_size("a/b", digest) == len(data)
    sink = io.BytesIO()
    registry.fetch_blob("a/b", digest, len(data), sink)
    assert sink.getvalue() == data


def test_the_empty_blob_can_be_sent(host: str) -> None:
    registry = plain(host)
    digest = push(registry, "empty", b"")
    sink = io.BytesIO()
    registry.fetch_blob("empty", digest, 0, sink)
    assert sink.getvalue() == b""


def test_wrong_bytes_are_not_sent(host: str) -> None:
    registry = plain(host)
    digest = sha256_of(b"right")
    for wrong in (b"wrong", b"rig", b""):
        with pytest.raises(IntegrityError, match="do not have the digest"):
            registry.push_blob("wrong", digest, 5, lambda w=wrong: io.BytesIO(w))
    assert not registry.has_blob("wrong", digest)


def test_wrong_promises_about_a_blob_are_noticed(host: str) -> None:
    registry = plain(host)
    digest = push(registry, "promise", b"12345")
    for size in (4, 6):
        with pytest.raises(IntegrityError, match="for the blob"):
            registry.fetch_blob("promise", digest, size, io.BytesIO())
    with pytest.raises(RegistryError) as caught:
        registry.fetch_blob("promise", sha256_of(b"none"), 4, io.BytesIO())
    assert (caught.value.status, caught.value.temporary) == (404, False)
    assert caught.value.registry_code == "BLOB_UNKNOWN"


def test_a_blob_is_mounted_from_another_repository(host: str) -> None:
    registry = plain(host)
    digest = push(registry, "mount/from", b"mounted bytes")

    def never() -> io.BytesIO:
        raise AssertionError("the bytes were sent although they could be mounted")

    assert registry.push_blob("mount/to", digest, 13, never, mount_from="mount/from")
    assert registry.has_blob("mount/to", digest)


def test_a_release_goes_there_and_back_byte_for_byte(host: str, tmp_path: Path) -> None:
    registry = plain(host)
    source, sink = Layout(str(tmp_path / "a")), Layout(str(tmp_path / "b"))
    release = put_release(source.blobs)
    there = Repository(registry, "tools/probe")
    said: list[str] = []
    report = copy_release(source, there, release, say=said.append)
    assert len(report.copied) == 8
    assert report.copied[-1] == release.digest
    assert len(said) == 8
    there.set_tag("1.0-r1", release)
    assert registry.tags("tools/probe") == ("1.0-r1",)
    found = registry.head_manifest("tools/probe", "1.0-r1")
    assert found is not None
    assert (found.digest, found.size_bytes, found.media_type) == (
        release.digest,
        release.size_bytes,
        types.INDEX,
    )
    again = copy_release(source, there, release)
    assert (again.copied, again.size_bytes) == ((), 0)
    copy_release(there, sink, found)
    assert list(sink.blobs.all()) == list(source.blobs.all())


def test_skopeo_reads_what_was_pushed(host: str, tmp_path: Path) -> None:
    import shutil
    import subprocess

    if not shutil.which("skopeo"):
        pytest.skip("needs skopeo")
    layout = Layout(str(tmp_path / "a"))
    release = put_release(layout.blobs)
    there = Repository(plain(host), "tools/skopeo")
    copy_release(layout, there, release)
    there.set_tag("1.0", release)
    done = subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{host}/tools/skopeo:1.0"],
        capture_output=True,
        check=True,
    )
    assert done.stdout == layout.read(release.digest)


def test_one_platform_can_be_fetched_alone(host: str, tmp_path: Path) -> None:
    source, sink = Layout(str(tmp_path / "a")), Layout(str(tmp_path / "b"))
    release = put_release(source.blobs)
    there = Repository(plain(host), "tools/one")
    copy_release(source, there, release)
    report = copy_release(there, sink, release, platforms=[Platform("linux/arm64")])
    assert len(report.copied) == 4
    assert not sink.has(release.digest)


def test_a_manifest_is_kept_byte_for_byte_and_checked(host: str) -> None:
    registry = plain(host)
    push(registry, "odd", b"{}")
    data = types.manifest_bytes(
        config=types.descriptor_of(b"{}", types.EMPTY), layers=[], artifact_type="application/x"
    )
    odd = json.dumps(json.loads(data), indent=7).encode() + b"\n\n"
    digest = registry.push_manifest("odd", "v1", types.MANIFEST, odd)
    assert digest == sha256_of(odd)
    assert registry.fetch_manifest("odd", "v1") == (types.MANIFEST, odd, digest)
    assert registry.fetch_manifest("odd", digest)[1] == odd
    with pytest.raises(IntegrityError, match="cannot stand under"):
        registry.push_manifest("odd", sha256_of(b"other"), types.MANIFEST, odd)
    assert registry.head_manifest("odd", "v2") is None


def test_a_manifest_without_its_blobs_is_refused_by_its_code(host: str) -> None:
    data = types.manifest_bytes(config=types.descriptor_of(b"gone", types.CONFIG), layers=[])
    with pytest.raises(RegistryError) as caught:
        plain(host).push_manifest("incomplete", "v1", types.MANIFEST, data)
    assert caught.value.registry_code in ("MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN")
    assert not caught.value.temporary


def referrer(registry: Registry, repository: str, subject: types.Descriptor, text: bytes) -> bytes:
    push(registry, repository, text)
    push(registry, repository, types.EMPTY_BYTES)
    return types.manifest_bytes(
        config=types.descriptor_of(types.EMPTY_BYTES, types.EMPTY),
        layers=[types.descriptor_of(text, "application/vnd.example.metadata.v1+json")],
        subject=subject,
        artifact_type="application/vnd.example.metadata",
    )


def test_referrers_are_attached_replaced_and_listed(host: str, tmp_path: Path) -> None:
    registry = plain(host)
    blobs = Layout(str(tmp_path / "a")).blobs
    release = put_release(blobs)
    copy_release(Layout(str(tmp_path / "a")), Repository(registry, "ref"), release)
    assert registry.referrers("ref", release.digest) == ()
    one = registry.push_referrers("ref", [referrer(registry, "ref", release, b"one")])[0]
    two = registry.push_referrers("ref", [referrer(registry, "ref", release, b"two")])[0]
    again = registry.push_referrers("ref", [referrer(registry, "ref", release, b"two")])[0]
    assert again == two
    found = registry.referrers("ref", release.digest)
    assert {d.digest for d in found} == {one.digest, two.digest}
    assert {d.artifact_type for d in found} == {"application/vnd.example.metadata"}
    assert registry.tags("ref") == (f"sha256-{release.digest.hex}",)
    (three,) = registry.push_referrers(
        "ref", [referrer(registry, "ref", release, b"three")], replaces=[one.digest]
    )
    found = registry.referrers("ref", release.digest)
    assert {d.digest for d in found} == {two.digest, three.digest}
    assert registry.delete_manifest("ref", one.digest) is True
    assert registry.delete_manifest("ref", one.digest) is False


def test_a_repository_that_is_not_there_has_no_tags(host: str) -> None:
    assert plain(host).tags("never/was") == ()


def test_many_tags_are_all_listed(host: str) -> None:
    registry = plain(host)
    push(registry, "many", b"{}")
    data = types.manifest_bytes(config=types.descriptor_of(b"{}", types.EMPTY), layers=[])
    for number in range(30):
        registry.push_manifest("many", f"v{number}", types.MANIFEST, data)
    assert len(registry.tags("many")) == 30


def test_names_that_no_registry_takes_are_refused_before_anything_is_sent(host: str) -> None:
    registry = plain(host)
    for name in ("Upper", "a//b", "../x", "a/", "", "a" * 300):
        with pytest.raises(InvalidValue):
            registry.tags(name)
    for tag in ("a b", "", "x" * 129, "-x", "a/../b"):
        with pytest.raises(InvalidValue):
            registry.fetch_manifest("a", tag)
    for bad in ("https://example.org", "example.org/path", "", "user@example.org", "a b"):
        with pytest.raises(InvalidValue):
            Registry(bad, anonymous=True)


def test_a_locked_registry_takes_a_large_blob_at_once_over_tls(
    locked_host: tuple[str, str],
) -> None:
    host, bundle = locked_host
    registry = Registry(host, ca_bundle=bundle, credentials=USER)
    data = os.urandom(1 << 20) * 40
    digest = sha256_of(data)
    assert registry.push_blob("large", digest, len(data), lambda: io.BytesIO(data))
    sink = io.BytesIO()
    registry.fetch_blob("large", digest, len(data), sink)
    assert sha256_of(sink.getvalue()) == digest


def test_without_or_with_wrong_credentials_a_locked_registry_refuses(
    locked_host: tuple[str, str],
) -> None:
    host, bundle = locked_host
    wrong = Credentials(user="someone", password="not-the-word")
    for registry in (
        Registry(host, ca_bundle=bundle, anonymous=True),
        Registry(host, ca_bundle=bundle, credentials=wrong),
    ):
        with pytest.raises(RegistryError) as caught:
            registry.push_blob("x", sha256_of(b"x"), 1, lambda: io.BytesIO(b"x"))
        assert (caught.value.status, caught.value.code) == (401, "O085")
        assert not caught.value.temporary
        assert "not-the-word" not in str(caught.value) + caught.value.hint
    assert "not-the-word" not in repr(wrong)


def test_credentials_come_from_dockers_configuration(
    locked_host: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, bundle = locked_host
    auth = base64.b64encode(f"{USER.user}:{USER.password}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("SSDS_REGISTRY_USER", raising=False)
    push(Registry(host, ca_bundle=bundle), "docker", b"with dockers login")


def test_an_unknown_authority_is_named_at_once(locked_host: tuple[str, str]) -> None:
    host, _ = locked_host
    started = time.monotonic()
    with pytest.raises(RegistryError, match="certificate verify failed") as caught:
        Registry(host, credentials=USER).ping()
    assert "ca_bundle" in caught.value.hint
    assert time.monotonic() - started < 5


def test_an_address_without_a_registry_fails_within_seconds() -> None:
    started = time.monotonic()
    with pytest.raises(RegistryError, match="gave no answer") as caught:
        plain(f"127.0.0.1:{free_port()}").ping()
    assert caught.value.temporary
    assert "refused" in caught.value.message
    assert time.monotonic() - started < 10


def test_blobs_go_to_a_store_folder(host: str, tmp_path: Path) -> None:
    registry = plain(host)
    digest = push(registry, "folder", b"some bytes")
    blobs = Blobs(str(tmp_path / "blobs"))
    with blobs.writer(expected=digest, size_bytes=10) as writer:
        registry.fetch_blob("folder", digest, 10, writer)
    assert blobs.read(digest) == b"some bytes"
