"""What SHPC, DUCC and NeuroDesk read is written from locks, and their own programs read it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ship_makers import ABOUT, image, release, site, small_tar

from ssds.exports.ducc import export_ducc
from ssds.exports.folder import keep_export
from ssds.exports.offers import Offer, offers
from ssds.exports.shpc import export_shpc
from ssds.lock.model import Lock
from ssds.oci.blobs import Blobs

LMOD = "/usr/share/lmod/lmod/libexec/lmod"
WHERE = {"tool": "registry.example.org/lab/tool", "other": "registry.example.org/lab/other"}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[Offer]:
    """Two versions of one tool with other commands, one of another, one without a registry."""
    blobs = Blobs(str(tmp_path_factory.mktemp("blobs")))
    half = image(blobs, [small_tar({"usr/bin/tool": b""})], ("tool", "/opt/x/aside"), {})
    small = image(blobs, [small_tar({"usr/bin/other": b""})], ("other",), {})
    hostile = {
        "fields": {"summary": 'a "quoted" text]]: # \\ {{ with }}\nlines', "licenses": ["MIT"]}
    }
    locks: list[Lock] = [
        release(blobs, small, name="tool", version="1.9"),
        release(blobs, half, name="tool", version="1.10"),
        release(blobs, small, name="other", version="2", about=hostile),
        release(blobs, small, name="nowhere", version="3"),
    ]
    found = offers(locks, blobs, WHERE)
    assert offers(reversed(locks), blobs, WHERE) == found
    return found


def test_a_registry_of_shpc_names_every_release_by_the_digest_of_its_index(
    found: list[Offer],
) -> None:
    export = export_shpc(found)
    entry = yaml.safe_load(export.files["registry/registry.example.org/lab/tool/container.yaml"])
    digests = {o.tag: str(o.released.index.digest) for o in found if o.name == "tool"}
    assert entry["tags"] == digests
    assert entry["latest"] == {"1.10": digests["1.10"]}
    assert entry["aliases"] == {"aside": "/opt/x/aside", "tool": "tool"}
    assert entry["env"] == {"TOOL_DATA": "/opt/data"}
    assert entry["overrides"] == {"1.9": "1.9.yaml"}
    older = yaml.safe_load(export.files["registry/registry.example.org/lab/tool/1.9.yaml"])
    assert older["aliases"] == {"other": "other"}
    assert [release for release, _ in export.notes] == ["nowhere@3"]


def shpc(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    settings = ["--settings-file", str(folder / "settings.yml")]
    code = "import sys; from shpc.client import run_shpc; sys.exit(run_shpc())"
    return subprocess.run(
        [sys.executable, "-c", code, *settings, *words],
        env={**os.environ, "SSDS_SHPC": str(folder), "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.component("lmod")
@pytest.mark.component("shpc")
def test_shpc_itself_installs_from_the_registry_and_lmod_loads_it(
    found: list[Offer], tmp_path: Path
) -> None:
    folder = tmp_path / "shpc"
    keep_export(str(folder), "shpc", export_shpc(found, site(binds=("/data",))))
    (tmp_path / "image.sif").write_bytes(b"SIF")
    name = "registry.example.org/lab/tool"
    for image_name in (f"{name}:1.9", "registry.example.org/lab/other:2"):
        done = shpc(folder, "install", image_name, f"{tmp_path}/image.sif", "--keep-path")
        assert done.returncode == 0, done.stdout + done.stderr
    env = {**os.environ, "MODULEPATH": str(folder / "modules/registry.example.org/lab")}
    loaded = subprocess.run(
        [LMOD, "bash", "load", "tool/1.9", "other/2"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"{folder}/modules/{name}/1.9/bin" in loaded.stdout, loaded.stderr
    assert f"{folder}/modules/registry.example.org/lab/other/2/bin" in loaded.stdout
    assert "other" in os.listdir(folder / f"modules/{name}/1.9/bin")  # of its overrides


def test_a_list_for_ducc_names_each_image_by_digest(found: list[Offer]) -> None:
    export = export_ducc(found, "unpacked.example.org", "o'neil")
    document = yaml.safe_load(export.files["recipe.yaml"])
    assert document["version"] == 1
    assert document["user"] == "o'neil"
    assert document["cvmfs_repo"] == "unpacked.example.org"
    assert document["input"] == [
        f"https://{o.repository}@{o.released.index.digest}" for o in found if o.repository
    ]
    empty = yaml.safe_load(export_ducc([], "unpacked.example.org", "cvmfs").files["recipe.yaml"])
    assert empty["input"] == []


def test_the_summary_comes_from_the_release_and_not_from_the_recipe_of_today(
    found: list[Offer],
) -> None:
    tool = next(offer for offer in found if offer.name == "tool")
    assert tool.text("summary") == ABOUT["fields"]["summary"]  # type: ignore[index]
