"""Keys, ``ssds sync`` and ``ssds verify`` as people use them, from a key file to the words."""

from __future__ import annotations

import json
import os
import re
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


def test_what_a_site_fetches_from_a_tuf_repository_is_a_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSDS_KEY_PASSWORD", "")
    Path("catalog/sites").mkdir(parents=True)
    Path("catalog/sites/uq.yaml").write_text("title: UQ\nplatforms: [linux/amd64]\n")
    Path("lockfiles").mkdir()
    Path("ssds.yaml").write_text("catalog: {ssds: catalog, neurocontainers: nc}\n")
    Path("catalog/advisories.yaml").write_text("debian-12: adv/debian-12.json\n")
    for path in ("nc/recipes/bet/README.md", "nc/macros/fsl.yaml", "adv/debian-12.json"):
        Path(path).parent.mkdir(parents=True)
        Path(path).write_text("{}\n")
    Path("nc/workflows").mkdir()
    Path("nc/workflows/not-read.py").touch()
    for key in ("lab", "uq"):
        assert main(["key", "new", key, "--kind", "ed25519"]) == 0
    roles = [f"--{role}=lab.pub" for role in ("root", "targets", "online")]
    assert main(["tuf", "roles", "pub", *roles]) == 0
    assert main(["tuf", "sign", "pub", "--key", "lab"]) == 1
    asked = capsys.readouterr().err
    assert "error[E272]" in asked
    assert "  root\n  + " not in asked, "of a first root every key is new"
    assert main(["tuf", "sign", "pub", "--key", "lab", "--expect", "0" * 16]) == 1
    assert "error[X082]" in capsys.readouterr().err
    seen = re.search(r"sha256 ([0-9a-f]{16})", asked)
    assert seen is not None
    assert main(["tuf", "sign", "pub", "--key", "lab", "--expect", seen[1]]) == 0
    assert main(["tuf", "delegate", "pub", "uq", "uq.pub", "--key", "lab"]) == 0
    assert main(["tuf", "publish", "pub", "--site", "uq", "--key", "uq"]) == 0
    assert main(["tuf", "publish", "pub", "--key", "lab", "--json"]) == 0
    capsys.readouterr()
    assert (
        main(["tuf", "refresh", "pub", "--to", "site", "--root", "pub/1.root.json", "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["changed"] == [
        "adv/debian-12.json",
        "catalog/advisories.yaml",
        "catalog/sites/uq.yaml",
        "nc/macros/fsl.yaml",
        "nc/recipes/bet/README.md",
        "ssds.yaml",
    ]
    assert main(["-C", "site/current", "plan"]) == 0
    assert main(["tuf", "refresh", "nowhere", "--to", "site"]) == 1
    assert "error[X076]" in capsys.readouterr().err
    assert main(["tuf", "delegate", "pub", "uq", "--key", "lab"]) == 1
    assert main(["tuf", "publish", "pub", "--site", "none", "--key", "uq"]) == 1
