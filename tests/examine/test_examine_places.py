"""An image that no lock names is looked through where it lies, or refused in words."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from oci_makers import put_image
from sbom_images import debian_layer

from ssds.advisories.osv import read_advisories
from ssds.core.errors import SsdsError
from ssds.core.platform import Platform
from ssds.examine import places
from ssds.examine.look import look_through
from ssds.examine.places import open_place
from ssds.host.mirrors import Mirrors
from ssds.kinds.scan.components import read_packages
from ssds.oci import types
from ssds.oci.folder_tree import FolderTree
from ssds.oci.layout import Layout
from ssds.sif.image import write_sif

AMD64 = Platform("linux/amd64")
RECORD = {
    "id": "CVE-2026-1",
    "affected": [
        {
            "package": {"ecosystem": "Debian:12", "name": "openssl"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9"}]}],
        }
    ],
}
SET = read_advisories(
    json.dumps(
        {"name": "s", "date": "2026-11-01", "ecosystems": ["Debian:12"], "records": [RECORD]}
    ).encode()
)


def looked(place, tmp_path, platform=AMD64):
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    opened = open_place(str(place), platform, str(scratch), Mirrors())
    return look_through(opened, "it", lambda known: SET if "Debian:12" in known else None)


def layout(tmp_path, *layers):
    made = Layout(str(tmp_path / "layout"))
    image = put_image(made.blobs, "linux/amd64", layers)
    made.set_tags({"tool:1": image})
    return made, image


def folder(tmp_path, data):
    root = tmp_path / "root"
    root.mkdir()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(root, filter="tar")
    return root


def archive(tmp_path, change=lambda document, files: None):
    """Writes what ``docker save`` writes, of one image."""
    made, image = layout(tmp_path, debian_layer())
    manifest = types.parse_manifest(made.read(image.digest))
    config = made.read(manifest.config.digest)
    files = {"config.json": config, "a/layer.tar": debian_layer()}
    document = [{"Config": "config.json", "RepoTags": ["x:1"], "Layers": ["a/layer.tar"]}]
    change(document, files)
    path = tmp_path / "saved.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in {**files, "manifest.json": json.dumps(document).encode()}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def sif(tmp_path):
    made, image = layout(tmp_path, debian_layer())
    path = tmp_path / "tool.sif"
    (tmp_path / "parts").mkdir()
    with path.open("w+b") as file:
        write_sif(made.blobs, image.digest, file, str(tmp_path / "parts"))
    return path


def expected(tmp_path):
    found = looked(folder(tmp_path, debian_layer()), tmp_path)
    return {(p.type, p.name, p.version) for p in read_packages(found.sbom)}


FORMS = [
    pytest.param(lambda folder: layout(folder, debian_layer())[0].path, id="layout"),
    pytest.param(lambda folder: f"{layout(folder, debian_layer())[0].path}:tool:1", id="named"),
    pytest.param(archive, id="archive"),
    pytest.param(sif, id="sif", marks=pytest.mark.component("squashfs")),
]


@pytest.mark.parametrize("make", FORMS)
def test_each_form_of_an_image_has_the_same_packages_and_findings(tmp_path, make):
    found = looked(make(tmp_path), tmp_path)
    packages = {(p.type, p.name, p.version) for p in read_packages(found.sbom)}
    assert packages == expected(tmp_path)
    assert [f.id for f in found.scan.findings] == ["CVE-2026-1"]
    assert found.scan.scanned


def test_a_folder_says_what_its_files_show(tmp_path):
    root = folder(tmp_path, debian_layer())
    (root / "opt" / "helper").write_text("x")
    (root / "opt" / "helper").chmod(0o4755)
    (root / "root").mkdir()
    (root / "root" / ".netrc").write_text("machine a login b password cccccccc\n")
    assert [(f.id, f.package) for f in looked(root, tmp_path).remarks] == [
        ("setuid", "/opt/helper"),
        ("secret", "/root/.netrc"),
    ]


def test_what_this_user_cannot_read_is_told_and_the_rest_is_looked_at(tmp_path, monkeypatch):
    root = folder(tmp_path, debian_layer())
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc" / "shadow").write_text("root::1\n")
    (root / "home").mkdir()
    (root / "home" / ".netrc").write_text("machine a login b password cccccccc\n")
    (root / "home" / "closed.key").write_text("x")
    for name in ("etc/shadow", "home/closed.key"):
        (root / name).chmod(0)
    root.chmod(0o755)
    monkeypatch.chdir(root)  # the folders above are closed to others
    before = os.geteuid()
    try:
        os.seteuid(before or 65534)
        opened = open_place(".", AMD64, "", Mirrors())
        found = look_through(opened, "it", lambda known: SET)
    finally:
        os.seteuid(before)
    assert [f.package for f in found.remarks] == ["/home/.netrc"]
    assert [f.id for f in found.scan.findings] == ["CVE-2026-1"]
    told = "not judged: files that this user cannot read: /etc/shadow, /home/closed.key"
    assert told in found.scan.gaps


def test_an_image_whose_package_database_is_not_there_is_not_clean(tmp_path):
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "os-release").write_text("ID=rocky\nVERSION_ID=9\n")
    scan = looked(root, tmp_path).scan
    assert not scan.scanned
    assert scan.gaps


def test_a_berkeley_database_of_rpm_is_not_clean(tmp_path):
    root = tmp_path / "root"
    (root / "var/lib/rpm").mkdir(parents=True)
    (root / "var/lib/rpm/Packages").write_bytes(b"\0" * 12 + b"\x61\x15\x06\0" + b"\0" * 4080)
    found = look_through(open_place(str(root), AMD64, "", Mirrors()), "it", lambda _: SET)
    assert found.scan.gaps == ("all packages of rpm not scanned: its database cannot be read",)


def test_links_of_a_folder_lead_nowhere_else(tmp_path):
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (tmp_path / "secret").write_text("ID=debian\n")
    os.symlink(tmp_path / "secret", root / "etc" / "os-release")
    os.mkfifo(root / "etc" / "pipe")
    tree = FolderTree(str(root))
    assert tree.resolve("etc/os-release") is None
    assert tree.get("etc/pipe").type == "fifo"


def drop_layer(document, files):
    del files["a/layer.tar"]


def other_layer(document, files):
    files["a/layer.tar"] = files["a/layer.tar"][:-10240] + b"\1" * 10240


def two_images(document, files):
    document.append(document[0])


def no_list(document, files):
    document[0]["Layers"] = "a/layer.tar"


def fewer_layers(document, files):
    document[0]["Layers"] = []


def huge_config(document, files):
    files["config.json"] = b" " * (5 << 20)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (drop_layer, "E285"),
        (other_layer, "E283"),
        (two_images, "E282"),
        (no_list, "O004"),
        (fewer_layers, "E283"),
        (huge_config, "E285"),
    ],
)
def test_a_forged_archive_is_refused(tmp_path, change, code):
    with pytest.raises(SsdsError) as caught:
        looked(archive(tmp_path, change), tmp_path)
    assert caught.value.code == code


def bad_file(text):
    def make(tmp_path: Path):
        path = tmp_path / "file"
        path.write_bytes(text)
        return path

    return make


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda tmp_path: tmp_path / "none", "E281"),
        (bad_file(b""), "E280"),
        (bad_file(b"PK\3\4" + b"\0" * 600), "E280"),
        (bad_file(b"\0" * 32 + b"SIF_MAGIC\0" + b"\0" * 400), "O123"),
        (lambda tmp_path: layout(tmp_path, debian_layer())[0].path + ":other", "E282"),
    ],
    ids=["missing", "empty", "a zip", "a torn SIF", "another name"],
)
def test_what_is_no_image_is_refused(tmp_path, make, code):
    with pytest.raises(SsdsError) as caught:
        looked(make(tmp_path), tmp_path)
    assert caught.value.code == code


@pytest.mark.component("squashfs")
def test_a_squashfs_that_would_fill_the_disk_is_not_unpacked(tmp_path, monkeypatch):
    place = str(sif(tmp_path))
    for room, entries, fits in (
        (1 << 40, 2_000_000, True),
        (9, 2_000_000, False),
        (1 << 40, 2, False),
    ):
        scratch = tmp_path / f"{room}-{entries}"
        scratch.mkdir()
        monkeypatch.setattr(places, "free_bytes", lambda _, room=room: room)
        monkeypatch.setattr(places, "ENTRY_LIMIT", entries)
        if fits:
            assert places.open_place(place, AMD64, str(scratch), Mirrors()).tree.entries
            continue
        with pytest.raises(SsdsError, match="MiB that are free"):
            places.open_place(place, AMD64, str(scratch), Mirrors())
        assert list(scratch.iterdir()) == []


@pytest.mark.component("squashfs")
def test_a_torn_squashfs_is_refused(tmp_path):
    data = sif(tmp_path).read_bytes()
    at = data.index(b"hsqs")
    path = tmp_path / "torn"
    path.write_bytes(data[at : at + 600])
    with pytest.raises(SsdsError) as caught:
        looked(path, tmp_path)
    assert caught.value.code == "E286"


def test_another_platform_is_refused_and_names_what_there_is(tmp_path):
    with pytest.raises(SsdsError, match="linux/amd64"):
        looked(archive(tmp_path), tmp_path, Platform("linux/arm64"))
