"""The normalisation rules, and the writer's exact bytes."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import struct
import subprocess
import tarfile

import pytest

from ssds.core.errors import IntegrityError
from ssds.oci import normal
from ssds.oci.layers import export_layer, export_tree
from ssds.oci.tarwriter import FOLDER, REGULAR, SYMLINK, Member, TarWriter

EPOCH = 1_700_000_000


@pytest.mark.parametrize(
    "path",
    [
        *("run", "run/lock/x", "tmp", "var/tmp", "var/tmp/x", "dev/null", "proc", "sys/x"),
        *("etc/resolv.conf", "etc/hostname", "etc/passwd-", "etc/.pwd.lock"),
        *("var/log/dpkg.log", "var/log/dpkg.log.1", "var/log/apt/history.log"),
        *("var/cache/apt/pkgcache.bin", "var/cache/apt/archives/partial"),
        *("var/lib/apt/lists/partial", "var/lib/dpkg/status-old", "var/lib/dpkg/lock-frontend"),
        *("etc/ssh/ssh_host_rsa_key.pub", "var/cache/ldconfig/aux-cache"),
    ],
)
def test_what_a_machine_leaves_is_dropped(path):
    assert normal.is_dropped(path)


@pytest.mark.parametrize(
    "path",
    [
        *("etc/passwd", "etc/resolv.conf.d", "opt/run", "var", "var/lib/apt/lists", "devel"),
        *("var/lib/dpkg/status", "var/log/apt", "usr/share/doc-", "var/cache/apt/archives"),
        *("etc/machine-id", "home/tmp", "var/tmpfiles", "etc/default/x-"),
    ],
)
def test_what_software_brings_is_kept(path):
    assert not normal.is_dropped(path)


def _store(entries, *, password="changeit"):
    body = struct.pack(">III", 0xFEEDFEED, 2, len(entries))
    for alias, moment, data in entries:
        name = alias.encode()
        body += struct.pack(">IH", 2, len(name)) + name + struct.pack(">Q", moment)
        body += struct.pack(">H", 5) + b"X.509" + struct.pack(">I", len(data)) + data
    seed = password.encode("utf-16-be") + b"Mighty Aphrodite"
    return body + hashlib.sha1(seed + body, usedforsecurity=False).digest()


def test_java_trust_stores_lose_their_times_and_order():
    one = _store([("b", 111, b"B"), ("a", 222, b"A")])
    two = _store([("a", 333, b"A"), ("b", 444, b"B")])
    fixed = normal.java_trust_store(one, EPOCH)
    assert fixed == normal.java_trust_store(two, EPOCH)
    assert fixed == _store([("a", EPOCH * 1000, b"A"), ("b", EPOCH * 1000, b"B")])
    assert normal.java_trust_store(fixed, EPOCH) == fixed


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        b"\xfe\xed\xfe\xed" + bytes(100),
        _store([("a", 1, b"A")], password="another"),
        _store([("a", 1, b"A")])[:-1],
    ],
)
def test_other_stores_are_left_as_they_are(data):
    assert normal.java_trust_store(data, EPOCH) == data


def test_the_owner_of_file_capabilities_is_dropped():
    second = bytes.fromhex("0100000200200000") + bytes(12)
    third = bytes.fromhex("0100000300200000") + bytes(12) + struct.pack("<I", 100000)
    assert normal.plain_capability(third) == second
    assert normal.plain_capability(second) == second


def test_the_writers_bytes_are_fixed():
    """A golden: other bytes rebuild every layer; raise NORMAL_VERSION and say so."""
    stream = io.BytesIO()
    writer = TarWriter(stream)
    writer.add(Member(name=b"opt", kind=FOLDER, mode=0o755, mtime=EPOCH))
    writer.add(Member(name=b"opt/f", kind=REGULAR, size_bytes=3, uid=1000), [b"abc"])
    writer.add(Member(name=b"opt/" + b"n" * 120, kind=SYMLINK, link=b"\xc3\xbc", mode=0o777))
    writer.add(Member(name=b"x", kind=REGULAR, xattrs={b"user.b": b"\0", b"user.a": b"1"}))
    writer.add(Member(name=b"big-owner", kind=FOLDER, uid=3_000_000))
    digest = writer.finish()
    assert digest == "sha256:" + hashlib.sha256(stream.getvalue()).hexdigest()
    assert digest.hex == GOLDEN
    stream.seek(0)
    with tarfile.open(fileobj=stream) as archive:
        members = archive.getmembers()
    assert [m.name for m in members] == ["opt", "opt/f", "opt/" + "n" * 120, "x", "big-owner"]
    assert members[2].linkname == "\u00fc"
    assert members[3].pax_headers["SCHILY.xattr.user.b"] == "\0"
    assert members[4].uid == 3_000_000


GOLDEN = "d6fc69ac1340e4c0217a8c20d1ee48e9e27fb4a64a0ee073c2672ed2bef127bb"


@pytest.mark.parametrize("content", [[b"ab"], [b"abcd"], [b"ab", b"cd"], []])
def test_a_file_that_changed_while_it_was_read_is_refused(content):
    with pytest.raises(IntegrityError, match="changed while it was read"):
        TarWriter(io.BytesIO()).add(Member(name=b"f", kind=REGULAR, size_bytes=3), content)


def test_record_lengths_count_their_own_digits():
    for size in range(70, 130):
        stream = io.BytesIO()
        writer = TarWriter(stream)
        writer.add(Member(name=b"f", kind=REGULAR, xattrs={b"user.v": b"v" * size}))
        writer.finish()
        stream.seek(0)
        with tarfile.open(fileobj=stream) as archive:
            assert len(archive.next().pax_headers["SCHILY.xattr.user.v"]) == size


@pytest.mark.skipif(not shutil.which("tar"), reason="needs tar")
def test_a_tree_with_another_order_on_disk_gives_the_same_layer(tmp_path):
    names = [f"{c}{n}" for n in range(30) for c in "zaM-_. "]
    for order, place in ((names, "one"), (list(reversed(names)), "two")):
        os.makedirs(tmp_path / place / "usr")
        for name in order:
            (tmp_path / place / "usr" / name).write_text(name)
    one = export_tree(str(tmp_path / "one"), 1, str(tmp_path / "1.tar"))
    two = export_tree(str(tmp_path / "two"), 1, str(tmp_path / "2.tar"))
    assert one.diff_id == two.diff_id
    done = subprocess.run(["tar", "-tf", str(tmp_path / "1.tar")], capture_output=True, check=True)
    assert len(done.stdout.splitlines()) == one.entries


def test_sockets_are_left_out_and_reported(tmp_path):
    import socket

    (tmp_path / "root").mkdir()
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "root/sock"))
        layer = export_layer(str(tmp_path / "root"), [], 1, str(tmp_path / "x.tar"))
    assert (layer.entries, layer.skipped) == (0, ("sock",))
