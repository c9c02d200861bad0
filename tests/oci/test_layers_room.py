"""Layers that would not fit: a sparse file takes no room until somebody writes it out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ssds.core.errors import EnvironmentProblem, StepFailed
from ssds.oci.layers import export_layer


def export(tmp_path: Path, size_bytes: int) -> Path:
    (tmp_path / "upper/srv").mkdir(parents=True)
    sparse = tmp_path / "upper/srv/sparse\x1b[31m"
    sparse.touch()
    os.truncate(sparse, size_bytes)
    out = tmp_path / "layer.tar"
    export_layer(str(tmp_path / "upper"), (), 0, str(out))
    return out


def test_a_sparse_file_beyond_every_layer_is_refused_before_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match=r"/srv/sparse.* has 7696581394432 bytes") as told:
        export(tmp_path, 7 << 40)
    assert told.value.code == "O039"
    assert "\x1b" not in told.value.message
    assert os.path.getsize(tmp_path / "layer.tar") < 1 << 20


def test_a_layer_beyond_the_free_room_is_refused_before_it_is_written(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    free = disk.f_bavail * disk.f_frsize
    if free + (4 << 30) > 128 << 30:
        pytest.skip("the disk has room for every layer")
    with pytest.raises(EnvironmentProblem, match="free") as told:
        export(tmp_path, free + (4 << 30))
    assert told.value.code == "O040"
    assert os.path.getsize(tmp_path / "layer.tar") < 1 << 20


def test_a_sparse_file_that_fits_is_written_whole(tmp_path: Path) -> None:
    assert os.path.getsize(export(tmp_path, 3 << 20)) > 3 << 20


def test_folders_too_deep_for_every_layer_are_refused(tmp_path: Path) -> None:
    (tmp_path / "upper" / "/".join("d" * 300)).mkdir(parents=True)
    with pytest.raises(StepFailed, match="more than 200 deep"):
        export_layer(str(tmp_path / "upper"), (), 0, str(tmp_path / "layer.tar"))
