"""Blobs: whole or not there, also after SIGKILL at every write point."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import IntegrityError, InvalidValue, UnavailableError
from ssds.store.blobs import Blobs
from ssds.store.store import Store

DATA = b"some bytes of a layer" * 1000


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(str(tmp_path / "blobs"))


def names(blobs: Blobs) -> list[str]:
    return sorted(os.listdir(blobs.folder)) if os.path.isdir(blobs.folder) else []


def test_what_was_put_is_read_back_and_cannot_be_written(blobs: Blobs) -> None:
    digest = blobs.put(DATA)
    assert digest == sha256_of(DATA)
    assert blobs.read(digest) == DATA
    assert (blobs.has(digest), blobs.size(digest)) == (True, len(DATA))
    assert stat.S_IMODE(os.stat(blobs.path(digest)).st_mode) == 0o444
    assert list(blobs.all()) == [digest]


def test_a_writer_keeps_its_bytes_at_the_end_of_the_block(blobs: Blobs) -> None:
    with blobs.writer() as writer:
        for start in range(0, len(DATA), 700):
            writer.write(DATA[start : start + 700])
        assert names(blobs) == [n for n in names(blobs) if n.startswith(".ssds-tmp-")]
    assert (writer.digest, writer.size) == (sha256_of(DATA), len(DATA))
    assert blobs.read(writer.digest) == DATA


def test_other_bytes_than_promised_leave_nothing(blobs: Blobs) -> None:
    promised = sha256_of(b"other")
    with pytest.raises(IntegrityError, match="not the promised"):
        blobs.put(DATA, promised)
    with pytest.raises(IntegrityError, match="not the promised"), blobs.writer(promised) as writer:
        writer.write(DATA)
    with pytest.raises(IntegrityError, match="instead of 9"), blobs.writer(size_bytes=9) as writer:
        writer.write(DATA)
    with pytest.raises(ZeroDivisionError), blobs.writer() as writer:
        writer.write(b"x" * (1 // 0))
    assert names(blobs) == []


def test_a_blob_that_is_not_there_is_named(blobs: Blobs) -> None:
    ghost = sha256_of(b"ghost")
    for ask in (blobs.path, blobs.size, blobs.read, blobs.open):
        with pytest.raises(UnavailableError, match=ghost.hex) as caught:
            ask(ghost)
        assert caught.value.hint
    assert not blobs.has(ghost)


def test_damage_is_noticed_on_reading(blobs: Blobs) -> None:
    digest = blobs.put(DATA)
    path = blobs.path(digest)
    os.chmod(path, 0o644)
    Path(path).write_bytes(DATA[:-1] + b"x")
    with pytest.raises(IntegrityError, match="damaged"):
        blobs.read(digest)
    with pytest.raises(IntegrityError, match="damaged"):
        list(blobs.chunks(digest))
    with pytest.raises(IntegrityError, match="larger than 10 bytes"):
        blobs.read(digest, 10)


def test_a_blob_that_was_cut_is_written_anew(blobs: Blobs) -> None:
    digest = blobs.put(DATA)
    os.truncate(blobs.path(digest), 10)
    blobs.put(DATA)
    assert blobs.read(digest) == DATA


def test_a_blake3_digest_names_no_blob(blobs: Blobs) -> None:
    other = Digest("blake3:" + "0" * 64)
    assert not blobs.has(other)
    with pytest.raises(InvalidValue):
        blobs.path(other)


def test_a_finished_file_is_moved_in(blobs: Blobs, tmp_path: Path) -> None:
    for number in range(2):
        file = tmp_path / f"layer-{number}.tar"
        file.write_bytes(DATA)
        blobs.adopt(str(file), sha256_of(DATA))
        assert not file.exists()
    assert blobs.read(sha256_of(DATA)) == DATA
    assert stat.S_IMODE(os.stat(blobs.path(sha256_of(DATA))).st_mode) == 0o444
    with pytest.raises(UnavailableError):
        blobs.adopt(str(tmp_path / "none"), sha256_of(DATA))


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a second disk")
def test_a_file_on_another_disk_is_copied_in(blobs: Blobs) -> None:
    import tempfile

    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        file = Path(folder) / "x"
        file.write_bytes(DATA)
        blobs.adopt(str(file), sha256_of(DATA))
        assert not file.exists()
    assert blobs.read(sha256_of(DATA)) == DATA
    assert names(blobs) == [sha256_of(DATA).hex]


def test_many_threads_put_the_same_bytes(blobs: Blobs) -> None:
    failures = []

    def work() -> None:
        try:
            for number in range(20):
                blobs.put(b"%d" % number * 5000)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(names(blobs)) == 20


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=6))
def test_blobs_are_a_map_from_digest_to_bytes(parts: list[bytes]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        blobs = Blobs(folder)
        for part in parts:
            with blobs.writer(sha256_of(part), len(part)) as writer:
                writer.write(part)
        assert {d: blobs.read(d) for d in blobs.all()} == {sha256_of(p): p for p in parts}


WORK = """
import sys
from ssds.core.canonical import action_key
from ssds.core.model import Claim
from ssds.core.canonical import canonical_bytes
from ssds.store.store import Store
store = Store(sys.argv[1])
digest = store.blobs.put(b"one" * 1000)
with store.blobs.writer() as writer:
    writer.write(b"two" * 1000)
with open(sys.argv[1] + "-file", "wb") as file:
    file.write(b"three" * 1000)
from ssds.core.digest import sha256_of
store.blobs.adopt(sys.argv[1] + "-file", sha256_of(b"three" * 1000))
pre = {"kind": "build", "platform": "linux/amd64"}
claim = Claim(key=action_key(pre), kind="build", outputs={"a": digest, "b": writer.digest})
store.claims.add(claim, canonical_bytes(pre), "x@1:build")
store.register_workspace("/example", {digest: "locked"})
from ssds.oci.types import Descriptor, CONFIG
store.layout.set_tags({"x": Descriptor(media_type=CONFIG, digest=digest, size_bytes=3000)})
from ssds.store.gc import collect
collect(store, {writer.digest: "kept"}, keep_seconds=-1)
"""


def work(store: Path, **faults: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", WORK, str(store)],
        env={**os.environ, **faults},
        capture_output=True,
        check=False,
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.returncode


@pytest.mark.slow
def test_a_kill_at_any_write_point_leaves_a_store_that_works(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    assert work(tmp_path / "whole", SSDS_FAULT_TRACE=str(trace)) == 0
    points = trace.read_text().split()
    assert len(points) > 25
    for number, point in enumerate(points):
        path = tmp_path / f"store-{number}"
        assert work(path, SSDS_FAULT_KILL=point) == -signal.SIGKILL, point
        store = Store(str(path))
        assert store.verify() == [], point
        store.close()
        assert work(path) == 0, point
        store = Store(str(path))
        assert store.verify() == [], point
        assert store.sweep() == 0, point
        assert [
            len(c) for c in store.claims.find_many(c.key for c in store.claims.all()).values()
        ] == [1]
        store.close()


FULL = """
import os, sys
from ssds.core.canonical import action_key, canonical_bytes
from ssds.core.errors import EnvironmentProblem
from ssds.core.model import Claim
from ssds.store.store import Store
store = Store(sys.argv[1])
small = store.blobs.put(b"small")
value = {"kind": "build", "platform": "any"}
claim = Claim(key=action_key(value), kind="build", outputs={"o": small})
store.claims.add(claim, canonical_bytes(value))
def refused(work):
    try:
        work()
    except EnvironmentProblem as error:
        assert error.hint, error
    else:
        raise SystemExit("it was not refused")
def stream():
    with store.blobs.writer() as writer:
        for _ in range(64):
            writer.write(os.urandom(1 << 20))
refused(lambda: store.blobs.put(os.urandom(8 << 20)))
refused(stream)
def claims():
    for number in range(20000):
        value = {"kind": "build", "platform": "any", "n": number, "text": "x" * 2000}
        claim = Claim(key=action_key(value), kind="build", outputs={"o": small})
        store.claims.add(claim, canonical_bytes(value))
refused(claims)
assert list(store.blobs.all()) == [small]
assert store.blobs.strays() == [] and store.sweep() == 0
assert store.verify() == []
"""


@pytest.mark.component("root")
def test_a_full_disk_is_said_and_leaves_nothing_half_made(tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o size=4m none "$1" && exec "$2" -c "$3" "$1/store"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path), sys.executable, FULL],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.component("root")
def test_another_users_store_is_refused_with_a_reason(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    store.blobs.put(DATA)
    store.close()
    os.chmod(tmp_path / "store", 0o700)
    script = (
        "import os, sys\nfrom ssds.core.errors import SsdsError\n"
        "from ssds.store.store import Store\n"
        "import ssds.oci.layout, ssds.store.claims, sqlite3, json, encodings.unicode_escape\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n        Store(path)\n"
        "    except SsdsError as error:\n        assert error.hint, error\n"
        "    else:\n        raise SystemExit('it was opened')\n"
    )
    for folder in (tmp_path.parent.parent, tmp_path.parent, tmp_path):
        os.chmod(folder, 0o755)
    places = [str(tmp_path / "store"), str(tmp_path / "new"), str(tmp_path / "store/blobs/x")]
    done = subprocess.run([sys.executable, "-c", script, *places], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
