"""What the machine and the world refuse: each a clear error that names the node and the remedy."""

from __future__ import annotations

import errno
import hashlib
import http.server
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from e2e_workspace import Ended, Site, assert_no_traceback, check_error, finish, kill

ROOT_ONLY = pytest.mark.component("root")
MIB = 1 << 20
DATA = b"some data\n" * 1000


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serves a folder on a port of this machine; gives its address."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, directory=str(folder), **kwargs)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def with_source(site: Site, address: str) -> None:
    """Writes the recipe ``fetched``, whose source is ``data.txt`` below an address."""
    source = f'{{url: "{address}/data.txt", sha256: {hashlib.sha256(DATA).hexdigest()}}}'
    old = "base: debian-12\nbuild:\n"
    site.recipe("fetched", old, f"base: debian-12\nsources:\n  data: {source}\nbuild:\n")
    site.edit(
        "catalog/fetched/recipe.yaml", "build:\n", "build:\n  - copy: {source: data, to: /opt/}\n"
    )


@pytest.fixture
def published(tmp_path: Path) -> Path:
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "data.txt").write_bytes(DATA)
    return folder


def locked(site: Site, published: Path) -> None:
    """Locks ``fetched`` while its mirror is there, and forgets the bytes."""
    with served(published) as address:
        with_source(site, address)
        site.good("lock")
    site.blob("sha256:" + hashlib.sha256(DATA).hexdigest()).unlink(missing_ok=True)


def test_a_vanished_mirror_names_the_node_and_stops_no_other(site, published):
    locked(site, published)
    ended = site.run("apply", "--yes")
    check_error(ended, "FAILED data.txt:source", "fetched@1.0:build", "127.0.0.1")
    states = site.states()
    assert states["tiny@1.0:index"] == "done"
    assert states["fetched@1.0:build"] == "skipped"
    text = (site.workspace / "catalog/fetched/recipe.yaml").read_text(encoding="utf-8")
    with served(published) as address:  # it comes back elsewhere; the pin stays
        old = text.split('url: "')[1].split("/data.txt")[0]
        for path in (site.workspace / "lockfiles/fetched@1.0.lock.json",):
            path.write_text(path.read_text(encoding="utf-8").replace(old, address))
        site.edit("catalog/fetched/recipe.yaml", old, address)
        site.good("apply", "--yes")
    site.good("plan", "--detailed-exitcode")


def test_a_wrong_checksum_names_both_digests_and_keeps_nothing(site, published):
    locked(site, published)
    (published / "data.txt").write_bytes(b"other data".ljust(len(DATA)))
    wrong = hashlib.sha256((published / "data.txt").read_bytes()).hexdigest()
    lock = site.workspace / "lockfiles/fetched@1.0.lock.json"
    recipe = site.workspace / "catalog/fetched/recipe.yaml"
    old = recipe.read_text(encoding="utf-8").split('url: "')[1].split("/data.txt")[0]
    with served(published) as address:
        for path in (lock, recipe):
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace(old, address), encoding="utf-8")
        ended = site.run("apply", "--yes")
    check_error(ended, "fetched@1.0", hashlib.sha256(DATA).hexdigest()[:12], wrong[:12])
    assert not site.blob(f"sha256:{wrong}").exists()
    assert site.good("store", "verify").out == "Clean.\n"


def test_a_mirror_that_hangs_can_be_stopped(site, published):
    locked(site, published)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        for name in ("lockfiles/fetched@1.0.lock.json", "catalog/fetched/recipe.yaml"):
            path = site.workspace / name
            text = path.read_text(encoding="utf-8")
            old = text.split("http://127.0.0.1:")[1].split("/")[0]
            path.write_text(text.replace(f"http://127.0.0.1:{old}", address), encoding="utf-8")
        process = site.start("apply", "--yes", "fetched")
        server.settimeout(60)
        connection, _ = server.accept()
        began = time.monotonic()
        kill(process, signal.SIGINT)
        ended = finish(process, 60)
        connection.close()
    assert ended.code == 130, ended.text
    assert time.monotonic() - began < 35  # the longest wait for an answer
    assert_no_traceback(ended)
    assert site.await_quiet() == []


def test_a_mirror_without_the_packages_is_named_by_lock(site, tmp_path):
    site.write(
        "ssds.yaml", "store: {path: ../store}\nmirrors: {debian: ['http://127.0.0.1:9/x']}\n"
    )
    site.recipe("wanting", "build:\n", "build:\n  - apt: [hello]\n")
    locks = site.locks()
    ended = site.run("lock", "wanting")
    check_error(ended, "wanting@1.0", "127.0.0.1:9")
    assert {k: v for k, v in site.locks().items() if k in locks} == locks
    assert site.run("plan", "tiny").code == 0


def inside(site: Site, prepare: str, *arguments: str) -> Ended:
    """Runs ssds in a mount namespace of its own, after some shell lines."""
    script = f'{prepare}\nexec "$@"'
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", script, "sh"]
    process = subprocess.Popen(
        [*command, *site._arguments(arguments)],
        env=site._environment({}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd="/",
    )
    return finish(process, 180)


@ROOT_ONLY
def test_a_missing_tool_names_the_node_and_its_package(site):
    blobs = sorted(site.blob("sha256:").iterdir(), key=lambda p: p.stat().st_size)
    blobs[-1].unlink()  # the base: it must be bootstrapped again
    ended = inside(site, "mount --bind /dev/null /usr/bin/mmdebstrap", "apply", "--yes", "tiny")
    check_error(ended, "debian-12:base", "mmdebstrap", "apt-get install mmdebstrap")
    assert site.leftovers() == []


@ROOT_ONLY
def test_a_read_only_workspace_is_told_before_anything_runs(site):
    workspace = site.workspace
    prepare = f"mount --bind '{workspace}' '{workspace}'\nmount -o remount,ro,bind '{workspace}'"
    locks = site.locks()
    ended = inside(site, prepare, "apply", "--yes")
    check_error(ended, str(workspace), "read-only")
    assert site.locks() == locks
    assert inside(site, prepare, "plan").code == 0
    site.good("apply", "--yes")


def test_a_recipe_that_cannot_be_read_is_named(site):
    path = site.workspace / "catalog/tiny/recipe.yaml"
    path.unlink()
    path.mkdir()
    ended = site.run("apply", "--yes")
    assert_no_traceback(ended)
    assert ended.code == 1
    assert "catalog/tiny/recipe.yaml" in ended.err


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[Path]:
    """Gives a file system of its own of that size: a loop mount, or one in memory."""
    place, image = folder / "disk", folder / "disk.img"
    place.mkdir()
    with open(image, "wb") as file:
        file.truncate(size_bytes)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    loop = subprocess.run(["mount", "-o", "loop", str(image), str(place)], capture_output=True)
    if loop.returncode:
        options = ["-o", f"size={size_bytes}", "tmpfs", str(place)]
        memory = subprocess.run(["mount", "-t", "tmpfs", *options], capture_output=True)
        if memory.returncode:
            pytest.skip(f"no file system can be mounted here: {loop.stderr.decode()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path, left_bytes: int) -> Path:
    """Writes a file that leaves so much room."""
    ballast = place / "ballast"
    os.sync()  # what was copied just now may have no blocks yet
    wanted = max(1, shutil.disk_usage(place).free - left_bytes)
    with open(ballast, "wb") as file:
        while True:
            try:
                os.posix_fallocate(file.fileno(), 0, wanted)
            except OSError as error:
                if error.errno != errno.ENOSPC or wanted < MIB:
                    raise
                wanted -= MIB // 8  # the map of its own blocks needs room too
            else:
                return ballast


@ROOT_ONLY
@pytest.mark.slow
def test_a_full_disk_is_told_at_every_stage_and_the_next_run_completes(warm, tmp_path):
    size = sum(p.stat().st_size for p in warm.store.rglob("*") if p.is_file())
    with small_disk(tmp_path, size + 500 * MIB) as place:
        shutil.copytree(warm.workspace, place / "site" / "workspace", symlinks=True)
        site = Site(place / "site")
        warm.copy_store(site.store)
        # 24 MiB in the step's changes, as its layer, unpacked, and compressed.
        big = "      head -c 24M /dev/urandom > /opt/tiny/noise; wc -l"
        site.edit("catalog/tiny/recipe.yaml", "      wc -l", big)
        locks = site.locks()
        for left in (0, MIB // 4, 8 * MIB, 30 * MIB, 60 * MIB, 80 * MIB):
            shutil.rmtree(site.store)
            warm.copy_store(site.store)
            ballast = fill(place, left)
            ended = site.run("apply", "--yes")
            assert_no_traceback(ended)
            if ended.code:
                check_error(ended)
                told = ("disk is full", "disk is nearly full", "No space left")
                assert any(words in ended.err for words in told), ended.text
                assert "pace" in ended.err
                assert left < MIB or "tiny@1.0" in ended.err, ended.text
            else:
                assert left >= 60 * MIB
            ballast.unlink()
            assert site.await_quiet() == []
            site.good("apply", "--yes")
            assert site.good("store", "verify").out == "Clean.\n"
            assert site.leftovers() == []
            for name, data in locks.items():
                (site.workspace / "lockfiles" / name).write_bytes(data)
