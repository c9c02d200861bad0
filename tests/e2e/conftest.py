"""The warm start of the end-to-end tests, shared by all workers of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from e2e_workspace import Site

COMPONENTS = ("apt", "sandbox", "mmdebstrap")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            for name in COMPONENTS:
                item.add_marker(pytest.mark.component(name))


@pytest.fixture
def site(warm: Site, tmp_path: Path) -> Site:
    """A copy of the warm start of this test's own."""
    return warm.copy(tmp_path / "site")


@pytest.fixture
def new_site(warm: Site, tmp_path: Path) -> Callable[[], Site]:
    """Makes copies of the warm start."""
    count = 0

    def make() -> Site:
        nonlocal count
        count += 1
        return warm.copy(tmp_path / f"site-{count}")

    return make
