"""Tags in object stores that others write to at once, behind caches, beside entries of others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from channel_places import CHANNEL, Place, Source, all_of, lock_of, sync
from object_servers import UploadServer, upload_servers
from ship_makers import AMD64, image, release, small_tar, with_sif

from ssds.core.errors import IntegrityError, SsdsError
from ssds.objects.address import parse_address
from ssds.objects.plug import ObjectStore, open_store
from ssds.oci import types
from ssds.oci.blobs import Blobs
from ssds.oci.transport import Access
from ssds.ship.backend_objects import ObjectsChannel, blob_key, sif_key
from ssds.ship.bringing import bring
from ssds.ship.object_tags import read_tags, set_tags

INDEX = "/depot/tool/index.json"


def entry(text: str) -> types.Descriptor:
    return types.descriptor_of(text.encode(), types.INDEX)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[UploadServer]:
    monkeypatch.setattr("ssds.ship.object_tags.PAUSE_S", 0.0)
    with upload_servers() as made:
        yield made


@pytest.fixture
def lab(server: UploadServer, tmp_path: Path) -> Place:
    blobs = Blobs(str(tmp_path / "blobs"))
    store = open_store(parse_address(f"http://{server.host}/depot"), Access(insecure=True))
    channel = replace(CHANNEL, name="lab", kind="objects", location=f"http://{server.host}/depot")
    return Place(backend=ObjectsChannel(store), channel=channel, source=Source(blobs), blobs=blobs)


def store_of(lab: Place) -> ObjectStore:
    assert isinstance(lab.backend, ObjectsChannel)
    return lab.backend.store


def once(server: UploadServer, method: str, count: int, data: bytes) -> None:
    """Another writer's index appears just before the ``count``-th such request is answered."""
    left = [count]

    def first(found: str, path: str) -> None:
        if found == method and path == INDEX:
            left[0] -= 1
            if left[0] == 0:
                server.objects[INDEX] = data

    server.first = first


@pytest.mark.parametrize("compares", [True, False], ids=["compares", "does not compare"])
@pytest.mark.parametrize("there", [True, False], ids=["changed", "made"])
@pytest.mark.parametrize("moment", ["before the put", "before it is read back"])
def test_two_writers_lose_no_tag_and_no_index(
    lab: Place, server: UploadServer, compares: bool, there: bool, moment: str
) -> None:
    store = store_of(lab)
    old = {"0.9-r1": entry("old")} if there else {}
    set_tags(store, "tool", {"0.9-r1": entry("old")})
    theirs = types.index_bytes(
        [
            replace(e, annotations={types.REF_NAME: tag})
            for tag, e in {**old, "2.0-r1": entry("theirs")}.items()
        ]
    )
    if not there:
        del server.objects[INDEX]
    server.compares = compares
    if moment == "before the put":
        once(server, "PUT", 1, theirs)
    else:
        once(server, "GET", 2, theirs)
    set_tags(store, "tool", {"1.0-r1": entry("ours")})
    found, _ = read_tags(store, "tool")
    wanted = {*old, "1.0-r1"}
    if compares or moment != "before the put":  # else nobody can tell that theirs was there
        wanted.add("2.0-r1")
    assert set(found.tags) == wanted


def test_a_cache_that_answers_with_the_old_index_is_told_and_nothing_is_removed(
    lab: Place, server: UploadServer
) -> None:
    set_tags(store_of(lab), "tool", {"0.9-r1": entry("old")})
    server.stale[INDEX] = server.objects[INDEX]
    with pytest.raises(SsdsError, match=r"does not show the tags 1\.0-r1") as caught:
        set_tags(store_of(lab), "tool", {"1.0-r1": entry("ours")})
    assert caught.value.code == "O208"
    server.stale.clear()
    found, _ = read_tags(store_of(lab), "tool")
    assert set(found.tags) == {"0.9-r1", "1.0-r1"}


def test_a_blob_that_is_damaged_in_the_store_is_not_taken(
    lab: Place, server: UploadServer, tmp_path: Path
) -> None:
    lock = lock_of(lab.blobs, "tool")
    sync(lab, lock)
    (found,) = all_of(lock)
    manifest = found.platforms[AMD64].manifest.digest
    server.objects[f"/depot/{blob_key(manifest)}"] = b"{}"
    elsewhere = Source(Blobs(str(tmp_path / "elsewhere")))
    with pytest.raises(IntegrityError) as caught:
        bring(lab.backend, found, {manifest}, elsewhere, lambda _: None)  # type: ignore[arg-type]
    assert caught.value.code == "O207"


def test_a_store_whose_marks_never_match_is_written_all_the_same(
    lab: Place, server: UploadServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_tags(store_of(lab), "tool", {"0.9-r1": entry("old")})
    refusing = "object_servers._Handler._condition"
    monkeypatch.setattr(refusing, lambda self, _: "If-Match" not in self.headers)
    set_tags(store_of(lab), "tool", {"1.0-r1": entry("ours")})
    assert set(read_tags(store_of(lab), "tool")[0].tags) == {"0.9-r1", "1.0-r1"}


def test_entries_of_others_and_a_damaged_index_stay_as_they_are(
    lab: Place, server: UploadServer
) -> None:
    server.objects[INDEX] = types.index_bytes([entry("of somebody"), entry("of another")])
    assert not sync(lab, lock_of(lab.blobs, "tool"))[1].failed
    found, _ = read_tags(store_of(lab), "tool")
    assert [e.digest for e in found.others] == [
        entry("of somebody").digest,
        entry("of another").digest,
    ]
    assert "1.0-r1" in found.tags
    server.objects[INDEX] = b"{"
    with pytest.raises(SsdsError):
        set_tags(store_of(lab), "tool", {"1.0-r2": entry("ours")})
    assert server.objects[INDEX] == b"{"


@pytest.mark.parametrize("more", [b"", b"longer"], ids=["same size", "other size"])
def test_a_sif_file_of_others_under_our_name_is_neither_believed_nor_replaced(
    lab: Place, server: UploadServer, more: bytes
) -> None:
    half = with_sif(lab.blobs, image(lab.blobs, [small_tar({"a": b"x"})], ["tool"], {}))
    lock = release(lab.blobs, half)
    (found,) = all_of(lock)
    file = found.sifs[AMD64].file
    path = f"/depot/{sif_key('tool', '1.0', '1.0-r1', AMD64)}"
    server.objects[path] = theirs = bytes(file.size_bytes) + more
    files = replace(lab, channel=replace(lab.channel, sif=True))
    _, done = sync(files, lock)
    (error,) = done.failed.values()
    assert error.code == "O206"
    assert server.objects[path] == theirs
    assert "tool:1.0-r1-sif" not in done.after.tags
    del server.objects[path]
    assert not sync(files, lock)[1].failed
    assert server.objects[path] == lab.blobs.read(file.digest)
