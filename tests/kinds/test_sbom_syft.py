"""Another cataloguer finds the same packages, with the same sources."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile

import pytest
from sbom_images import Workshop, debian_layer, target

from ssds.core.model import Input
from ssds.kinds.sbom import run, spec
from ssds.kinds.scan.components import read_packages


@pytest.mark.component("syft")
def test_syft_finds_the_same_packages(tmp_path):
    (tmp_path / "root").mkdir()
    with tarfile.open(fileobj=io.BytesIO(debian_layer())) as archive:
        archive.extractall(tmp_path / "root", filter="tar")
    out = tmp_path / "syft.json"
    subprocess.run(
        ["syft", "scan", f"dir:{tmp_path / 'root'}", "-q", "-o", f"cyclonedx-json={out}"],
        check=True,
        env={**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"},
    )
    workshop = Workshop(str(tmp_path))
    config = workshop.image(debian_layer())
    node = spec.node(target(), {}, Input(role="config", digest=config))
    sbom = run.run(workshop.bench(node, {"config": config})).outputs["sbom"]

    def known(data):
        return {
            (p.ecosystem, p.name, p.version, p.source, p.source_version)
            for p in read_packages(data)
            if p.type in ("deb", "pypi")
        }

    removed = {p for p in known(out.read_bytes()) if p[1] == "gone"}  # it lists removed ones too
    assert known(workshop.store.blobs.read(sbom)) == known(out.read_bytes()) - removed
