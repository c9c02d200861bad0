"""``ssds advisories``: what a new set changes, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from e2e_workspace import ROOT
from trust_makers import new_signer

from ssds.cli import main
from ssds.trust.files import sign_file

RECORD = {
    "id": "CVE-2099-0001",
    "modified": "2099-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"ecosystem": "Debian:12", "name": "glibc"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9"}]}],
        }
    ],
}


@pytest.fixture(scope="module")
def starter(tmp_path_factory):
    folder = tmp_path_factory.mktemp("advisories")
    for name in ("catalog", "lockfiles"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy2(ROOT / "ssds.yaml", folder / "ssds.yaml")
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        archive.writestr("CVE-2099-0001.json", json.dumps(RECORD))
    return folder


def ssds(folder, *arguments):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SSDS_")}
    environment |= {"SSDS_STORE": str(folder / "store"), "SSDS_USER_SETTINGS": os.devnull}
    return subprocess.run(
        [sys.executable, "-m", "ssds", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        env={**environment, "PYTHONPATH": str(ROOT)},
        cwd=folder,
        check=False,
    )


def test_a_new_set_scans_and_judges_again_and_does_nothing_else(starter):
    path = starter / "catalog/advisories.yaml"
    path.write_text(path.read_text().replace("debian-12.json", "debian-12.set"))

    done = ssds(starter, "advisories", "update", "debian-12", "--from", "osv=all.zip")
    assert done.returncode == 0, done.stderr
    assert "1 pair of advisory and package in Debian:12" in done.stdout

    steps = json.loads(ssds(starter, "plan", "--json").stdout)["steps"]
    run = [s for s in steps if s["verb"] == "run" and "bytes wanted by" not in s["reason"]]
    assert {s["kind"] for s in run} == {"scan"}  # this store is empty: others give bytes
    follow = {s["kind"] for s in steps if s["verb"] == "unknown"}
    assert follow == {"gate", "publish", "index", "lock"}  # reused where the verdict is the same

    shown = json.loads(ssds(starter, "advisories", "show", "--json").stdout)[0]
    assert (shown["date"], shown["packages"], shown["pinned"]) == ("2099-01-01", 1, True)
    again = ssds(starter, "advisories", "update", "debian-12", "--from", "osv=all.zip")
    assert "Already pinned." in again.stdout


def test_a_set_goes_to_another_machine_as_one_file_or_not_at_all(starter, tmp_path):
    ssds(starter, "advisories", "update", "debian-12", "--from", "osv=all.zip")
    file = tmp_path / "one.set"
    assert ssds(starter, "advisories", "export", "debian-12", str(file)).returncode == 0
    before = {p: p.read_bytes() for p in Path(starter / "catalog").rglob("*") if p.is_file()}
    damaged = tmp_path / "damaged.set"
    damaged.write_bytes(file.read_bytes()[:-3])

    for arguments, why in (
        (("import", "debian-12", str(damaged)), "V020"),
        (("import", "debian-12", str(file), "--digest", "sha256:" + "0" * 64), "V025"),
        (("import", "other", str(file)), "V026"),
        (("update", "debian-12", "--from", "osv=nowhere.zip"), "V022"),
        (("update", "debian-12", "--from", "osv=/"), "V022"),
        (("update", "debian-12", "--from", "magic=all.zip"), "V024"),
        (("update", "debian-12", "--from", f"folder={tmp_path}"), "V027"),
        (("update", "debian-12", "--from", "osv"), "V028"),
        (("update", "debian-12", "--from", "kev=all.zip"), "O002"),
    ):
        done = ssds(starter, "advisories", *arguments)
        assert done.returncode == 1
        assert f"error[{why}]" in done.stderr, done.stderr
        assert "Traceback" not in done.stderr

    assert before == {
        p: p.read_bytes() for p in Path(starter / "catalog").rglob("*") if p.is_file()
    }
    assert ssds(starter, "advisories", "import", "debian-12", str(file)).returncode == 0


def test_where_sets_are_to_be_signed_no_other_is_taken(
    starter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """The catalog's set, carried to a machine without network, and what may happen on the way."""
    home = tmp_path / "home"
    shutil.copytree(starter, home, ignore=shutil.ignore_patterns("store", ".ssds"))
    shutil.copytree(ROOT / "catalog", home / "catalog", dirs_exist_ok=True)
    shutil.copytree(ROOT / "lockfiles", home / "lockfiles", dirs_exist_ok=True)
    monkeypatch.chdir(home)
    lab, other = new_signer(name="lab"), new_signer("ed25519", "other")
    Path("lab.pub").write_bytes(lab.public.pem)
    settings = Path("ssds.yaml").read_text()
    Path("ssds.yaml").write_text(
        settings + "trust: {keys: {lab: lab.pub}, advisories: signed}\nstore: {path: store}\n"
    )
    carried = str(tmp_path / "one.set")
    assert main(["advisories", "export", "debian-12", carried]) == 0
    assert not os.path.exists(f"{carried}.sigstore.json")
    data, names = Path(carried).read_bytes(), sorted(os.listdir("catalog/advisories"))

    def refused(*arguments: str) -> str:
        assert main(["advisories", "import", "debian-12", carried, *arguments]) == 1
        error = capsys.readouterr().err
        assert "error[V029]" in error, error
        assert sorted(os.listdir("catalog/advisories")) == names
        return error

    assert "it is not signed" in refused()
    sign_file(carried, other)
    assert "none of the trusted keys" in refused()
    sign_file(carried, lab)
    Path(carried).write_bytes(data.replace(b"CVE-2", b"CVE-3", 1))
    assert "changed after it was signed" in refused()
    Path(carried).write_bytes(data)
    Path("other.pub").write_bytes(other.public.pem)
    assert "none of the trusted keys" in refused("--key", "other.pub")
    signature = Path(f"{carried}.sigstore.json")
    good = signature.read_bytes()
    signature.write_bytes(good[:-20])
    refused()

    signature.write_bytes(good)
    assert main(["advisories", "import", "debian-12", carried]) == 0
    assert "lab signed exactly these bytes" in capsys.readouterr().err
    assert main(["advisories", "export", "debian-12", str(tmp_path / "again.set")]) == 0
    assert (tmp_path / "again.set.sigstore.json").read_bytes() == good
    Path("ssds.yaml").write_text(settings)
    signature.write_bytes(good[:-20])
    assert main(["advisories", "import", "debian-12", carried]) == 0
    assert "was not checked" in capsys.readouterr().err
    bundle = Path("catalog/advisories/debian-12.json.sigstore.json")
    assert bundle.read_bytes() == good, "the same bytes are signed as before"

    signature.unlink()
    Path(carried).write_bytes(data.replace(b"2026-11-02", b"2026-11-03"))
    bundle.write_bytes(good)
    assert main(["advisories", "import", "debian-12", carried]) == 0
    assert not bundle.exists(), "it was about the set before"
    bundle.write_bytes(good)
    assert main(["advisories", "export", "debian-12", str(tmp_path / "again.set")]) == 0
    assert not (tmp_path / "again.set.sigstore.json").exists()
