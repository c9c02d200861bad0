"""Keys, ``ssds sync`` and ``ssds verify`` as people use them, from a key file to the words."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from channel_places import lock_of
from ship_makers import AMD64

from ssds.cli import main
from ssds.lock.model import Lock
from ssds.lock.write import lock_bytes
from ssds.oci.blobs import Blobs


def without_tests(lock: Lock) -> Lock:
    """The same without the verdict that the maker of the lock made up."""
    section = lock.variants[""].platforms[AMD64]
    latest = {kind: claim for kind, claim in section.latest.items() if kind != "test"}
    sections = {AMD64: replace(section, latest=latest)}
    return replace(lock, variants={"": replace(lock.variants[""], platforms=sections)})


def test_a_password_of_any_bytes_opens_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSDS_KEY_PASSWORD", os.fsdecode(b"gr\xfc\xdfe"))
    assert main(["key", "new", "lab"]) == 0
    Path("paper.txt").write_text("words")
    assert main(["sign", "paper.txt", "--key", "lab"]) == 0


def test_from_a_new_key_to_a_verified_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "workspace"
    (home / "catalog").mkdir(parents=True)
    (home / "lockfiles").mkdir()
    (home / "ssds.yaml").write_text("store: {path: ../store}\ntrust: {keys: {lab: lab.pub}}\n")
    (home / "catalog/channels.yaml").write_text("local: {kind: layout, location: out}\n")
    lock = without_tests(lock_of(Blobs(str(tmp_path / "store/blobs")), "tool", evidence=True))
    (home / "lockfiles" / lock.file_name).write_bytes(lock_bytes(lock))
    monkeypatch.chdir(home)
    monkeypatch.setenv("SSDS_KEY_PASSWORD", "a long sentence")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert main(["key", "new", "lab"]) == 0
    monkeypatch.setenv("LAB_KEY", Path("lab").read_text())
    monkeypatch.setenv("SSDS_SIGNING_KEY", "env:LAB_KEY")
    assert main(["sync", "--yes"]) == 0
    assert main(["sign", "--locks"]) == 0
    capsys.readouterr()

    assert main(["sync", "--yes"]) == 0
    assert "Nothing to do on local" in capsys.readouterr().out
    lock_path = f"lockfiles/{lock.file_name}"
    assert main(["verify", "oci:out:tool:1.0", lock_path, "--json"]) == 0
    image, file = json.loads(capsys.readouterr().out)["targets"]
    assert "it is tool@1.0 r1" in image["proven"]
    assert "linux/amd64: lab says: its SBOM names 0 components" in image["proven"]
    assert file["proven"][0].startswith("lab signed exactly these bytes")
    monkeypatch.setenv("SSDS_KEY_PASSWORD", "wrong")
    assert main(["sync", "--yes"]) == 1
    told = capsys.readouterr().err
    assert "error[X006]" in told
    assert "Traceback" not in told
