"""Workspaces for the command line's tests: a plain one, and the warm start of the e2e tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e_workspace import Site, make_site


@pytest.fixture
def site(warm: Site, tmp_path: Path) -> Site:
    """A copy of the warm start: ``ground`` is released, ``tiny`` is locked only."""
    return warm.copy(tmp_path / "site")


@pytest.fixture
def plain(tmp_path: Path) -> Site:
    """A workspace with two recipes that were never locked, and no store."""
    site = make_site(tmp_path / "plain")
    site.recipe("tiny")
    site.recipe("ground")
    return site
