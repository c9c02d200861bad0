"""Writing a tree from the merged view: contained, readable, plain."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from oci_makers import entry, folder, hard, link, write_tars

from ssds.core.errors import EnvironmentProblem, IntegrityError, UnavailableError
from ssds.oci.flatten import FlatTree, flatten
from ssds.oci.unpack import write_paths, write_tree


def view(where: Path, *layers: list) -> FlatTree:
    where.mkdir(exist_ok=True)
    return flatten(write_tars(where, layers))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_tree_is_written_with_contents_links_modes_and_times(tmp_path: Path) -> None:
    tree = view(
        tmp_path / "tars",
        [
            folder("bin", mode=0o700),
            entry("bin/run", content=b"#!/bin/sh\n", mode=0o700),
            folder("etc", mode=0o750),
            entry("etc/shadow", content=b"root:*", mode=0o600),
            link("sh", "bin/run"),
            link("outside", "/etc/passwd"),
            hard("bin/same", "bin/run"),
        ],
        [entry("etc/issue", content=b"hello", mtime=-5)],
    )
    out = tmp_path / "out"
    report = write_tree(tree, str(out))
    assert (report.files, report.folders, report.symlinks, report.hard_links) == (3, 3, 2, 1)
    assert report.size_bytes == len(b"#!/bin/sh\n") + len(b"root:*") + len(b"hello")
    assert (mode(out / "bin"), mode(out / "bin/run")) == (0o755, 0o755)
    assert (mode(out / "etc"), mode(out / "etc/shadow")) == (0o755, 0o600)
    assert (out / "bin/same").stat().st_ino == (out / "bin/run").stat().st_ino
    assert os.readlink(out / "outside") == "/etc/passwd"
    assert (out / "bin/run").stat().st_mtime == 1_000_000_000
    assert (out / "outside").lstat().st_mtime == 1_000_000_000
    assert (out / "etc/issue").stat().st_mtime == 0
    assert (out / "etc/issue").read_bytes() == b"hello"


def test_setuid_is_stripped_and_devices_are_dropped_and_both_are_told(tmp_path: Path) -> None:
    tree = view(
        tmp_path / "tars",
        [
            entry("su", content=b"x", mode=0o4755),
            entry("dev/null", "char"),
            entry("pipe", "fifo"),
            entry("disk", "block"),
            folder("tmp", mode=0o1777),
        ],
    )
    report = write_tree(tree, str(tmp_path / "out"))
    assert mode(tmp_path / "out/su") == 0o755
    assert mode(tmp_path / "out/tmp") == 0o755
    assert report.dropped == ("dev/null", "disk", "pipe")
    assert report.stripped == ("su",)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["dev", "su", "tmp"]


def test_modes_stay_as_they_are_when_asked(tmp_path: Path) -> None:
    tree = view(tmp_path / "tars", [folder("d", mode=0o500), entry("d/f", mode=0o640)])
    write_tree(tree, str(tmp_path / "out"), readable_for_all=False)
    assert (mode(tmp_path / "out/d"), mode(tmp_path / "out/d/f")) == (0o500, 0o640)


def test_a_layer_cannot_write_through_its_own_links(tmp_path: Path) -> None:
    prey = tmp_path / "prey"
    prey.mkdir()
    (prey / "file").write_text("mine")
    tree = view(
        tmp_path / "tars",
        [link("a", str(prey)), entry("a/file", content=b"evil"), link("b", "../prey")],
        [entry("b/file", content=b"evil"), hard("c", "b/file"), link("d", str(prey / "file"))],
        [entry("d", content=b"evil")],
    )
    write_tree(tree, str(tmp_path / "out"))
    assert (prey / "file").read_text() == "mine"
    assert list(prey.iterdir()) == [prey / "file"]
    assert (tmp_path / "out" / str(prey)[1:] / "file").read_bytes() == b"evil"


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/x").touch()
    tree = view(tmp_path / "tars", [entry("a")])
    with pytest.raises(EnvironmentProblem, match="not empty"):
        write_tree(tree, str(tmp_path / "out"))


def test_a_layer_that_was_cut_after_reading_its_headers_is_noticed(tmp_path: Path) -> None:
    tree = view(tmp_path / "tars", [entry("a", content=b"x" * 5000)])
    os.truncate(tree.layers[0], 1500)
    with pytest.raises(IntegrityError, match="was cut"):
        write_tree(tree, str(tmp_path / "out"))
    with pytest.raises(IntegrityError, match="was cut"):
        tree.read("a", 9000)


def test_ten_thousand_pairs_of_hard_links_need_no_open_files(tmp_path: Path) -> None:
    import resource

    count = 3000
    layer = [entry(f"a/{i}") for i in range(count)] + [
        hard(f"b/{i}", f"a/{i}") for i in range(count)
    ]
    tree = view(tmp_path / "tars", layer)
    soft, top = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, top))
    try:
        report = write_tree(tree, str(tmp_path / "out"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, top))
    assert report.hard_links == count


def test_chosen_paths_are_written_under_their_last_names(tmp_path: Path) -> None:
    tree = view(
        tmp_path / "tars",
        [
            folder("usr"),
            folder("usr/bin"),
            entry("usr/bin/tool-2", content=b"t", mode=0o755),
            link("usr/bin/tool", "tool-2"),
            folder("opt"),
            folder("opt/x", mode=0o700),
            entry("opt/x/y", content=b"y"),
            link("bin", "usr/bin"),
        ],
    )
    write_paths(tree, str(tmp_path / "out"), ["/bin/tool", "/opt/x/"])
    assert (tmp_path / "out/tool").read_bytes() == b"t"
    assert not (tmp_path / "out/tool").is_symlink()
    assert (tmp_path / "out/x/y").read_bytes() == b"y"
    assert mode(tmp_path / "out/x") == 0o700
    with pytest.raises(UnavailableError, match="no path '/usr/none'"):
        write_paths(tree, str(tmp_path / "out"), ["/usr/none"])
    with pytest.raises(IntegrityError, match="both named"):
        write_paths(tree, str(tmp_path / "two"), ["/usr/bin/tool", "/bin/tool"])
    with pytest.raises(UnavailableError):
        write_paths(tree, str(tmp_path / "three"), ["/"])


def test_the_deepest_path_that_is_taken_can_be_written(tmp_path: Path) -> None:
    tree = view(tmp_path / "tars", [entry("/".join(["n"] * 200), content=b"x")])
    write_tree(tree, str(tmp_path / "out"))
    assert tmp_path.joinpath("out", *["n"] * 200).read_bytes() == b"x"
