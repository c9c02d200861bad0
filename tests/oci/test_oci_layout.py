"""Image layouts on disk: atomic names, foreign folders, other tools."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from oci_makers import put_release

from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import IntegrityError, InvalidValue, UnavailableError
from ssds.oci.layout import Layout, not_made_yet
from ssds.oci.types import INDEX, REF_NAME, Descriptor
from ssds.ship.backend_layout import LayoutChannel


def test_names_are_set_moved_and_removed_and_others_stay(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "l"))
    first, second = put_release(layout.blobs), put_release(layout.blobs, b"2")
    layout.set_tags({"probe:1.0-r1": first, "probe:1.0": first})
    layout.set_tags({"probe:1.0": second, "probe:1.0-r2": second})
    layout.set_tags({}, remove=["probe:1.0-r2", "never:was"])
    tags = Layout(str(tmp_path / "l"), create=False).tags()
    assert {name: d.digest for name, d in tags.items()} == {
        "probe:1.0-r1": first.digest,
        "probe:1.0": second.digest,
    }
    assert json.loads((tmp_path / "l/oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}


def test_entries_of_others_keep_every_field(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "l"))
    release = put_release(layout.blobs)
    foreign = {
        "mediaType": INDEX,
        "digest": str(release.digest),
        "size": release.size_bytes,
        "urls": ["https://example.org/x"],
        "data": "eA==",
        "annotations": {REF_NAME: "theirs", "org.example.x": "y"},
    }
    unnamed = {"mediaType": INDEX, "digest": str(release.digest), "size": release.size_bytes}
    (tmp_path / "l/index.json").write_text(
        json.dumps({"schemaVersion": 2, "manifests": [foreign, unnamed], "x-other": {"a": None}})
    )
    layout.set_tags({"ours": release})
    document = json.loads((tmp_path / "l/index.json").read_text())
    assert document["manifests"][:2] == [foreign, unnamed]
    assert document["x-other"] == {"a": None}
    assert set(layout.tags()) == {"theirs", "ours"}


def test_a_name_without_its_blob_is_refused(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "l"))
    ghost = Descriptor(media_type=INDEX, digest=Digest("sha256:" + "0" * 64), size_bytes=1)
    with pytest.raises(UnavailableError, match="has no blob"):
        layout.set_tags({"x": ghost})
    with pytest.raises(InvalidValue, match="cannot be the name"):
        layout.set_tags({"a b\n": put_release(layout.blobs)})
    assert layout.tags() == {}


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("something else", {"notes.txt": b"mine"}),
        ("a mark that is no JSON", {"oci-layout": b"{"}),
        ("another version", {"oci-layout": b'{"imageLayoutVersion":"2.0.0"}'}),
        ("a huge mark", {"oci-layout": b" " * 5000}),
    ],
)
def test_a_foreign_or_damaged_folder_is_refused_and_left_alone(
    tmp_path: Path, name: str, files: dict[str, bytes]
) -> None:
    for file, data in files.items():
        (tmp_path / file).write_bytes(data)
    with pytest.raises(IntegrityError) as caught:
        Layout(str(tmp_path))
    assert caught.value.hint
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == files


@pytest.mark.parametrize(
    "index",
    [
        None,
        b"",
        b"[]",
        b'{"schemaVersion":2,"manifests":[{}]}',
        b'{"schemaVersion":2,"manifests":[],"manifests":[]}',
    ],
)
def test_a_damaged_index_is_refused_for_reading_and_writing(
    tmp_path: Path, index: bytes | None
) -> None:
    layout = Layout(str(tmp_path / "l"))
    release = put_release(layout.blobs)
    path = tmp_path / "l/index.json"
    path.unlink() if index is None else path.write_bytes(index)
    with pytest.raises(IntegrityError):
        layout.tags()
    with pytest.raises(IntegrityError):
        layout.set_tags({"x": release})
    assert (path.read_bytes() if path.exists() else None) == index


def test_one_name_for_two_images_is_refused(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "l"))
    entries = [
        {**put_release(layout.blobs, mark).to_json(), "annotations": {REF_NAME: "x"}}
        for mark in (b"1", b"2")
    ]
    (tmp_path / "l/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    with pytest.raises(IntegrityError, match="twice"):
        layout.tags()


def test_a_missing_layout_is_only_made_when_asked(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="no image layout"):
        Layout(str(tmp_path / "none"), create=False)
    assert not (tmp_path / "none").exists()


def test_a_layout_whose_making_was_killed_is_finished(tmp_path: Path) -> None:
    (tmp_path / "blobs/sha256").mkdir(parents=True)
    (tmp_path / ".ssds-tmp-1-aa").touch()
    assert Layout(str(tmp_path)).tags() == {}


def test_a_blob_is_read_with_its_digest_checked(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "l"))
    digest = layout.put_blob(b"hello")
    assert digest == sha256_of(b"hello")
    assert layout.read(digest) == b"hello"
    assert b"".join(layout.chunks(digest)) == b"hello"


@pytest.mark.component("skopeo")
def test_skopeo_reads_each_platform_and_copies_the_release_unchanged(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "l"))
    release = put_release(layout.blobs)
    layout.set_tags({"probe-1.0": release})

    def skopeo(*arguments: str) -> bytes:
        done = subprocess.run(["skopeo", *arguments], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    where = f"oci:{tmp_path}/l:probe-1.0"
    assert skopeo("inspect", "--raw", where) == layout.read(release.digest)
    for architecture in ("amd64", "arm64"):
        seen = json.loads(skopeo("--override-arch", architecture, "inspect", where))
        assert seen["Architecture"] == architecture
        assert seen["Created"] == "2023-11-14T22:13:20Z"
        assert len(seen["Layers"]) == 2
    skopeo("copy", "-q", "--all", "--preserve-digests", where, f"oci:{tmp_path}/copy:x")
    copied = Layout(str(tmp_path / "copy"), create=False)
    assert copied.tags()["x"].digest == release.digest
    assert set(copied.blobs.all()) == set(layout.blobs.all())
    assert os.listdir(tmp_path / "l") != []


def test_many_writers_may_make_the_same_layout_at_once(tmp_path: Path) -> None:
    for number in range(20):
        start = threading.Barrier(6)

        def make(folder: str, start: threading.Barrier = start) -> Layout:
            start.wait()
            return Layout(folder)

        with ThreadPoolExecutor(6) as pool:
            made = list(pool.map(make, [str(tmp_path / str(number))] * 6))
        assert all(layout.tags() == {} for layout in made)


def test_a_layout_whose_writer_was_killed_before_its_mark_is_not_made_yet(tmp_path: Path) -> None:
    assert not_made_yet(str(tmp_path / "absent"))
    (tmp_path / "blobs").mkdir()
    (tmp_path / "index.json").write_text("{}")
    assert not_made_yet(str(tmp_path))
    channel = LayoutChannel(str(tmp_path))
    assert channel.looker()("a").tags == {}
    (tmp_path / "thesis.txt").write_text("mine")
    assert not not_made_yet(str(tmp_path))
    assert not not_made_yet(Layout(str(tmp_path / "made")).path)
