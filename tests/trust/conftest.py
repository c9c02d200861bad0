"""A TUF repository in its first state, of each test's own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tuf_makers import Kit, new_kit


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    """Made once; no test changes it."""
    return new_kit(tmp_path_factory.mktemp("tuf") / "pub")


@pytest.fixture
def kit(made: Kit, tmp_path: Path) -> Kit:
    shutil.copytree(made.folder, tmp_path / "pub")
    return Kit(tmp_path / "pub", made.keys)
