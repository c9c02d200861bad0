"""SIF files, a depot, an installation that SHPC itself made, and tags of a registry."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from oci_makers import put_release
from old_places import Place
from old_tree import Old, sif_bytes
from ship_makers import site

from ssds.adopt.files import file_name, read_depot, read_shpc, read_sif
from ssds.adopt.memory import Memory
from ssds.adopt.model import Reading
from ssds.adopt.registries import read_registry
from ssds.core.digest import sha256_of
from ssds.core.errors import UsageError
from ssds.exports.shpc import export_shpc
from ssds.host.mirrors import Mirrors
from ssds.oci.layout import Layout

SQUASHFS = b"hsqs" + bytes(92)
ARM = Old(name="x", version="1", built="", categories=(), commands=("x",), machine="arm64")


def ids(reading: Reading) -> list[str]:
    return [str(seen.id) for seen in reading.seen]


def codes(reading: Reading) -> list[str]:
    return [problem.code for problem in reading.problems]


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("fsl_6.0.4_20210105.simg", "fsl_6.0.4_20210105"),
        ("fsl_6.0.4.sif", "fsl_6.0.4"),
        ("fastqc:0.11.9--hdfd78af_1.sif", "fastqc_0.11.9--hdfd78af_1"),
        ("fsl-6.0.4.sif", "None"),
        ("my_tool_1.sif", "None"),
        ("my_tool_v_2_20200101.sif", "None"),
        ("my_tool_2_20200101.sif", "None"),
        ("tool_arm64_2_20200101.sif", "tool_arm64_2_20200101"),
        ("my_backup.sif", "None"),
        ("tool_v2.sif", "tool_v2"),
    ],
)
def test_a_file_name_that_may_be_split_in_two_ways_is_not_split(name: str, want: str) -> None:
    assert str(file_name(name)) == want


def test_sif_files_are_adopted_for_the_machine_that_their_head_names(tmp_path: Path) -> None:
    (tmp_path / "x_1.sif").write_bytes(sif_bytes(ARM))
    (tmp_path / "y_2.img").write_bytes(SQUASHFS)
    (tmp_path / "z-3.sif").write_bytes(b"")
    (tmp_path / "u_4.sif").symlink_to("/etc/passwd")
    (tmp_path / "notes").write_text("")
    reading = read_sif(str(tmp_path), Memory())
    assert ids(reading) == ["x_1", "y_2"]
    assert [dict(seen.platforms) for seen in reading.seen] == [
        {"linux/arm64": sha256_of(sif_bytes(ARM))},
        {"linux/amd64": sha256_of(SQUASHFS)},
    ]
    assert sorted(codes(reading)) == ["A003", "A004"]
    assert ids(read_sif(str(tmp_path / "x_1.sif"), Memory())) == ["x_1"]
    with pytest.raises(UsageError, match="there is no"):
        read_sif(str(tmp_path / "none.sif"), Memory())


def test_a_depot_of_galaxy_is_adopted_flat_and_below_two_letters(tmp_path: Path) -> None:
    (tmp_path / "f" / "a").mkdir(parents=True)
    (tmp_path / "f" / "a" / "fastqc:0.11.9--hdfd78af_1").write_bytes(SQUASHFS)
    (tmp_path / "samtools:1.16--h6899075_1").write_bytes(SQUASHFS)
    (tmp_path / "Upper:1").write_bytes(SQUASHFS)
    reading = read_depot(str(tmp_path), Memory())
    assert sorted(ids(reading)) == ["fastqc_0.11.9--hdfd78af_1", "samtools_1.16--h6899075_1"]
    assert codes(reading) == ["A003"]


@pytest.mark.component("shpc")
def test_an_installation_that_shpc_itself_made_is_adopted(tmp_path: Path) -> None:
    image = tmp_path / "image.sif"
    image.write_bytes(sif_bytes(ARM))
    recipe = tmp_path / "registry/quay.example.org/bio/tool/container.yaml"
    recipe.parent.mkdir(parents=True)
    digest = "sha256:" + "0a" * 32
    recipe.write_text(
        "docker: quay.example.org/bio/tool\nurl: https://example.org\nmaintainer: '@x'\n"
        f"description: x\nlatest: {{'1.9': '{digest}'}}\ntags: {{'1.9': '{digest}'}}\n"
        "aliases: {tool: /usr/bin/tool, tool-index: /usr/bin/tool-index}\n"
    )
    (tmp_path / "settings.yml").write_bytes(export_shpc([], site()).files["settings.yml"])
    code = "import sys; from shpc.client import run_shpc; sys.exit(run_shpc())"
    words = ["install", "quay.example.org/bio/tool:1.9", str(image), "--keep-path"]
    done = subprocess.run(
        [sys.executable, "-c", code, "--settings-file", str(tmp_path / "settings.yml"), *words],
        env={**os.environ, "HOME": str(tmp_path), "SSDS_SHPC": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    reading = read_shpc(str(tmp_path / "modules"), Memory())
    (seen,) = reading.seen
    assert (str(seen.id), seen.place) == ("tool_1.9", str(image))
    assert seen.platforms == {"linux/arm64": sha256_of(image.read_bytes())}
    assert seen.commands == ("tool", "tool-index")
    assert seen.more == ("quay.example.org/bio/tool:1.9",)
    assert seen.span.path.endswith("module.lua")
    image.unlink()
    assert codes(read_shpc(str(tmp_path / "modules"), Memory())) == ["A005"]


def test_tags_of_a_repository_are_adopted_by_the_digest_of_each_platform(
    tmp_path: Path, few: Place
) -> None:
    layout = Layout(str(tmp_path / "layout"))
    index = put_release(layout.blobs)
    layout.set_tags(dict.fromkeys(("6.0.4_20210105", "6.0.5", "latest", "6_0/x"), index))
    mirrors = Mirrors(images={"registry.example.org/lab/fsl": f"oci:{tmp_path}/layout"})
    reading = read_registry("registry.example.org/lab/fsl", mirrors)
    assert ids(reading) == ["fsl_6.0.4_20210105", "fsl_6.0.5"]
    first, second = reading.seen
    assert set(first.platforms) == {"linux/amd64", "linux/arm64"}
    assert first.platforms == second.platforms
    assert len(set(first.platforms.values())) == 2
    assert first.place == "registry.example.org/lab/fsl:6.0.4_20210105"
    assert codes(reading) == ["A003"]


def test_a_word_that_is_no_source_says_which_there_are(few: Place) -> None:
    assert few.run("adopt", "trees=/x") == 1
    assert few.run("adopt", "tree=/nowhere/at/all") == 1
    assert few.run("adopt", f"lists={few.workspace}/catalog") == 1
    assert few.run("adopt", f"tree={few.tree}", "--fallback", "docker://x") == 1
    assert few.run("adopt", f"tree={few.tree}", "--choose", "fsl") == 1
