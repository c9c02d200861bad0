"""An ordinary user, with subordinate ids only, builds the very bytes that root builds."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from as_user import ordinary_user, reason_against, run_as
from e2e_workspace import Site

pytestmark = pytest.mark.skipif(bool(reason_against()), reason=reason_against() or "-")


def ask_for_sif(site: Site) -> None:
    site.write("catalog/channels.yaml", "local: {kind: layout, location: dist, sif: true}\n")
    site.edit("catalog/tiny/recipe.yaml", "summary:", "publish: [local]\nsummary:")


def digests(site: Site) -> dict:
    variant = site.lock("tiny")["variants"]["default"]
    section = variant["platforms"]["linux/amd64"]
    return {
        "index": variant["index"]["digest"],
        "release": {k: section["release"][k] for k in ("manifest", "config", "layers", "sif")},
        "outputs": {kind: claim["outputs"] for kind, claim in section["latest"].items()},
    }


@pytest.mark.slow
def test_an_ordinary_user_builds_the_same_bytes_as_root(warm: Site, site: Site):
    ask_for_sif(site)
    site.good("apply", "--yes")
    folder = Path(tempfile.mkdtemp(prefix="ssds-of-user-"))
    try:
        os.chmod(folder, 0o755)
        own = Site(folder / "site")
        shutil.copytree(warm.workspace, own.workspace, ignore=shutil.ignore_patterns(".ssds"))
        shutil.copytree(warm.store / "blobs", own.store / "blobs")
        ask_for_sif(own)
        with ordinary_user() as name:
            subprocess.run(["chown", "-R", name, str(folder)], check=True)
            # Blobs without their layout's mark are a layout that a killed process began.
            arguments = ["-m", "ssds", "-C", str(own.workspace)]
            code, output = run_as(name, [*arguments, "apply", "--yes", "-j", "2"])
            assert code == 0, output
            assert "tiny@1.0:build [linux/amd64] done" in output
            code, output = run_as(name, [*arguments, "store", "verify"])
            assert (code, output) == (0, "Clean.\n")
            code, output = run_as(name, [*arguments, "gc", "--keep-days", "0"])
            assert code == 0, output
            assert own.leftovers() == []
        section = own.lock("tiny")["variants"]["default"]["platforms"]["linux/amd64"]
        assert section["release"]["actions"]["build"]["mode"] == "subuid"
        assert digests(own) == digests(site)
    finally:
        shutil.rmtree(folder)
