from __future__ import annotations

import os
import re
import shutil

import pytest
from package_archives import end_signer, make_signer, wheel_bytes, write_index, write_sources

from ssds.core.digest import sha256_of
from ssds.core.errors import InvalidValue, UnavailableError
from ssds.core.pins import PinnedFile, SourcePin
from ssds.host.mirrors import Mirrors
from ssds.kinds.api import Bench
from ssds.kinds.source.resolve import resolve_source
from ssds.kinds.source.run import run
from ssds.kinds.source.spec import node
from ssds.lock.parse_pins import URL
from ssds.oci.blobs import Blobs
from ssds.recipe.steps import SourceRequest
from ssds.store.store import Store

DATA = b"an upstream archive"
ORIG = "tool_1.0.orig.tar.gz"
FILES = {
    ORIG: DATA,
    "tool_1.0.orig-extra.tar.gz": b"more",
    "tool_1.0-1.debian.tar.xz": b"packaging",
    "tool_1.0-1.dsc": b"description",
}
has_tools = pytest.mark.skipif(
    not all(shutil.which(name) for name in ("apt-get", "gpg", "gpgv")), reason="needs apt and gpg"
)


def pin(url: str = "https://example.org/a/tool-1.0.tar.gz", data: bytes = DATA) -> SourcePin:
    request = SourceRequest(name="x", url=url, sha256=sha256_of(data))
    return resolve_source(request, Mirrors(), "/nonexistent")


def test_an_address_with_a_sha256_is_pinned_at_once():
    found = pin()
    assert found.file.name == "tool-1.0.tar.gz"
    assert found.file.digest == sha256_of(DATA)
    assert found.file.urls == ("https://example.org/a/tool-1.0.tar.gz",)


@pytest.mark.parametrize("url", ["https://get.example.org", "https://example.org/download/"])
def test_an_address_without_a_files_name_is_called_as_its_source_and_the_lock_holds_it(url):
    found = pin(url).file
    assert found.name == "x"
    assert re.fullmatch(URL, found.urls[0])


@pytest.mark.parametrize("url", ["https://example.org/..", "https://x/a%2fb"])
def test_an_address_that_names_no_file_needs_a_name(url):
    with pytest.raises(InvalidValue) as caught:
        pin(url)
    assert "file:" in caught.value.hint


def test_an_address_without_sha256_is_refused():
    with pytest.raises(InvalidValue, match="sha256"):
        resolve_source(SourceRequest(name="x", url="https://example.org/a"), Mirrors(), "/none")


def test_an_address_without_sha256_is_pinned_as_it_comes_once(tmp_path):
    (tmp_path / "tool-1.0.tar.gz").write_bytes(DATA)
    mirrors = Mirrors(url_prefixes={"https://example.org/a": f"file://{tmp_path}"})
    request = SourceRequest(name="x", url="https://example.org/a/tool-1.0.tar.gz")
    blobs = Blobs(str(tmp_path / "blobs"))
    found = resolve_source(request, mirrors, str(tmp_path), blobs=blobs).file
    assert (found.name, found.digest) == ("tool-1.0.tar.gz", sha256_of(DATA))
    assert (found.size_bytes, found.urls) == (len(DATA), (request.url,))
    assert blobs.read(found.digest) == DATA


def test_an_address_that_gives_nothing_is_not_pinned(tmp_path, monkeypatch):
    monkeypatch.setattr("ssds.host.fetch.ATTEMPTS", 1)
    mirrors = Mirrors(url_prefixes={"https://example.invalid/": f"file://{tmp_path}/"})
    request = SourceRequest(name="x", url="https://example.invalid/a/tool-1.0.tar.gz")
    blobs = Blobs(str(tmp_path / "blobs"))
    with pytest.raises(UnavailableError, match=r"tool-1\.0"):
        resolve_source(request, mirrors, str(tmp_path), blobs=blobs)
    assert not list(blobs.all())


def test_the_same_bytes_are_the_same_node_whatever_their_address():
    request = SourceRequest(name="x", url="https://example.org/a/tool-1.0.tar.gz")
    one = node(request, pin())
    other = node(
        SourceRequest(name="other", deb_src="tool/1.0-1"),
        pin("https://second.example.org/tool-1.0.tar.gz"),
    )
    assert one.id == other.id
    assert one.resolve({}).key == other.resolve({}).key
    assert one.fixed == {"file": sha256_of(DATA)}
    assert node(request, pin(data=b"else")).id != one.id


def test_without_a_pin_the_node_is_not_locked():
    made = node(SourceRequest(name="orig", deb_src="tool/1.0-1"), None)
    assert made.unpinned == ("source orig",)
    assert made.fixed == {}


def test_running_brings_the_bytes_into_the_store_and_tries_mirrors_of_the_recipe(tmp_path):
    store = Store(str(tmp_path / "store"))
    (tmp_path / "debian" / "pool").mkdir(parents=True)
    (tmp_path / "debian" / "pool" / "x").write_bytes(DATA)
    file = PinnedFile(
        name="x", digest=sha256_of(DATA), size_bytes=len(DATA), archive="debian", path="pool/x"
    )
    made = node(
        SourceRequest(name="x", deb_src="x/1"), SourcePin(request=sha256_of(b""), file=file)
    )
    bench = Bench(
        action=made.resolve({}),
        store=store,
        sandbox=None,
        mirrors=Mirrors(debian=(f"file://{tmp_path}/debian",)),
        folder=str(tmp_path),
        workspace=str(tmp_path),
        say=lambda _: None,
        log=lambda _: None,
    )
    assert run(bench).outputs == {"file": sha256_of(DATA)}
    assert store.blobs.read(sha256_of(DATA)) == DATA


@pytest.fixture(scope="module")
def mirrors(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("sources"))
    signer = make_signer(folder)
    root = os.path.join(folder, "debian")
    write_sources(root, "tool", "1.0-1", FILES, signer=signer)
    write_index(
        os.path.join(folder, "simple"),
        {
            "my-tool": {
                "my_tool-1.0.tar.gz": DATA,
                "my-tool-2.0.zip": b"zip",
                "my_tool-1.0-py3-none-any.whl": wheel_bytes("my_tool", "1.0"),
            }
        },
    )
    yield Mirrors(
        debian=(f"file://{root}",),
        suites=("bookworm",),
        own_pypi=(f"file://{folder}/simple",),
        keyring=signer.keyring,
    )
    end_signer(signer)


@has_tools
def test_a_debian_source_gives_its_upstream_archive(mirrors, tmp_path):
    found = resolve_source(SourceRequest(name="x", deb_src="tool/1.0-1"), mirrors, str(tmp_path))
    assert found.file == PinnedFile(
        name=ORIG,
        digest=sha256_of(DATA),
        size_bytes=len(DATA),
        archive="debian",
        path=f"pool/main/t/tool/{ORIG}",
    )
    assert found.epoch == 1584198566


@has_tools
def test_another_file_of_a_debian_source_can_be_chosen(mirrors, tmp_path):
    name = "tool_1.0-1.debian.tar.xz"
    request = SourceRequest(name="x", deb_src="tool/1.0-1", file=name)
    assert resolve_source(request, mirrors, str(tmp_path)).file.name == name
    request = SourceRequest(name="x", deb_src="tool/1.0-1", file="nothing")
    with pytest.raises(UnavailableError) as caught:
        resolve_source(request, mirrors, str(tmp_path))
    assert name in caught.value.hint


@has_tools
def test_a_vanished_source_version_shows_the_known_ones(mirrors, tmp_path):
    with pytest.raises(UnavailableError, match=r"tool 0\.9-1") as caught:
        resolve_source(SourceRequest(name="x", deb_src="tool/0.9-1"), mirrors, str(tmp_path))
    assert "1.0-1" in caught.value.hint


@pytest.mark.parametrize("text", ["tool", "/1", "tool/", "-o/1", "Tool/1", "a b/1", "tool/1 2"])
def test_what_is_no_debian_source_is_refused(text, tmp_path):
    with pytest.raises(InvalidValue):
        resolve_source(SourceRequest(name="x", deb_src=text), Mirrors(), str(tmp_path))


@pytest.mark.parametrize(
    ("asked", "file", "name"),
    [
        ("my_tool/1.0", "", "my_tool-1.0.tar.gz"),
        ("My.Tool/2", "", "my-tool-2.0.zip"),
        ("my-tool/1.0", "my_tool-1.0-py3-none-any.whl", "my_tool-1.0-py3-none-any.whl"),
    ],
)
def test_a_python_release_gives_its_source_archive_or_the_named_file(asked, file, name, mirrors):
    found = resolve_source(SourceRequest(name="x", pypi=asked, file=file), mirrors, "/none").file
    assert (found.name, found.archive, found.path) == (name, "pypi", f"my-tool/{name}")
    assert found.size_bytes > 0


@pytest.mark.parametrize(
    ("asked", "file"), [("my-tool/9", ""), ("my-tool/1.0", "other.whl"), ("unknown/1", "")]
)
def test_a_python_release_that_is_not_there_is_named(asked, file, mirrors):
    with pytest.raises(UnavailableError) as caught:
        resolve_source(SourceRequest(name="x", pypi=asked, file=file), mirrors, "/none")
    assert caught.value.hint


@pytest.mark.parametrize("text", ["thing", "thing/", "a b/1", "thing/one two", "../x/1"])
def test_what_is_no_python_release_is_refused(text, mirrors):
    with pytest.raises((InvalidValue, UnavailableError)):
        resolve_source(SourceRequest(name="x", pypi=text), mirrors, "/none")
