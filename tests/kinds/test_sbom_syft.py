"""Another cataloguer finds the same packages, with the same sources."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from package_databases import ROCKY, alpine_files, blobs_of, language_files, ndb, rpm_database
from sbom_images import Workshop, debian_layer, layer, target

from ssds.core.model import Input
from ssds.kinds.sbom import run, spec
from ssds.kinds.scan.components import read_packages

IMAGE = ("--override-default-catalogers", "image")
"""Installed packages, as in an image: not what lies about as sources."""


def by_syft(root, out):
    """Returns syft's own inventory of a folder, as CycloneDX."""
    subprocess.run(
        ["syft", "scan", f"dir:{root}", "-q", "-o", f"cyclonedx-json={out}", *IMAGE],
        check=True,
        env={**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"},
    )
    return out.read_bytes()


def by_us(folder, data):
    workshop = Workshop(str(folder))
    config = workshop.image(data)
    node = spec.node(target(), {}, Input(role="config", digest=config))
    return workshop.store.blobs.read(
        run.run(workshop.bench(node, {"config": config})).outputs["sbom"]
    )


def unpack(data, root):
    root.mkdir()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(root, filter="tar")
    return root


def known(data, *types):
    return {
        (p.ecosystem, p.name, p.version, p.source, p.source_version)
        for p in read_packages(data)
        if p.type in types
    }


@pytest.mark.component("syft")
def test_syft_finds_the_same_packages(tmp_path):
    theirs = by_syft(unpack(debian_layer(), tmp_path / "root"), tmp_path / "syft.json")
    ours = by_us(tmp_path, debian_layer())

    found = known(theirs, "deb", "pypi")
    removed = {p for p in found if p[1] == "gone"}  # it lists removed ones too
    assert known(ours, "deb", "pypi") == found - removed


@pytest.mark.component("dpkg")
@pytest.mark.component("syft")
def test_syft_finds_the_same_packages_and_sources_on_a_real_debian(tmp_path):
    status = Path("/var/lib/dpkg/status").read_text()
    kept = [p for p in status.split("\n\n") if "\nStatus: install ok installed" in p]
    data = layer(
        {
            "usr/lib/os-release": Path("/usr/lib/os-release").read_text(),
            "var/lib/dpkg/status": "\n\n".join(kept) + "\n",
        },
        links={"etc/os-release": "../usr/lib/os-release"},
    )
    theirs = by_syft(unpack(data, tmp_path / "root"), tmp_path / "syft.json")

    ours = known(by_us(tmp_path, data), "deb")

    assert len(ours) == len(kept) > 50
    assert ours == known(theirs, "deb")


@pytest.mark.component("rpm")
@pytest.mark.component("syft")
@pytest.mark.parametrize("name", ["rpmdb.sqlite", "Packages.db"])
def test_syft_reads_rpms_databases_as_we_do(tmp_path, name):
    database = rpm_database(tmp_path)
    content = database if name == "rpmdb.sqlite" else ndb(blobs_of(database))
    data = layer({"etc/os-release": ROCKY, f"var/lib/rpm/{name}": content})
    theirs = by_syft(unpack(data, tmp_path / "tree"), tmp_path / "syft.json")

    ours = known(by_us(tmp_path, data), "rpm")

    assert len(ours) == 2
    assert ours == known(theirs, "rpm")


@pytest.mark.component("syft")
def test_syft_finds_the_same_packages_of_apk_npm_and_r(tmp_path):
    data = layer({**alpine_files(), **language_files()})
    theirs = by_syft(unpack(data, tmp_path / "tree"), tmp_path / "syft.json")

    types = ("apk", "npm", "cran")
    ours = known(by_us(tmp_path, data), *types)

    assert len(ours) == 6
    # it knows no package type for Bioconductor, and takes a source folder of R for a package
    more = {p for p in known(theirs, *types) if p[1] in ("Biobase", "notbuilt")}
    assert ours == known(theirs, *types) - more
