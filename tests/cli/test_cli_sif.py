"""``ssds sif``: a released image as one file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from e2e_workspace import Site, check_error

from ssds.sif.container import read_container

pytestmark = [pytest.mark.component(name) for name in ("apt", "sandbox", "mmdebstrap")]


def test_the_file_is_the_released_image_and_the_same_each_time(warm: Site, tmp_path: Path) -> None:
    first, second = tmp_path / "a.sif", tmp_path / "b.sif"
    second.write_bytes(b"what stood there before")
    told = json.loads(warm.good("sif", "ground", "--out", str(first), "--json").out)
    warm.good("sif", "ground@1.0", "--out", str(second))
    data = first.read_bytes()
    assert data == second.read_bytes()
    assert told["sha256"] == hashlib.sha256(data).hexdigest()
    assert told["size"] == len(data)
    with first.open("rb") as file:
        assert read_container(file).architecture == told["platform"].split("/")[1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.sif", "b.sif"]


def test_what_was_never_released_for_a_platform_is_told(warm: Site, tmp_path: Path) -> None:
    out = str(tmp_path / "x.sif")
    check_error(warm.run("sif", "ground", "--platform", "linux/arm64", "--out", out), "E180")
    assert not list(tmp_path.iterdir())


def test_a_place_that_takes_no_file_is_told_before_any_work(warm: Site, tmp_path: Path) -> None:
    check_error(warm.run("sif", "ground", "--out", str(tmp_path)), "is a folder")
    check_error(warm.run("sif", "ground", "--out", str(tmp_path / "no/x")), "is no folder")
