"""Trees that several tests run from."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest
from ship_makers import site, tool_lock

from ssds.oci.blobs import Blobs
from ssds.ship.deploy import deploy


@pytest.fixture(scope="session")
def tree() -> Iterator[str]:
    """A deployed tree that everybody can read, with spaces in its path."""
    folder = tempfile.mkdtemp(prefix="ssds ship ", dir="/var/tmp")
    os.chmod(folder, 0o755)
    blobs = Blobs(f"{folder}/blobs")
    deploy(site(runtimes=("plain",)), [tool_lock(blobs)], blobs, f"{folder}/the tree")
    yield f"{folder}/the tree"
    shutil.rmtree(folder, ignore_errors=True)
