"""A store, and a cache in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from cache_places import Where

from ssds.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"))


@pytest.fixture
def where(tmp_path: Path) -> Where:
    folder = tmp_path / "remote"
    return Where(writing=str(folder), reading=str(folder), folder=folder)
