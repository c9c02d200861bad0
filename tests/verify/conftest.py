"""A registry for the tests that need a real one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from registry_server import running_registry


@pytest.fixture(scope="session")
def registry_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("verify-registry")) as host:
        yield host
