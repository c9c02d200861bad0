"""Unpacked layers: once, whole, under a lock, and gone when they should be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest
from rootfs import base, modes, scratch

from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import IntegrityError
from ssds.host.sandbox import Sandbox
from ssds.store.trees import Trees

pytestmark = [pytest.mark.component("sandbox"), pytest.mark.parametrize("mode", modes())]


@pytest.fixture
def trees(mode, tmp_path):
    made = Trees(str(tmp_path / "trees"), Sandbox(mode, str(tmp_path / "sandbox")))
    yield made
    made.sandbox.remove(str(tmp_path / "trees"))


def test_a_layer_is_unpacked_once(trees):
    first = trees.layer(*base())
    before = os.stat(first).st_ino
    assert trees.layer(*base()) == first
    assert os.stat(first).st_ino == before
    assert os.path.exists(f"{first}/etc/passwd")


def test_threads_that_want_the_same_layer_get_one(trees):
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(trees.layer(*base()))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


def test_other_bytes_under_a_digest_are_refused_and_leave_nothing(trees, tmp_path):
    digest, tar = base()
    with open(tar, "rb") as file:
        data = bytearray(file.read())
    data[2000] ^= 1
    (tmp_path / "bad.tar").write_bytes(data)
    with pytest.raises(IntegrityError) as caught:
        trees.layer(digest, str(tmp_path / "bad.tar"))
    assert caught.value.code == "O038"
    assert not [n for n in os.listdir(trees.folder) if n.startswith(digest.hex) and "lock" not in n]


def test_a_tree_from_another_boot_is_unpacked_again(trees):
    place = trees.layer(*base())
    with open(f"{place}.complete", "w", encoding="ascii") as file:
        file.write('{"boot": "before the power went"}')
    os.unlink(f"{place}/etc/passwd")
    assert trees.layer(*base()) == place
    assert os.path.exists(f"{place}/etc/passwd")


KILLED = """
import sys
sys.path[:0] = {path!r}
from ssds.core.digest import Digest
from ssds.host.sandbox import Sandbox
from ssds.store.trees import Trees
Trees({folder!r}, Sandbox({mode!r}, {folder!r} + "-sandbox")).layer(Digest({digest!r}), {tar!r})
"""


def test_killed_at_any_write_point_the_next_run_completes(mode, tmp_path):
    digest, tar = base()
    folder = str(tmp_path / "trees")
    code = KILLED.format(path=sys.path, folder=folder, mode=mode, digest=str(digest), tar=tar)
    trace = str(tmp_path / "trace")

    def run(**environment):
        return subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **environment}, check=False
        ).returncode

    trees = Trees(folder, Sandbox(mode, folder + "-sandbox"))
    assert run(SSDS_FAULT_TRACE=trace) == 0
    with open(trace, encoding="utf-8") as file:
        points = file.read().split()
    assert len(points) >= 5
    for point in points:
        trees.forget(())
        assert run(SSDS_FAULT_KILL=point) == -signal.SIGKILL
        place = trees.layer(digest, tar)
        assert os.path.exists(f"{place}/etc/passwd")
    trees.sandbox.remove(folder)


def test_forget_removes_what_is_not_kept(trees, tmp_path):
    place = trees.layer(*base())
    empty = b"\0" * 1024
    (tmp_path / "empty.tar").write_bytes(empty)
    other = trees.layer(sha256_of(empty), str(tmp_path / "empty.tar"))
    assert trees.forget([base()[0]]) == 1
    assert os.path.isdir(place)
    assert not os.path.exists(other)
    assert trees.layer(sha256_of(empty), str(tmp_path / "empty.tar")) == other


def test_sweep_removes_what_dead_processes_left(trees):
    dead = subprocess.Popen(["true"])
    dead.wait()
    mine = trees.new_upper()
    left = os.path.join(os.path.dirname(mine), f"upper-{dead.pid}-abc")
    os.mkdir(left)
    os.mkdir(os.path.join(trees.folder, "0" * 64 + ".new"))
    assert trees.sweep() == 2
    assert os.path.isdir(mine)
    assert not os.path.exists(left)
    trees.discard(mine)


def test_a_digest_is_a_digest(trees):
    with pytest.raises(ValueError, match="is not a digest"):
        trees.layer(Digest("../../etc"), f"{scratch()}/base.tar")
