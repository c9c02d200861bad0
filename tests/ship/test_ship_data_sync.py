"""Reference data goes to channels by digest, and comes back from them."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from channel_places import Place, Source, all_of, lock_of, sync
from data_makers import FILES, data_layer, data_lock

from ssds.cli import main
from ssds.core.errors import IntegrityError
from ssds.lock.data import data_lock_bytes
from ssds.oci.blobs import Blobs
from ssds.ship.bringing import bring_all
from ssds.ship.channels import offers
from ssds.ship.plug import needed_bytes
from ssds.ship.refdata.artefact import data_record, read_data_record


def test_a_set_goes_once_by_its_digest_and_comes_back_whole(place: Place, tmp_path: Path) -> None:
    lock = data_lock(place.blobs)
    assert lock.made is not None
    full = f"data/words:1.0-{lock.made.content.digest.hex[:12]}"
    lines, done = sync(place, lock)
    assert lines == [f"+ {full}", "+ data/words:1.0", "+ data/words:latest", f"+ {full} dataset"]
    assert not done.failed
    assert {"data/words:1.0", "data/words:latest", full} == set(done.after.tags)
    assert sync(place, lock, refresh=True)[0] == []
    (released,) = all_of(lock)
    wanted = offers(released, done.after) - {released.index.digest}
    assert wanted == {lock.made.content.digest, *(b.digest for b in lock.made.layers)}
    there = Blobs(str(tmp_path / "elsewhere"))
    assert bring_all(place.backend, [(released, wanted)], Source(there), lambda _: None) == {}
    assert {digest: there.read(digest) for digest in wanted} == {
        digest: place.blobs.read(digest) for digest in wanted
    }


def test_another_content_of_a_version_moves_its_tag_and_leaves_the_old_one(place: Place) -> None:
    old, new = data_lock(place.blobs), data_lock(place.blobs, data_layer(FILES))
    sync(place, old)
    lines, done = sync(place, new)
    assert done.failed == {}
    assert [line for line in lines if line.startswith("+ data/words:1.0 ")] == []
    assert "+ data/words:1.0" in lines
    assert "+ data/words:latest" in lines
    assert len([tag for tag in done.after.tags if tag.startswith("data/words:1.0-")]) == 2
    assert not [c for c in done.changes if c.verb in ("x", "unmanaged")]


def test_a_made_set_lacks_nothing_of_what_its_push_needs(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path))
    (released,) = all_of(data_lock(blobs))
    needed = needed_bytes(released, sif=True)
    assert needed
    assert all(map(blobs.has, needed))


def test_words_about_a_set_are_attached_anew_and_move_nothing_else(place: Place) -> None:
    lock = data_lock(place.blobs)
    sync(place, lock)
    lines, done = sync(place, replace(lock, environment={"WORDS": "{path}"}))
    assert [line.rpartition(" ")[2] for line in lines] == ["dataset"]
    assert not done.failed


def test_the_record_of_a_set_is_its_lock_without_sources_and_refuses_what_is_hostile() -> None:
    with pytest.raises(IntegrityError, match=r"words@1\.0 cannot be used"):
        read_data_record(b'{"lock_version":1,"set":"../x","version":"1.0"}', "words", "1.0")
    with pytest.raises(IntegrityError, match="cannot be used"):
        read_data_record(b"[]", "words", "1.0")


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["-C", str(folder), *arguments])
    return code, out.getvalue(), err.getvalue()


def test_sync_brings_what_a_channel_asks_for(tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / "lockfiles/data").mkdir(parents=True)
    (work / "catalog").mkdir()
    (work / "ssds.yaml").write_text("store: {path: ../store}\n")
    channels = "one: {{kind: layout, location: one, data: [{}]}}\n"
    channels += "two: {{kind: layout, location: two}}\n"
    (work / "catalog/channels.yaml").write_text(channels.format("words"))
    blobs = Blobs(str(tmp_path / "store/blobs"))
    for name in ("words", "other"):
        lock = data_lock(blobs, name=name)
        (work / f"lockfiles/data/{name}@1.0.lock.json").write_bytes(data_lock_bytes(lock))
    code, out, err = run(work, "sync", "--yes")
    assert (code, err.count("error")) == (0, 0)
    assert "Synced one: 4 changes" in out
    named = json.loads((work / "one/index.json").read_bytes())["manifests"]
    names = {entry["annotations"]["org.opencontainers.image.ref.name"] for entry in named}
    assert "data/words:1.0" in names
    assert not any(name.startswith("data/other") for name in names)
    assert "Nothing to do on one." in run(work, "sync")[1]
    assert "Nothing to do on one." in run(work, "sync", "data/words")[1]


def test_a_selector_that_takes_no_set_is_an_error_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "catalog/data/words").mkdir(parents=True)
    (tmp_path / "ssds.yaml").write_text("{}\n")
    about = "title: Words\nlicenses: [MIT]\nsources: {a: {pypi: idna/3.10}}\n"
    (tmp_path / "catalog/data/words/1.0.yaml").write_text(about)
    text = "one: {kind: layout, location: one, data: [wrods]}\n"
    (tmp_path / "catalog/channels.yaml").write_text(text)
    code, _, err = run(tmp_path, "check")
    assert code == 1
    assert "error[S020]" in err
    assert "words" in err
    assert "catalog/channels.yaml:1:43" in err


def test_releases_and_sets_go_side_by_side(place: Place) -> None:
    lines, done = sync(place, lock_of(place.blobs, "tool"), data_lock(place.blobs))
    assert not done.failed
    assert {line.split()[1].partition(":")[0] for line in lines} == {"tool", "data/words"}
    record = data_record(data_lock(place.blobs))
    assert read_data_record(record, "words", "1.0").environment == {"GENOME": "{path}/genome.fa"}
