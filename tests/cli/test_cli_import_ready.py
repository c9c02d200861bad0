"""``ssds import shpc|ducc|galaxy``: images of others as recipes, end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from ship_makers import releasable_index, run, tool_lock

from ssds.core.errors import InvalidValue
from ssds.importers.ready import (
    ReadyMade,
    read_depot,
    read_ducc,
    read_shpc,
    ready_text,
    with_own_names,
)
from ssds.oci.layout import Layout

SHA = "sha256:" + "0a" * 32
CONTAINER = f"""\
docker: registry.example.org/bio/samtools
url: https://example.org/samtools
maintainer: '@somebody'
description: |
  Reads {{{{ alignments }}}}
  and more
latest:
  1.10--h1_0: {SHA}
tags:
  1.9--h1_0: {SHA}
  1.10--h1_0: {SHA}
  latest: {SHA}
aliases:
  samtools: /usr/local/bin/samtools
  bgzip: bgzip
  other: /usr/local/bin/samtools other
env:
  HTS_PATH: /data
features:
  gpu: true
"""


def test_an_entry_of_shpc_becomes_its_newest_version_with_its_commands() -> None:
    made = read_shpc(CONTAINER.encode(), "container.yaml")
    assert made.name == "samtools"
    assert made.versions == {"1.10--h1_0": f"registry.example.org/bio/samtools:1.10--h1_0@{SHA}"}
    assert made.commands == ("bgzip", "samtools")
    assert made.environment == {"HTS_PATH": "/data"}
    assert made.gpu
    assert ["other" in note for note in made.notes] == [True]


def test_all_versions_are_in_order_and_a_moving_tag_is_named_by_its_digest() -> None:
    made = read_shpc(CONTAINER.encode(), "container.yaml", every_version=True)
    assert list(made.versions)[-1] == "1.10--h1_0"
    assert set(made.versions) == {"1.9--h1_0", "1.10--h1_0", "0a" * 6}
    recipe = yaml.safe_load(ready_text(made, ""))
    assert "version" not in recipe
    assert recipe["versions"]["1.10--h1_0"] == {}
    assert recipe["base"]["image"].endswith(f"1.10--h1_0@{SHA}")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("docker: [", "not YAML"),
        ("- a", "no map"),
        ("oras: x/y", "SIF file"),
        ("docker: 'https://x/y'\ntags: {a: b}", "does not name an image"),
        ("docker: x/y\ntags: {}", "no tags"),
        ("docker: x/y\ntags: {'a b': c}\n", "cannot"),
        ("docker: x/y\ntags: {latest: c}\n", "tag moves and is no version"),
    ],
)
def test_what_cannot_be_a_recipe_is_told_with_its_file(text: str, reason: str) -> None:
    with pytest.raises(InvalidValue, match=reason) as caught:
        read_shpc(text.encode(), "a/container.yaml")
    assert "a/container.yaml" in caught.value.message


@given(st.text(max_size=200))
def test_no_text_makes_a_file_a_traceback(text: str) -> None:
    for read in (read_shpc, read_ducc):
        try:
            read(text.encode("utf-8", "replace"), "x")
        except InvalidValue:
            continue


@given(st.text(max_size=80), st.dictionaries(st.text(max_size=10), st.text(max_size=20)))
def test_a_hostile_description_stays_text(summary: str, more: dict[str, str]) -> None:
    entry = {"docker": "x.example.org/y", "tags": {"1": SHA}, "description": summary, "env": more}
    made = read_shpc(yaml.safe_dump(entry, allow_unicode=True).encode(), "x")
    recipe = yaml.safe_load(ready_text(made, "# from\n"))
    assert set(recipe) <= {
        *("name", "version", "summary", "licenses", "platforms", "base", "build", "deploy")
    }


def test_a_list_of_ducc_gives_each_image_once_and_names_what_it_cannot() -> None:
    found, problems = read_ducc(
        b"version: 1\ninput:\n"
        b"  - https://registry.example.org/lab/a:1\n"
        b"  - https://registry.example.org/lab/a:1\n"
        b"  - https://registry.example.org/lab/a:2\n"
        b"  - https://registry.example.org/lab/b:*\n",
        "recipe.yaml",
    )
    assert [(m.name, list(m.versions)) for m in found] == [("a", ["1", "2"])]
    assert "a pattern of tags" in problems[0]


def test_flat_and_hashed_names_of_a_depot_are_the_same_image() -> None:
    names = ["all/fastqc:0.11.9--hdfd78af_1", "f/a/fastqc:0.11.9--hdfd78af_1", "README"]
    names.append("mulled-v2-0a0b:1c1d-0")
    found, problems = read_depot(names, "registry.example.org/bio")
    assert [(m.name, m.versions) for m in found] == [
        ("fastqc", {"0.11.9--hdfd78af_1": "registry.example.org/bio/fastqc:0.11.9--hdfd78af_1"}),
        ("mulled-v2-0a0b", {"1c1d-0": "registry.example.org/bio/mulled-v2-0a0b:1c1d-0"}),
    ]
    assert "README" in problems[0]


def test_images_of_one_name_are_told_apart_by_their_place() -> None:
    two = [
        ReadyMade(name="samtools", place=f"{host}.example.org/bio/samtools", versions={"1": "x"})
        for host in ("a", "b")
    ]
    names = [made.name for made in with_own_names(two)]
    assert names == ["a.example.org-bio-samtools", "b.example.org-bio-samtools"]


def ssds(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ssds", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.component("sandbox")
def test_an_image_of_others_is_locked_scanned_unpacked_and_wrapped_like_ours(
    tmp_path: Path,
) -> None:
    layout = Layout(str(tmp_path / "theirs"))
    found = releasable_index(tool_lock(layout.blobs))
    layout.set_tags({"registry.example.org/lab/tool:1.0": found})
    work = tmp_path / "work"
    work.mkdir()
    ssds(work, "init")
    (work / "ssds.yaml").write_text(
        f"images: {{registry.example.org/lab/tool: 'oci:{layout.path}'}}\nstore: {{path: .store}}\n"
    )
    (work / "wish.yaml").write_text("input: ['https://registry.example.org/lab/tool:1.0']\n")
    (work / "catalog/sites").mkdir(parents=True)
    (work / "catalog/sites/x.yaml").write_text("title: X\nplatforms: [linux/amd64]\n")
    done = ssds(work, "import", "ducc", "wish.yaml")
    assert done.returncode == 0, done.stderr
    again = ssds(work, "import", "ducc", "wish.yaml")
    assert "0 recipes written, 1 were there already" in again.stdout
    for words in (("check",), ("lock", "tool"), ("apply", "--yes", "tool")):
        done = ssds(work, *words)
        assert done.returncode == 0, done.stdout + done.stderr
    lock = json.loads((work / "lockfiles/tool@1.0.lock.json").read_text())
    half = lock["variants"]["default"]["platforms"]["linux/amd64"]
    assert half["release"]["found"] == ["show", "sibling", "tool"]
    assert "scan" in half["latest"]
    assert ssds(work, "deploy", "--site", "x", "--to", str(tmp_path / "tree")).returncode == 0
    wrapped = run([str(tmp_path / "tree/sites/x/wrappers/tool/1.0/bin/tool"), "hello"])
    assert wrapped.stdout == b"hello\n"
    (work / "catalog/sites/y.yaml").write_text(
        "title: Y\nplatforms: [linux/amd64]\nexclude: ['licence:LicenseRef-not-stated-yet']\n"
    )
    for name, taken in (("x", 1), ("y", 0)):
        out = str(tmp_path / f"export-{name}")
        done = ssds(work, "export", "neurodesk", "--to", out, "--site", name, "--json")
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        listed = json.loads(Path(out, "apps.json").read_text())
        assert len(said["left_out"]) + len(listed) == taken
