"""A released workspace for the tests of the plan index, made once and copied for each test."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import index_bench
import pytest
from index_bench import Bench

from ssds.workspace import Workspace


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which nothing is to do, without an index; never to be changed."""
    folder = tmp_path_factory.mktemp("released")
    index_bench.make(folder)
    gc.collect()
    gc.freeze()
    return folder


@pytest.fixture
def bench(released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A copy of it with an index that trusts everything."""
    monkeypatch.setattr(Workspace, "builder", lambda *_: "")
    monkeypatch.setenv("SSDS_USER_SETTINGS", os.devnull)
    found = index_bench.copy(released, tmp_path / "bench").warm()
    assert found.is_hot(), index_bench.untrue_rows(found)
    return found
