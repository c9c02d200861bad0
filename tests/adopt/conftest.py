"""One made-up tree for all tests of adoption; copies of it may be changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from old_places import Place, new_workspace
from old_tree import make_lists, make_tree, old_releases


@pytest.fixture(scope="session")
def old(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Sixty releases; never to be changed."""
    place = Place(tmp_path_factory.mktemp("old"), tuple(old_releases(60)))
    make_tree(place.tree, place.releases)
    make_lists(place.lists, place.releases)
    new_workspace(place.workspace)
    return place


@pytest.fixture
def few(tmp_path: Path) -> Place:
    """Four releases, to be changed: three folders and a SIF file."""
    chosen = old_releases(60)[:4]
    place = Place(tmp_path, tuple(chosen))
    make_tree(place.tree, chosen)
    make_lists(place.lists, chosen)
    new_workspace(place.workspace)
    return place
