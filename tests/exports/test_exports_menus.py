"""Menus of NeuroDesk's lists: what freedesktop.org's and NeuroDesk's own programs make of them."""

from __future__ import annotations

import base64
import configparser
import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from module_systems import LMOD, shell_in
from ship_makers import image, release, small_tar

from ssds.core.digest import sha256_of
from ssds.core.platform import Platform
from ssds.exports.folder import keep_export
from ssds.exports.menus import LAUNCHER, MENU
from ssds.exports.neurodesk import export_neurodesk
from ssds.exports.offers import Export, Offer, offers
from ssds.lock.model import AdoptedAbout, Adoption, Lock, PlatformLock, VariantLock
from ssds.oci.blobs import Blobs

ARM64 = Platform("linux/arm64")
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
PNG = b"\x89PNG\r\n\x1a\n"
ODD = 'run "the thing" 100% $HOME `id` \\x'
FIELDS = {
    "summary": "x",
    "categories": ["image analysis", "workflows"],
    "gui": [{"name": "viewer", "command": "tool --view"}, {"name": "odd", "command": ODD}],
    "webapp": {
        "title": "Tool", "command": "tool serve", "port": 8080, "startup_timeout_s": 60,
        "proxies": [{"path": "tool/api", "port": 8082}],
    },
    "extra": {"icon": f"data:image/png;base64,{base64.b64encode(PNG).decode()}"},
}  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[Offer]:
    """One release with windows, a page and icons, for amd64 and arm64."""
    blobs = Blobs(str(tmp_path_factory.mktemp("blobs")))
    icon = blobs.put(SVG)
    files = {"webapp.icon": [{"path": "icon.svg", "sha256": str(icon)}], "gui[0].icon": "wrong"}
    about = {"metadata_version": 1, "fields": FIELDS, "files": files}
    half = image(blobs, [small_tar({"usr/bin/tool": b"#!/bin/sh\n"})], ("tool",), {})
    (one,) = offers([release(blobs, half, about=about)], blobs, {})
    platforms = {**one.released.platforms, ARM64: half}
    return [replace(one, released=replace(one.released, epoch=1767225600, platforms=platforms))]


def old_lock() -> Lock:
    page = json.dumps({"title": "Old", "startup_command": "old serve", "port": 1})
    about = AdoptedAbout(built="20200101", applications=(("oldGUI", "old"),), webapp=page)
    half = Adoption(digest=sha256_of(b"x"), locations=("/c/old",), about=about)
    sections = {Platform("linux/amd64"): PlatformLock(adopted=half)}
    return Lock(
        name="old", version="1", variants={"": VariantLock(origin="adopted", platforms=sections)}
    )


def entry(data: bytes) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read_string(data.decode())
    return parser["Desktop Entry"]


@pytest.mark.component("desktop-file-validate")
def test_every_entry_and_folder_is_sound_and_the_menu_names_them(
    found: list[Offer], tmp_path: Path
) -> None:
    place = str(tmp_path / "a place")
    export = export_neurodesk(found, [old_lock()], place=place)
    keep_export(place, "neurodesk", export)
    files = [f"{place}/{p}" for p in export.files if p.endswith((".desktop", ".directory"))]
    assert len(files) > 12
    done = subprocess.run(
        ["desktop-file-validate", "--no-hints", *files], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
    menu = ET.fromstring(export.files[MENU])
    assert [e.text for e in menu.iter("AppDir")] == [f"{place}/applications"]
    for directory in menu.iter("Directory"):
        assert f"desktop-directories/{directory.text}" in export.files
    offered = {e.text for e in menu.iter("Category")}
    shown = {entry(d)["Categories"] for p, d in export.files.items() if p.endswith(".desktop")}
    assert {f"{name};" for name in offered} == shown
    titles = [e.text for e in menu.iter("Name")]
    assert {"All Applications", "image analysis", "workflows", "tool", "tool_arm64"} <= {*titles}
    viewer = entry(export.files["applications/viewer-tool-1_0.desktop"])
    assert viewer["Exec"] == f'/bin/bash "{place}/{LAUNCHER}" tool 1.0 tool --view'
    assert export.files[viewer["Icon"].removeprefix(f"{place}/")] == PNG
    assert entry(export.files["applications/old-1.desktop"])["Icon"] == "applications-science"


def test_a_page_is_listed_in_their_words_with_its_icon_beside(found: list[Offer]) -> None:
    export = export_neurodesk(found, [old_lock()])
    listed = json.loads(export.files["webapps.json"])["webapps"]
    assert listed["tool"] == {
        "title": "Tool", "startup_command": "tool serve", "port": 8080, "startup_timeout": 60,
        "additional_proxies": [{"path": "tool/api", "port": 8082}],
        "icon": "icons/webapps/tool.svg", "module": "tool", "version": "1.0",
    }  # fmt: skip
    assert export.files["icons/webapps/tool.svg"] == SVG
    assert listed["old"]["title"] == "Old"
    arm = json.loads(export.files["releases/tool_arm64/1.0.json"])
    assert (arm["variant"], arm["architecture"]) == ("arm64", "aarch64")
    assert b"tool_arm64_1.0_20260101 categories:" in export.files["log.txt"]


@pytest.mark.component("lmod")
def test_the_launcher_runs_a_command_in_its_module(found: list[Offer], tmp_path: Path) -> None:
    launcher = tmp_path / LAUNCHER
    launcher.write_bytes(export_neurodesk(found).files[LAUNCHER])
    folder = tmp_path / "modules" / "tool"
    folder.mkdir(parents=True)
    (folder / "1.0.lua").write_text(f'prepend_path("PATH", "{tmp_path}/bin")\n')
    (tmp_path / "bin").mkdir()
    tool = tmp_path / "bin" / "tool"
    tool.write_text('#!/bin/sh\necho "$@"\n')
    tool.chmod(0o755)
    text = f'export LMOD_CMD={LMOD}; bash {launcher} tool 1.0 tool "a b" c'
    done = shell_in("lmod", str(folder.parent), text)
    assert done.stdout == b"a b c\n", done.stderr
    text = f"bash {launcher} tool 2.0 tool < /dev/null"
    failed = shell_in("lmod", str(folder.parent), text)
    assert failed.returncode == 1
    assert b"tool/2.0 cannot be started: tool" in failed.stderr


@pytest.mark.component("lmod")
def test_the_launcher_of_an_image_for_arm64_loads_the_one_module_there_is(
    found: list[Offer], tmp_path: Path
) -> None:
    launcher = tmp_path / LAUNCHER
    files = export_neurodesk(found).files
    launcher.write_bytes(files[LAUNCHER])
    assert " tool_arm64 1.0" in entry(files["applications/tool_arm64-1_0.desktop"])["Exec"]
    (tmp_path / "modules/tool").mkdir(parents=True)
    (tmp_path / "modules/tool/1.0.lua").write_text('setenv("SAID", "one module")\n')
    text = f"export LMOD_CMD={LMOD}; bash {launcher} tool_arm64 1.0 printenv SAID"
    done = shell_in("lmod", str(tmp_path / "modules"), text)
    assert done.stdout == b"one module\n", done.stderr


def test_labels_that_differ_by_signs_only_have_an_entry_each() -> None:
    several = [replace(old_lock(), version=version) for version in ("1.0+1", "1.0-1", "1.0")]
    files = export_neurodesk([], several).files
    named = {p: entry(d)["Name"] for p, d in files.items() if p.startswith("applications/old-1")}
    assert sorted(named.values()) == ["old 1.0", "old 1.0+1", "old 1.0-1"]
    assert "applications/old-1_0-1-2.desktop" in named


def test_a_variant_for_arm64_keeps_its_name(found: list[Offer]) -> None:
    (one,) = found
    released = replace(one.released, id=one.released.id._replace(variant="mpich"))
    files = export_neurodesk([replace(one, released=released)]).files
    (path,) = [p for p in files if p.startswith("releases/tool_arm64/")]
    arm = json.loads(files[path])
    assert (arm["variant"], arm["architecture"]) == ("mpich", "aarch64")


@pytest.mark.component("shellcheck")
def test_the_launcher_is_sound(found: list[Offer], tmp_path: Path) -> None:
    launcher = tmp_path / LAUNCHER
    launcher.write_bytes(export_neurodesk(found).files[LAUNCHER])
    done = subprocess.run(["shellcheck", launcher], capture_output=True, text=True, check=False)
    assert done.stdout == ""


# -- their own programs ---------------------------------------------------------------------------


@pytest.fixture
def their(tmp_path: Path) -> Path:
    """A copy of neurocommand."""
    folder = os.environ.get("SSDS_NEUROCOMMAND", "")
    if not folder:
        pytest.skip("SSDS_NEUROCOMMAND names no checkout of neurocommand")
    return Path(shutil.copytree(folder, tmp_path / "their", symlinks=True))


def put(export: Export, their: Path) -> None:
    (their / "neurodesk/apps.json").write_bytes(export.files["apps.json"])


def test_their_lists_made_of_our_applications_are_ours(found: list[Offer], their: Path) -> None:
    export = export_neurodesk(found, [old_lock()])
    put(export, their)
    (their / "log.txt").unlink(missing_ok=True)
    subprocess.run([sys.executable, their / "neurodesk/write_log.py"], cwd=their, check=True)
    written = [s.strip(" []") for s in (their / "log.txt").read_text().splitlines() if s.strip()]
    assert written == export.files["log.txt"].decode().splitlines()
    (their / "log.txt").write_bytes(export.files["log.txt"])
    words = ["--log-path", "log.txt", "--output", "made.json"]
    subprocess.run([sys.executable, their / "cvmfs/json_gen.py", *words], cwd=their, check=True)
    made = json.loads((their / "made.json").read_text())
    assert made == json.loads(export.files["applist.json"])


def test_their_menu_made_of_our_applications_has_our_entries(
    found: list[Offer], their: Path
) -> None:
    export = export_neurodesk(found, [old_lock()])
    put(export, their)
    installed = their / "local"
    (installed / "icons").mkdir(parents=True)
    (their / "config.ini").write_text("")
    program = (
        "from pathlib import Path; from neurodesk.build_menu import build_menu; "
        f"build_menu(Path({str(installed)!r}), 'lxde', '')"
    )
    subprocess.run([sys.executable, "-c", program], cwd=their, check=True, capture_output=True)
    theirs = {p.name: entry(p.read_bytes()) for p in (installed / "applications").iterdir()}
    ours = {os.path.basename(p): entry(d) for p, d in export.files.items() if "applications/" in p}
    ours = {name: e for name, e in ours.items() if name.endswith(".desktop")}
    assert theirs.keys() - ours.keys() == {"help.desktop", "update.desktop"}
    assert ours.keys() <= theirs.keys()
    for name, one in ours.items():
        for key in ("Name", "GenericName", "Comment", "Terminal", "Type"):
            assert one.get(key, one["Name"]) == theirs[name][key], (name, key)
