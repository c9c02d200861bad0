"""A folder that an export keeps: renewed, tidied, and never anybody else's file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssds.core.errors import Refused
from ssds.exports.folder import LOCK, RECORD, keep_export
from ssds.exports.offers import Export

NAMES = st.sampled_from(["a", "b/c", "b/d", "e/f/g"])
FILES = st.dictionaries(NAMES, st.binary(max_size=3), max_size=4)


def keep(folder: Path, **files: bytes) -> object:
    return keep_export(str(folder), "test", Export(files=files))


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (RECORD, LOCK)
    }


@settings(max_examples=25, deadline=None)
@given(rounds=st.lists(FILES, min_size=1, max_size=4), own=st.binary(max_size=3))
def test_after_every_export_the_folder_holds_it_and_what_others_put_there(
    rounds: list[dict[str, bytes]], own: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("x")
    for number, files in enumerate(rounds):
        keep_export(str(folder), "test", Export(files=files))
        again = keep_export(str(folder), "test", Export(files=files))
        assert not again.written
        assert not again.removed
        mine = {"b/mine": own} if number else {}
        assert tree(folder) == {**files, **mine}
        (folder / "b").mkdir(exist_ok=True)
        (folder / "b/mine").write_bytes(own)


def test_a_folder_of_somebody_else_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(Refused, match="no export of ssds"):
        keep(tmp_path, a=b"1")
    assert os.listdir(tmp_path) == ["thesis.txt"]


def test_a_file_that_somebody_changed_stops_the_export_before_anything_is_written(
    tmp_path: Path,
) -> None:
    keep(tmp_path, a=b"1", b=b"1")
    (tmp_path / "a").write_bytes(b"edited")
    with pytest.raises(Refused, match="changed since: a"):
        keep(tmp_path, a=b"2", b=b"2")
    assert tree(tmp_path) == {"a": b"edited", "b": b"1"}


def test_a_changed_file_that_is_no_longer_wanted_stays(tmp_path: Path) -> None:
    keep(tmp_path, a=b"1", b=b"1")
    (tmp_path / "a").write_bytes(b"edited")
    kept = keep_export(str(tmp_path), "test", Export(files={}))
    assert list(kept.edited) == ["a"]
    assert tree(tmp_path) == {"a": b"edited"}


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    keep(tmp_path / "x", **{"b/c": b"1"})
    (tmp_path / "x/b/c").unlink()
    (tmp_path / "x/b").rmdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "x/b").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused):
        keep(tmp_path / "x", **{"b/c": b"2"})
    assert not os.listdir(tmp_path / "elsewhere")


def test_another_form_needs_another_folder(tmp_path: Path) -> None:
    keep(tmp_path, a=b"1")
    with pytest.raises(Refused, match="of the form 'test', not 'other'"):
        keep_export(str(tmp_path), "other", Export(files={}))


CODE = """
import sys
from ssds.exports.folder import keep_export
from ssds.exports.offers import Export
keep_export(sys.argv[1], "test", Export(files={"a": b"2", "e/f": b"2"}))
"""


def test_killed_at_any_point_the_next_run_completes(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    keep(tmp_path / "0", **{"a": b"1", "b/c": b"1"})
    environment = {**os.environ, "SSDS_FAULT_TRACE": str(trace)}
    subprocess.run([sys.executable, "-c", CODE, tmp_path / "0"], env=environment, check=True)
    points = trace.read_text().split()[::3]
    assert len(points) > 4
    for number, point in enumerate(points, start=1):
        folder = tmp_path / str(number)
        keep(folder, **{"a": b"1", "b/c": b"1"})
        environment = {**os.environ, "SSDS_FAULT_KILL": point}
        done = subprocess.run([sys.executable, "-c", CODE, folder], env=environment, check=False)
        assert done.returncode == -9
        subprocess.run([sys.executable, "-c", CODE, folder], check=True)
        assert tree(folder) == {"a": b"2", "e/f": b"2"}
