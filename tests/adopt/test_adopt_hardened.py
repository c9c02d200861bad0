"""What is no image, what cannot be read or stored, and what would take hours."""

from __future__ import annotations

import json
import os
import shutil
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from old_places import Place
from old_tree import elf_head, sif_bytes

from ssds.adopt.codes import capped
from ssds.adopt.files import read_depot, read_shpc, read_sif
from ssds.adopt.lists import read_lists
from ssds.adopt.memory import Memory
from ssds.adopt.model import Reading
from ssds.adopt.trees import read_tree

SQUASHFS = b"hsqs" + bytes(92)
NOBODY = 65534


def codes(reading: Reading) -> list[str]:
    return [problem.code for problem in reading.problems]


def build(tree: Path, name: str) -> Path:
    """Returns the place of an image in a new build; the image is not there."""
    folder = tree / "containers" / name
    folder.mkdir(parents=True)
    return folder / f"{name}.simg"


@contextmanager
def as_nobody() -> Iterator[Path]:
    """Gives an open folder, and is an ordinary user in the block where root runs the tests."""
    folder = Path(tempfile.mkdtemp(prefix="ssds-adopt-"))
    folder.chmod(0o755)
    root = os.geteuid() == 0
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        for path in [folder, *folder.rglob("*")]:
            if path.is_dir():
                path.chmod(0o755)
        shutil.rmtree(folder)


def become_nobody() -> None:
    if os.geteuid() == 0:
        os.seteuid(NOBODY)


def test_what_is_no_image_for_a_machine_of_ours_is_told_and_not_adopted(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    program = build(tree, "ppc_1_20200101") / "bin"
    program.mkdir(parents=True)
    ident = b"\x7fELF\x02\x02\x01" + bytes(9)
    (program / "sh").write_bytes(ident + struct.pack(">HHI", 2, 21, 1) + bytes(40))
    build(tree, "empty_1_20200101").mkdir()
    build(tree, "zero_1_20200101").write_bytes(b"")
    build(tree, "page_1_20200101").write_bytes(b"404 Not Found")
    build(tree, "around_1_20200101").symlink_to("..")
    head = bytearray(sif_bytes_of("x"))
    build(tree, "cut_1_20200101").write_bytes(head[:500])
    head[45:47] = b"05"
    build(tree, "mips_1_20200101").write_bytes(head)
    build(tree, "old_1_20200101").write_bytes(b"#!/usr/bin/env run-singularity\n" + SQUASHFS)
    good = build(tree, "good_1_20200101") / "bin"
    good.mkdir(parents=True)
    (good / "bash").write_bytes(elf_head("arm64"))
    reading = read_tree(str(tree), Memory())
    assert {str(s.id): [*s.platforms] for s in reading.seen} == {
        "good_1_20200101": ["linux/arm64"],
        "old_1_20200101": ["linux/amd64"],
    }
    told = {os.path.basename(p.span.path).partition("_")[0]: p.code for p in reading.problems}
    assert told == {"around": "A004"} | dict.fromkeys(
        ("ppc", "empty", "zero", "page", "cut", "mips"), "A005"
    )


def sif_bytes_of(name: str) -> bytes:
    from old_tree import Old

    return sif_bytes(Old(name=name, version="1", built="", categories=(), commands=()))


def test_a_path_that_no_lock_can_hold_is_told_and_every_lock_can_be_read_again(
    few: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    depot = tmp_path / "a\nb"
    depot.mkdir()
    (depot / "samtools:1.16--h1").write_bytes(SQUASHFS)
    one = few.releases[0]
    image = few.tree / "containers" / one.id / f"{one.id}.simg"
    image.rename(few.tree / "we\nird")
    image.symlink_to("../../we\nird")
    folder = os.fsencode(tmp_path) + b"/sifs\xff"
    os.mkdir(folder)
    Path(os.fsdecode(folder), "tool_1.sif").write_bytes(SQUASHFS)
    sources = [f"tree={few.tree}", f"depot={depot}", f"sif={os.fsdecode(folder)}"]
    assert few.run("adopt", *sources) == 1
    said = capsys.readouterr()
    assert said.err.count("error[A003]") == 3
    assert "3 locks written" in said.out
    assert few.run("adopt", *sources, "--json") == 1
    assert few.run("plan") == 0
    assert few.run("check") == 0


@pytest.mark.parametrize("mode", [0o000, 0o711])
def test_a_build_that_cannot_be_opened_is_told_and_the_others_are_read(mode: int) -> None:
    with as_nobody() as folder:
        for name in ("good_1_20200101", "shut_1_20200101"):
            (build(folder, name) / "opt").mkdir(parents=True)
        shut = folder / "containers" / "shut_1_20200101"
        read_tree(str(folder), Memory())  # what is imported late is imported
        (shut / "shut_1_20200101.simg").chmod(0)
        shut.chmod(mode)
        become_nobody()
        reading = read_tree(str(folder), Memory())
    assert [str(s.id) for s in reading.seen] == ["good_1_20200101"]
    assert codes(reading) == ["A005"]
    assert [why.startswith("it") for _, why in reading.unmanaged] == [True]
    assert "no image" not in reading.unmanaged[0][1]


def test_folders_of_a_depot_of_shpc_and_of_lists_that_cannot_be_opened_are_told() -> None:
    with as_nobody() as folder:
        for name in ("depot/f/fastqc:1", "depot/s/samtools:1"):
            (folder / name).parent.mkdir(parents=True)
            (folder / name).write_bytes(SQUASHFS)
        for name in ("one", "two"):
            place = folder / "shpc" / name / "1.0"
            (place / "bin").mkdir(parents=True)
            (place / "module.lua").write_text(f"local containerPath = '{folder}/image.sif'\n")
        (folder / "image.sif").write_bytes(SQUASHFS)
        for name in ("a", "b"):
            (folder / "releases" / name).mkdir(parents=True)
            (folder / "releases" / name / "1.json").write_text(
                json.dumps({"apps": {f"{name} 1": {"version": "20200101"}}})
            )
        shut = ("depot/f", "shpc/one/1.0/bin", "releases/a")
        readings = [read_depot(f"{folder}/depot", Memory()), read_shpc(f"{folder}/shpc", Memory())]
        for name in shut:
            (folder / name).chmod(0)
        become_nobody()
        readings = [read_depot(f"{folder}/depot", Memory()), read_shpc(f"{folder}/shpc", Memory())]
        lists = read_lists(f"{folder}/releases")
    assert [[str(s.id) for s in reading.seen] for reading in readings] == [
        ["samtools_1"],
        ["two_1.0"],
    ]
    assert [codes(reading) for reading in readings] == [["A005"], ["A005"]]
    assert [len(reading.unmanaged) for reading in readings] == [1, 1]
    assert [str(entry.id) for entry in lists.listed] == ["b_1_20200101"]
    assert codes(lists) == ["A001"]


@pytest.mark.parametrize("image", ["/a\0b", "/", "relative", "/a\x1bb"])
def test_a_module_that_names_no_place_of_an_image_is_told(tmp_path: Path, image: str) -> None:
    folder = tmp_path / "quay.example.org" / "tool" / "1.0"
    folder.mkdir(parents=True)
    (folder / "module.lua").write_text(f"\n  local containerPath = '{image}'  \n")
    assert codes(read_shpc(str(tmp_path), Memory())) == ["A007"]


def test_nothing_takes_longer_than_its_size_says(tmp_path: Path) -> None:
    folder = tmp_path / "shpc" / "tool" / "1.0"
    folder.mkdir(parents=True)
    (folder / "module.lua").write_text("\n" * 60_000 + "set containerPath x" + " " * 60_000 + "x")
    apps = {f"t {n}": {"version": "x"} for n in range(12_000)}
    (tmp_path / "apps.json").write_text(json.dumps({"t": {"apps": apps}}, indent=1))
    started_s = time.process_time()
    assert codes(read_shpc(str(tmp_path / "shpc"), Memory())) == ["A007"]
    reading = read_lists(str(tmp_path / "apps.json"))
    assert time.process_time() - started_s < 5  # it took a minute and more
    assert len(reading.problems) == 12_000
    assert (reading.problems[0].span.line, reading.problems[0].span.column) == (4, 4)
    assert [p.span.line for p in reading.problems[1:3]] == [7, 10]


def test_of_one_file_a_hundred_findings_are_shown_and_the_rest_is_counted(
    few: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    (few.workspace / "log.txt").write_text("bad\n" * 1234)
    assert few.run("adopt", f"lists={few.workspace}/log.txt") == 1
    said = capsys.readouterr().err
    assert (said.count("error[A002]"), said.count("error[A009]")) == (100, 1)
    assert "1134" in said
    reading = read_lists(str(few.workspace / "log.txt"))
    assert [*capped(reading.problems[:100])] == [*reading.problems[:100]]


def test_a_list_with_a_byte_order_mark_is_read_and_a_wrong_number_is_told_as_such(
    tmp_path: Path,
) -> None:
    (tmp_path / "log.txt").write_bytes(b"\xef\xbb\xbffsl_6_20210101 categories:a,\n")
    reading = read_lists(str(tmp_path / "log.txt"))
    assert [str(entry.id) for entry in reading.listed] == ["fsl_6_20210101"]
    assert not reading.problems
    (tmp_path / "apps.json").write_text('{"a": ' + "9" * 5000 + "}")
    (problem,) = read_lists(str(tmp_path / "apps.json")).problems
    assert problem.code == "A001"
    assert "nested" not in dict(problem.facts)["reason"]
    assert "digits" in dict(problem.facts)["reason"]


def test_a_tree_named_by_its_containers_is_the_same_tree(few: Place) -> None:
    whole = read_tree(str(few.tree), Memory())
    assert read_tree(str(few.tree / "containers"), Memory()) == whole
    (few.tree / ".ssds").mkdir()
    name = few.releases[0].id
    (few.tree / ".ssds" / "links.json").write_text(
        json.dumps({"paths": [f"containers/{name}/{name}.simg"]})
    )
    seen = [read_tree(str(place), Memory()) for place in (few.tree, few.tree / "containers")]
    assert seen[0] == seen[1]
    assert len(seen[0].seen) == len(whole.seen) - 1
    assert not codes(seen[0])


def test_a_sif_file_that_is_a_link_to_a_folder_around_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "sifs" / "in").mkdir(parents=True)
    (tmp_path / "sifs" / "in_1.sif").symlink_to("in")
    (tmp_path / "sifs" / "out_1.sif").symlink_to(".")
    (tmp_path / "sifs" / "in" / "file").write_text("x")
    reading = read_sif(str(tmp_path / "sifs"), Memory())
    assert [str(s.id) for s in reading.seen] == ["in_1"]
    assert codes(reading) == ["A004"]
