"""One person installs reference data: from a channel, by digest, beside tools."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from data_makers import FILES, GENOME, data_layer, data_lock
from ship_makers import AMD64, image, release, script, small_tar

from ssds.cli import main
from ssds.core.errors import IntegrityError, UnavailableError, UsageError
from ssds.host.mirrors import Mirrors
from ssds.install.install import install, uninstall
from ssds.install.records import read_installed_sets
from ssds.install.sets import DoneSet, install_set
from ssds.install.source import Source
from ssds.lock.model import Released, releasable
from ssds.oci.blobs import Blobs
from ssds.recipe.model import Channel
from ssds.ship.backends import open_channel
from ssds.ship.checking import check_tree
from ssds.ship.refdata.artefact import released_set
from ssds.ship.syncing import carry_out, look_at


class Store:
    def __init__(self, blobs: Blobs) -> None:
        self.blobs = blobs


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(str(tmp_path / "store"))


def push(blobs: Blobs, folder: Path, *releases: Released | None) -> None:
    channel = Channel(name="shelf", kind="layout", location="shelf")
    backend = open_channel(channel, str(folder))
    found = [one for one in releases if one is not None]
    look = look_at(channel, backend, found, read=lambda d: blobs.read(d), now=1)
    assert not carry_out(look, Store(blobs), now=1).failed


def get(folder: Path, version: str = "", name: str = "data/words") -> DoneSet:
    source = Source(str(folder / "shelf"), Mirrors())
    return install_set(str(folder / "tools"), name, version, source)


def test_a_set_is_installed_beside_tools_and_leaves_alone(tmp_path: Path, blobs: Blobs) -> None:
    half = image(blobs, [small_tar({"usr/bin/tool": script("echo one")})], ["tool"], {})
    tool = releasable(release(blobs, half, name="tool"))
    push(blobs, tmp_path, released_set(data_lock(blobs)), *tool)
    tools, source = tmp_path / "tools", Source(str(tmp_path / "shelf"), Mirrors())
    done = get(tmp_path)
    assert (done.written, done.entry.label) == (True, "data/words/1.0")
    assert (tools / "sites/local/data/words/current/genome.fa").read_bytes() == GENOME
    assert "GENOME" in (tools / "sites/local/modules/words/1.0.lua").read_text()
    install(str(tools), "tool", "", AMD64, source)
    assert not get(tmp_path, "1.0").written
    assert check_tree(str(tools)).problems == ()
    assert uninstall(str(tools), "data/words", "") == ["data/words/1.0"]
    assert not (tools / "sites/local/data").exists()
    assert os.access(tools / "sites/local/bin/tool", os.X_OK)
    assert not list((tools / ".ssds/data").glob("*/*/data"))
    assert check_tree(str(tools)).problems == ()


def test_a_version_with_its_digest_is_that_content_and_no_other(
    tmp_path: Path, blobs: Blobs
) -> None:
    old, new = data_lock(blobs), data_lock(blobs, data_layer(FILES))
    assert old.made is not None
    push(blobs, tmp_path, released_set(old))
    push(blobs, tmp_path, released_set(new))
    assert get(tmp_path).entry.lock.made == new.made
    assert get(tmp_path, f"1.0-{old.made.content.digest.hex[:12]}").entry.lock.made == old.made
    assert [one.lock.made for one in read_installed_sets(str(tmp_path / "tools"))] == [old.made]


def test_a_tag_with_a_digest_that_leads_to_another_content_is_refused(
    tmp_path: Path, blobs: Blobs
) -> None:
    old, new = data_lock(blobs), data_lock(blobs, data_layer(FILES))
    push(blobs, tmp_path, released_set(old))
    push(blobs, tmp_path, released_set(new))
    assert old.made is not None
    assert new.made is not None
    tags = [f"1.0-{made.content.digest.hex[:12]}" for made in (old.made, new.made)]
    index = tmp_path / "shelf/index.json"
    found = json.loads(index.read_bytes())
    ref = "org.opencontainers.image.ref.name"
    named = {e["annotations"][ref]: e for e in found["manifests"]}
    first, second = (named[f"data/words:{tag}"] for tag in tags)
    first["annotations"], second["annotations"] = second["annotations"], first["annotations"]
    index.write_text(json.dumps(found))
    with pytest.raises(IntegrityError, match=rf"words:{tags[0]} .* leads to the content") as caught:
        get(tmp_path, tags[0])
    assert caught.value.code == "I009"
    assert read_installed_sets(str(tmp_path / "tools")) == []


@pytest.mark.parametrize(
    "text",
    ["{}", '{"installed_version": 1, "source": "x"}', "[", "[" * 99999],
    ids=["empty", "without a lock", "torn", "deep"],
)
def test_a_damaged_record_of_a_set_names_its_file(tmp_path: Path, blobs: Blobs, text: str) -> None:
    push(blobs, tmp_path, released_set(data_lock(blobs)))
    get(tmp_path)
    (record,) = (tmp_path / "tools/.ssds/installed/data").glob("*.json")
    whole = json.loads(record.read_bytes())
    for damaged in (text, json.dumps({**whole, "lock": {"set": "words"}})):
        record.write_text(damaged)
        with pytest.raises(IntegrityError, match=r"words@1\.0\.json is damaged") as caught:
            read_installed_sets(str(tmp_path / "tools"))
        assert caught.value.code == "I010"
    record.unlink()
    assert get(tmp_path).entry.label == "data/words/1.0"


def test_what_is_not_there_is_told_with_what_is(tmp_path: Path, blobs: Blobs) -> None:
    push(blobs, tmp_path, released_set(data_lock(blobs)))
    with pytest.raises(UsageError, match=r"no version 2\.0 of data/words") as caught:
        get(tmp_path, "2.0")
    assert "It has 1.0" in caught.value.hint
    with pytest.raises(UsageError, match="has no data/word"):
        get(tmp_path, name="data/word")
    assert not (tmp_path / "tools").exists()


def test_a_record_of_another_content_and_none_are_refused(tmp_path: Path, blobs: Blobs) -> None:
    released = released_set(data_lock(blobs))
    other = released_set(data_lock(blobs, data_layer({"x": b"y"})))
    assert released is not None
    assert released.dataset is not None
    assert other is not None
    assert other.dataset is not None
    wrong = replace(released.dataset, record=other.dataset.record)
    push(blobs, tmp_path, replace(released, dataset=wrong))
    with pytest.raises(IntegrityError, match="about another content"):
        get(tmp_path)
    index = tmp_path / "shelf/index.json"
    found = json.loads(index.read_bytes())
    name = "org.opencontainers.image.ref.name"
    kept = [e for e in found["manifests"] if ":sha256-" not in e["annotations"][name]]
    index.write_text(json.dumps({**found, "manifests": kept}))
    with pytest.raises(UnavailableError, match=r"does not say what data/words:1\.0 is"):
        get(tmp_path)


def test_wrong_bytes_are_never_installed(tmp_path: Path, blobs: Blobs) -> None:
    lock = data_lock(blobs)
    assert lock.made is not None
    push(blobs, tmp_path, released_set(lock))
    path = tmp_path / "shelf/blobs/sha256" / lock.made.layers[0].digest.hex
    os.chmod(path, 0o644)
    path.write_bytes(bytes(lock.made.layers[0].size_bytes))
    with pytest.raises(IntegrityError):
        get(tmp_path)
    assert read_installed_sets(str(tmp_path / "tools")) == []


def test_people_see_what_was_installed(
    tmp_path: Path, blobs: Blobs, capsys: pytest.CaptureFixture[str]
) -> None:
    push(blobs, tmp_path, released_set(data_lock(blobs)))
    tools, shelf = str(tmp_path / "tools"), str(tmp_path / "shelf")
    assert main(["install", "data/words@1.0", "--from", shelf, "--to", tools]) == 0
    assert f"Installed data/words/1.0 into {tools}: 4 files." in capsys.readouterr().out
    assert main(["list", "--to", tools]) == 0
    assert "data/words/1.0" in capsys.readouterr().out
    assert main(["uninstall", "data/words", "--to", tools]) == 0
    assert f"Removed data/words/1.0 from {tools}." in capsys.readouterr().out
    assert main(["install", "data/../x", "--from", shelf, "--to", tools]) != 0
