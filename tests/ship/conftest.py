"""Trees that several tests run from."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from channel_places import CHANNEL, Place, Source
from object_servers import UploadServer, running_s3, upload_servers
from registry_server import running_registry
from ship_makers import site, tool_lock

from ssds.oci.blobs import Blobs
from ssds.oci.registry import Registry
from ssds.recipe.model import Channel
from ssds.ship.backend_registry import RegistryChannel
from ssds.ship.backends import open_channel
from ssds.ship.deploy import deploy
from ssds.ship.plug import Backend


@pytest.fixture(scope="session")
def tree() -> Iterator[str]:
    """A deployed tree that everybody can read, with spaces in its path."""
    folder = tempfile.mkdtemp(prefix="ssds ship ", dir="/var/tmp")
    os.chmod(folder, 0o755)
    blobs = Blobs(f"{folder}/blobs")
    deploy(site(runtimes=("plain",)), [tool_lock(blobs)], blobs, f"{folder}/the tree")
    yield f"{folder}/the tree"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def in_memory() -> Iterator[str]:
    """A folder in memory where the machine has one: tests that sync often wait for no disk."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = tempfile.mkdtemp(prefix="ssds-ship-", dir=place)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def registry_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("channel-registry")) as host:
        yield host


def objects_address(request: pytest.FixtureRequest, kind: str, prefix: str) -> str:
    """A place of its own in a server of that kind, and the credentials for it."""
    monkeypatch = request.getfixturevalue("monkeypatch")
    if kind == "s3":
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "for-this-test")
        return f"s3+http://{request.getfixturevalue('s3_host')}/depot/{prefix}"
    server = request.getfixturevalue("upload_server")
    if kind == "put":
        return f"http://{server.host}/{prefix}"
    monkeypatch.setenv("ST_AUTH", f"http://{server.host}/auth/v1.0")
    monkeypatch.setenv("ST_USER", "lab:ci")
    monkeypatch.setenv("ST_KEY", "for-this-test")
    return f"swift+http://{server.host}/v1/AUTH_lab/depot/{prefix}"


@pytest.fixture(scope="session")
def s3_host() -> Iterator[str]:
    with running_s3() as host:
        yield host


@pytest.fixture(scope="session")
def upload_server() -> Iterator[UploadServer]:
    with upload_servers() as server:
        yield server


@pytest.fixture(
    params=[
        "layout",
        pytest.param("registry", marks=pytest.mark.component("registry")),
        "s3",
        "put",
        "swift",
    ]
)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    blobs = Blobs(str(tmp_path / "blobs"))
    channel = CHANNEL
    if request.param == "registry":
        host = request.getfixturevalue("registry_host")
        prefix = f"lab{abs(hash(str(tmp_path)))}"
        channel = Channel(name="lab", kind="registry", location=f"{host}/{prefix}", insecure=True)
        backend: Backend = RegistryChannel(Registry(host, insecure=True, anonymous=True), prefix)
    elif request.param in ("s3", "put", "swift"):
        address = objects_address(request, request.param, f"lab{abs(hash(str(tmp_path)))}")
        channel = Channel(name="lab", kind="objects", location=address, insecure=True)
        backend = open_channel(channel, str(tmp_path))
    else:
        backend = open_channel(channel, str(tmp_path))
    return Place(backend=backend, channel=channel, source=Source(blobs), blobs=blobs)


@pytest.fixture(autouse=True)
def _no_spider_cache(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lmod's own program takes longer than a whole deployment: only tests of Lmod run it."""
    if not any(mark.args == ("lmod",) for mark in request.node.iter_markers("component")):
        monkeypatch.setattr("ssds.host.spider.program", lambda: "")
