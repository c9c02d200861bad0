from __future__ import annotations

import os

import pytest
from package_archives import wheel_bytes, write_index

from ssds.core.digest import sha256_of
from ssds.core.errors import IntegrityError, InvalidValue, SsdsError, UnavailableError
from ssds.core.pins import PinnedFile
from ssds.host.mirrors import Mirrors
from ssds.store.fetch import (
    fetch_file,
    fetch_files,
    fetch_what_can_be_had,
    what_is_gone,
    where,
)
from ssds.store.store import Store

DATA = b"the bytes of a package"


def quiet(_: str) -> None:
    pass


@pytest.fixture
def store(tmp_path):
    made = Store(str(tmp_path / "store"))
    yield made
    made.close()


def mirror(folder, files: dict[str, bytes]) -> str:
    for path, data in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return f"file://{folder}"


def pinned(path: str, data: bytes = DATA, archive: str = "debian", **more) -> PinnedFile:
    name = path.rpartition("/")[2]
    return PinnedFile(
        name=name,
        digest=sha256_of(data),
        size_bytes=len(data),
        archive=archive,
        path=path,
        **more,
    )


def test_a_file_comes_from_its_archives_mirror_once(store, tmp_path):
    root = mirror(tmp_path / "debian", {"pool/x.deb": DATA})
    file = pinned("pool/x.deb")
    lines: list[str] = []
    path = fetch_file(store, file, Mirrors(debian=(root,)), lines.append)
    with open(path, "rb") as opened:
        assert opened.read() == DATA
    assert lines
    assert fetch_file(store, file, Mirrors(), quiet) == path


def test_many_files_are_fetched_and_doubles_once(store, tmp_path):
    files = {f"pool/{n}.deb": f"content {n}".encode() for n in range(40)}
    root = mirror(tmp_path / "debian", files)
    pins = [pinned(path, data) for path, data in files.items()]
    found = fetch_files(store, [*pins, *pins], Mirrors(debian=(root,)), quiet)
    assert len(found) == 40
    assert all(os.path.isfile(path) for path in found.values())


def test_a_vanished_file_names_the_mirror_and_what_to_do(store, tmp_path):
    root = mirror(tmp_path / "debian", {"pool/other.deb": b""})
    with pytest.raises(UnavailableError, match=r"gone\.deb") as caught:
        fetch_file(store, pinned("pool/gone.deb"), Mirrors(debian=(root,)), quiet)
    assert "ssds lock" in caught.value.hint


def test_an_upstream_address_helps_where_the_archive_lost_it_and_the_next_mirror_too(
    store, tmp_path
):
    empty = mirror(tmp_path / "empty", {"x": b""})
    full = mirror(tmp_path / "full", {"pool/x.deb": DATA})
    file = pinned("pool/x.deb")
    assert fetch_file(store, file, Mirrors(debian=(empty, full)), quiet)


@pytest.mark.parametrize("data", [b"other bytes", DATA + b"more", DATA[:-1]])
def test_wrong_bytes_leave_nothing_in_the_store(data, store, tmp_path):
    root = mirror(tmp_path / "debian", {"pool/x.deb": data})
    with pytest.raises(IntegrityError):
        fetch_file(store, pinned("pool/x.deb"), Mirrors(debian=(root,)), quiet)
    assert list(store.blobs.all()) == []
    assert store.verify() == []


@pytest.mark.parametrize(
    "file",
    [
        pinned("../../etc/passwd"),
        pinned("/etc/passwd"),
        pinned("pool/x", archive="elsewhere"),
        pinned("x.whl", archive="pypi"),
        pinned("../x/x.whl", archive="pypi"),
        pinned("a/b/x.whl", archive="pypi"),
    ],
)
def test_a_hostile_lock_reaches_no_other_place(file, store, tmp_path):
    mirrors = Mirrors(debian=(f"file://{tmp_path}",), own_pypi=(f"file://{tmp_path}",))
    with pytest.raises(SsdsError) as caught:
        fetch_file(store, file, mirrors, quiet)
    assert isinstance(caught.value, InvalidValue | UnavailableError)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "/etc/passwd", "ftp://example.invalid/x"])
def test_an_upstream_address_never_reads_this_machines_files(url, store):
    file = PinnedFile(name="x", digest=sha256_of(DATA), urls=(url,))
    with pytest.raises(UnavailableError):
        fetch_file(store, file, Mirrors(), quiet)


def test_a_wheel_is_found_by_name_and_digest(store, tmp_path):
    data = wheel_bytes("thing", "1.0")
    write_index(str(tmp_path / "simple"), {"thing": {"thing-1.0-py3-none-any.whl": data}})
    mirrors = Mirrors(own_pypi=(f"file://{tmp_path}/simple",))
    file = pinned("thing/thing-1.0-py3-none-any.whl", data, archive="pypi")
    assert fetch_file(store, file, mirrors, quiet)
    other = pinned("thing/thing-1.0-py3-none-any.whl", b"other", archive="pypi")
    with pytest.raises(UnavailableError, match="another sha256"):
        fetch_file(store, other, mirrors, quiet)
    with pytest.raises(UnavailableError, match="none of the configured"):
        fetch_file(store, pinned("nothing/x.whl", archive="pypi"), mirrors, quiet)


def test_a_wheel_in_a_find_links_folder_is_found(store, tmp_path):
    data = wheel_bytes("thing", "1.0")
    mirror(tmp_path / "links", {"thing-1.0-py3-none-any.whl": data})
    (tmp_path / "simple").mkdir()
    mirrors = Mirrors(
        own_pypi=(f"file://{tmp_path}/simple",), own_find_links=(str(tmp_path / "links"),)
    )
    file = pinned("thing/thing-1.0-py3-none-any.whl", data, archive="pypi")
    assert fetch_file(store, file, mirrors, quiet)


def test_where_bytes_could_come_from_is_told_without_asking(store):
    mirrors = Mirrors(debian=("http://example.invalid/debian",))
    file = pinned("pool/x.deb")
    assert where(store, file, mirrors) == "debian"
    assert where(store, file, Mirrors()) == ""
    upstream = PinnedFile(name="x", digest=sha256_of(DATA), urls=("https://example.org/x",))
    assert where(store, upstream, mirrors) == "url"
    store.blobs.put(DATA)
    assert where(store, file, mirrors) == "store"


def test_a_user_who_stops_stops_the_fetching(store, tmp_path):
    root = mirror(tmp_path / "debian", {"pool/x.deb": DATA})
    with pytest.raises(UnavailableError, match="stopped"):
        fetch_files(
            store, [pinned("pool/x.deb")], Mirrors(debian=(root,)), quiet, stopping=lambda: True
        )


# --- blob mirrors --------------------------------------------------------------------------------


def blob_mirror(folder, *contents: bytes, instead: bytes | None = None) -> str:
    files = {f"blobs/sha256/{sha256_of(data).hex}": data for data in contents}
    return mirror(folder, {k: v if instead is None else instead for k, v in files.items()})


def test_a_blob_mirror_has_what_the_archive_has_deleted(store, tmp_path):
    root = blob_mirror(tmp_path / "blobs", DATA)
    mirrors = Mirrors(debian=(mirror(tmp_path / "debian", {}),), blobs=(root,))
    assert fetch_file(store, pinned("pool/x.deb"), mirrors, quiet)
    bare = PinnedFile(name="bare", digest=sha256_of(DATA))
    assert what_is_gone(Store(str(tmp_path / "other")), [bare], mirrors) == {}


def test_other_bytes_of_a_blob_mirror_are_named_and_the_next_in_turn_is_asked(store, tmp_path):
    wrong = blob_mirror(tmp_path / "wrong", DATA, instead=b"the bytes of another one")
    right = mirror(tmp_path / "debian", {"pool/x.deb": DATA})
    lines: list[str] = []
    fetch_file(store, pinned("pool/x.deb"), Mirrors(debian=(right,), blobs=(wrong,)), lines.append)
    assert [line for line in lines if "other bytes" in line and wrong in line]
    assert store.blobs.read(sha256_of(DATA)) == DATA


def test_mirrors_that_all_fail_are_all_named_and_other_bytes_weigh_most(store, tmp_path):
    wrong = blob_mirror(tmp_path / "wrong", DATA, instead=b"other")
    gone = mirror(tmp_path / "debian", {})
    with pytest.raises(IntegrityError) as caught:
        fetch_file(store, pinned("pool/x.deb"), Mirrors(debian=(gone,), blobs=(wrong,)), quiet)
    assert caught.value.code == "F044"
    assert wrong in caught.value.message
    assert gone in caught.value.message
    assert not store.blobs.has(sha256_of(DATA))


def test_every_file_that_cannot_be_had_is_told_and_the_others_come(store, tmp_path):
    mirrors = Mirrors(debian=(mirror(tmp_path / "debian", {"pool/x.deb": DATA}),))
    files = [pinned("pool/x.deb"), pinned("pool/y.deb", b"y"), pinned("pool/z.deb", b"z")]
    assert set(what_is_gone(store, files, mirrors)) == {sha256_of(b"y"), sha256_of(b"z")}
    assert not store.blobs.has(sha256_of(DATA))  # a look fetches nothing
    failed = fetch_what_can_be_had(store, files, mirrors, quiet)
    assert {digest: error.code for digest, error in failed.items()} == {
        sha256_of(b"y"): "F053",
        sha256_of(b"z"): "F053",
    }
    assert store.blobs.has(sha256_of(DATA))
    assert fetch_what_can_be_had(store, files[:1], Mirrors(), quiet) == {}
