"""``ssds render``: what is written builds, by a builder that knows nothing of ssds."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from e2e_workspace import Site, check_error

from ssds.audit import released
from ssds.audit.compare import compare
from ssds.audit.model import Image
from ssds.core.digest import Digest
from ssds.oci.compress import decompress_stream
from ssds.oci.layout import Layout
from ssds.oci.types import Descriptor, parse_config, parse_manifest
from ssds.store.store import Store

POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'


def bud(context: Path, folder: Path) -> Image:
    """Builds a Dockerfile with buildah, without network, and returns the image."""
    (folder / "policy.json").write_text(POLICY)
    policy = ("--signature-policy", str(folder / "policy.json"))
    buildah = ["buildah", "--root", f"{folder}/storage", "--runroot", f"{folder}/run"]
    buildah += ["--storage-driver", "overlay"]
    how = ("--isolation", "oci", "--runtime", "runc", "--network", "none", "--format", "oci")
    try:
        for words in (
            ("bud", *policy, *how, "-q", "-t", "it", str(context)),
            ("push", *policy, "-q", "it", f"oci:{folder}/image"),
        ):
            done = subprocess.run([*buildah, *words], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    finally:
        subprocess.run([*buildah, "rmi", "--all", "--force"], capture_output=True, check=False)
        subprocess.run(["umount", f"{folder}/storage/overlay"], capture_output=True, check=False)
    layout = Layout(f"{folder}/image")
    (entry,) = layout.index().manifests
    manifest = parse_manifest(layout.blobs.read(entry.digest))
    data = layout.blobs.read(manifest.config.digest)
    return Image(
        manifest=entry.digest,
        config=manifest.config.digest,
        diff_ids=tuple(parse_config(data).diff_ids),
        tars=tuple(unpacked(layout, layer, folder) for layer in manifest.layers),
        config_bytes=data,
    )


def unpacked(layout: Layout, layer: Descriptor, folder: Path) -> str:
    """Returns the path of a layer's uncompressed tar."""
    path = folder / layer.digest.hex
    with layout.blobs.open(layer.digest) as file, path.open("wb") as out:
        out.writelines(decompress_stream(file, layer.media_type))
    return str(path)


@pytest.mark.component("buildah")
@pytest.mark.component("root")
def test_buildah_makes_the_released_files_of_a_rendered_dockerfile(
    site: Site, tmp_path: Path
) -> None:
    site.good("render", "--out", str(tmp_path / "context"), "ground")
    assert sorted(p.name for p in (tmp_path / "context").iterdir()) == [
        "Dockerfile",
        "base.tar",
        "steps",
    ]
    lock = site.lock("ground")["variants"]["default"]["platforms"]["linux/amd64"]
    store = Store.open(str(site.store))
    before = released.rebuilt(store, Digest(lock["release"]["manifest"]["digest"]))
    found = compare(before, bud(tmp_path / "context", tmp_path), epoch=lock["pins"]["epoch"])
    store.close()
    assert (found.files, found.level) == ((), "config")
    assert found.note == "the config differs in config.Labels.io.buildah.version, created"


def test_both_forms_go_to_stdout_and_what_cannot_be_written_is_told(site: Site) -> None:
    text = site.good("render", "ground").out
    assert "FROM scratch\nADD base.tar /" in text
    assert 'ENV TINY_HOME="/opt/ground"' in text
    assert json.dumps('mkdir -p -- "$(dirname -- /opt/ground/words)"; ')[:-1] in text
    definition = site.good("render", "--format", "apptainer", "--base", "base:1", "ground").out
    assert definition.startswith("Bootstrap: docker\nFrom: base:1\n")
    assert "export TINY_HOME=/opt/ground" in definition
    check_error(site.run("render", "--platform", "linux/arm64", "ground"), "E180", "linux/amd64")
    check_error(site.run("render", "--base", "a b", "ground"), "E173")
    check_error(site.run("render", "--out", str(site.workspace), "ground"), "E170")
    empty = str(site.folder / "empty")
    check_error(site.run("render", "--out", empty, "ground", SSDS_STORE=f"{empty}-store"), "E174")
    assert not (site.folder / "empty").exists()
    site.recipe("new")
    site.edit(
        "catalog/new/recipe.yaml", "base: debian-12", "base: {recipe: ground, version: '1.0'}"
    )
    assert site.run("render", "new").code == 1
