"""What is copied into an image depends on the recipe alone, not on who builds it or where."""

from __future__ import annotations

import io
import json
import os
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest
from e2e_workspace import Site

pytestmark = [pytest.mark.component(name) for name in ("apt", "sandbox", "mmdebstrap")]

RECIPE = """\
name: copies
version: "1.0"
summary: Copies in each way.
licenses: [MIT]
base: {recipe: ground, version: "1.0"}
sources:
  archive: {url: "%URL%", sha256: "%SUM%", unpack: true}
build:
  - copy: {local: tree, to: /opt/tree/}
  - copy: {local: tree, to: /root/}
  - copy: {source: archive, to: /tmp/}
  - copy: {recipe: ground, version: "1.0", paths: [/usr/local/bin/ground], to: /opt/bin/}
  - run: {script: cp -a /run/ssds/sources/archive /opt/sources, sources: [archive]}
tests:
  - name: folders that were there keep their modes
    run: stat -c %a /root /tmp /opt/tree /opt/tree/inner /opt/bin /opt/sources/a
    stdout_equals: "700\\n1777\\n755\\n755\\n755\\n755"
"""


def archive(path: Path) -> str:
    """Writes an archive whose folders are named by its files only; returns its sha256."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name in ("a/b/one", "a/two"):
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"text"))
    path.write_bytes(data.getvalue())
    return sha256(data.getvalue()).hexdigest()


def test_a_strict_umask_gives_the_same_image_and_no_folder_changes_its_mode(
    warm: Site, tmp_path: Path
) -> None:
    summed = archive(tmp_path / "archive.tar.gz")
    layers = []
    for umask in (0o022, 0o077):
        site = warm.copy(tmp_path / f"site-{umask:o}")
        recipe = RECIPE.replace("%SUM%", summed).replace(
            "%URL%", "https://example.invalid/a.tar.gz"
        )
        site.write("catalog/copies/recipe.yaml", recipe)
        site.write("catalog/copies/tree/inner/file", "text")
        blob = site.blob(f"sha256:{summed}")
        blob.write_bytes((tmp_path / "archive.tar.gz").read_bytes())
        before = os.umask(umask)
        try:
            site.good("lock", "copies")
            site.good("apply", "--yes", "--no-push", "copies")
        finally:
            os.umask(before)
        section = site.lock("copies")["variants"]["default"]["platforms"]["linux/amd64"]
        assert section["latest"]["test"]["verdict"] == "pass"
        layers.append(section["release"]["layers"])
    assert layers[0] == layers[1]


ABOVE = """\
name: above
version: "1.0"
summary: Stands on ground.
licenses: [MIT]
base: {recipe: ground, version: "1.0"}
build:
  - labels: {org.example.kept: "yes"}
tests: [{name: has what lies below, run: ground, stdout: [ground]}]
"""


def test_an_image_on_another_recipe_has_its_own_name_and_the_others_environment(site: Site) -> None:
    site.write("catalog/above/recipe.yaml", ABOVE)
    site.good("lock", "above")
    site.good("apply", "--yes", "--no-push", "above")
    half = site.lock("above")["variants"]["default"]["platforms"]["linux/amd64"]["release"]
    config = json.loads(site.blob(half["config"]["digest"]).read_bytes())["config"]
    assert config["Labels"] == {
        "org.example.kept": "yes",
        "org.opencontainers.image.title": "above",
        "org.opencontainers.image.version": "1.0",
    }
    assert "TINY_HOME=/opt/ground" in config["Env"]
