"""Squashfs images: what unsquashfs reads is the tree, and equal trees have equal bytes."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oci_makers import entry, folder, hard, link, tar_bytes, write_tars

from ssds.core.errors import StepFailed, UnavailableError
from ssds.oci.flatten import FlatTree, flatten
from ssds.sif.blocks import BLOCK_BYTES
from ssds.sif.squashfs import Written, write_squashfs

EPOCH = 1_700_000_000
Entries = Sequence[tuple[tarfile.TarInfo, bytes]]
unsquash = pytest.mark.component("squashfs")
needs_root = pytest.mark.component("root")


def noise(size: int, seed: bytes = b"") -> bytes:
    return hashlib.shake_256(b"ssds" + seed).digest(size)


def owned(item: tuple[tarfile.TarInfo, bytes], uid: int, gid: int) -> tuple[tarfile.TarInfo, bytes]:
    item[0].uid, item[0].gid = uid, gid
    return item


def hard_cases() -> Entries:
    """What file systems and tars make difficult, once each."""
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    many = [entry(f"many/{n:05d}-{'x' * (n % 60)}", content=b"%d" % n) for n in range(3000)]
    return [
        folder("d", mode=0o2751),
        owned(entry("d/owned", content=b"o"), 70_000, 4_000_000_000),
        entry("d/setuid", content=b"s", mode=0o4755),
        entry("d/" + "n" * 255, content=b"long name"),
        link("d/link", "../" + "t" * 3000),
        entry("d/empty"),
        entry("d/block", content=noise(BLOCK_BYTES)),
        entry("d/blocks-and-tail", content=noise(3 * BLOCK_BYTES + 17, b"2")),
        entry("d/holes", content=bytes(2 * BLOCK_BYTES) + b"x" + bytes(BLOCK_BYTES)),
        entry("d/only-holes", content=bytes(4 * BLOCK_BYTES)),
        entry("d/twin-1", content=noise(BLOCK_BYTES + 5, b"twin")),
        entry("d/twin-2", content=noise(BLOCK_BYTES + 5, b"twin")),
        entry("d/marked", pax={"SCHILY.xattr.user.note": "a note"}),
        entry("d/marked-too", pax={"SCHILY.xattr.user.note": "a note"}),
        folder("d/marked-folder", pax={"SCHILY.xattr.user.note": "another"}),
        entry("d/able", pax={"SCHILY.xattr.security.capability": capability.decode("latin-1")}),
        hard("d/second-name", "d/owned"),
        entry("d/ancient", mtime=0),
        entry("d/caf\u00e9"),
        folder("many"),
        *many,
        folder("e"),
        folder("e/f"),
        folder("e/f/g", mode=0o1777),
    ]


def written(tree: FlatTree, path: Path) -> Written:
    with path.open("w+b") as file:
        return write_squashfs(tree, file, epoch=EPOCH)


def made(where: Path, *layers: Entries) -> tuple[FlatTree, Path, Written]:
    tree = flatten(write_tars(where, layers))
    path = where / "fs.sqfs"
    return tree, path, written(tree, path)


def unpacked(path: Path, where: Path) -> Path:
    done = subprocess.run(
        ["unsquashfs", "-no-progress", "-d", str(where), str(path)],
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return where


def facts(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything that a program can see of a tree; names of one file share a number."""
    found: dict[str, tuple[object, ...]] = {}
    first: dict[int, str] = {}
    for base, folders, files in os.walk(os.fsencode(root)):
        for name in (b"", *sorted((*folders, *files))):
            path = os.path.join(base, name) if name else base
            at = os.lstat(path)
            shown = os.fsdecode(os.path.relpath(path, os.fsencode(root)))
            if os.path.islink(path):
                content: bytes = os.readlink(path)
            elif os.path.isfile(path):
                content = hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).digest()
            else:
                content = b""
            marks = {n: os.getxattr(path, n, follow_symlinks=False)
                     for n in os.listxattr(path, follow_symlinks=False)}  # fmt: skip
            is_folder = stat.S_ISDIR(at.st_mode)
            group = shown if is_folder else first.setdefault(at.st_ino, shown)
            found[shown] = (
                oct(at.st_mode), at.st_uid, at.st_gid, int(at.st_mtime), content,
                0 if is_folder else at.st_nlink, group, tuple(sorted(marks.items())),
            )  # fmt: skip
    return found


def told(tree: FlatTree) -> dict[str, tuple[object, ...]]:
    """The same facts as the merged view tells them."""
    kinds = {"folder": 0o040000, "file": 0o100000, "symlink": 0o120000}
    entries = sorted((e for e in tree.walk() if e.type in kinds), key=lambda e: e.path)
    names: dict[object, list[str]] = {}
    for e in entries:
        names.setdefault(e.content_id if e.type != "folder" else e.path, []).append(e.path)
    found = {}
    for e in entries:
        if e.type == "file":
            with tree.open_entry(e) as file:
                content = hashlib.sha256(file.read()).digest()
        else:
            content = os.fsencode(e.target)
        group = names[e.content_id if e.type != "folder" else e.path]
        found[e.path or "."] = (
            oct(kinds[e.type] | (0o777 if e.type == "symlink" else e.mode)),
            e.uid, e.gid, e.mtime, content,
            len(group) if e.type != "folder" else 0, sorted(group), tuple(sorted(e.xattrs.items())),
        )  # fmt: skip
    return found


def same_groups(seen: dict[str, tuple[object, ...]]) -> dict[str, tuple[object, ...]]:
    groups: dict[object, list[str]] = {}
    for path, fact in seen.items():
        groups.setdefault(fact[6], []).append(path)
    for path, fact in seen.items():
        group = [p if p != "." else "" for p in groups[fact[6]]]
        seen[path] = (*fact[:6], sorted(group), fact[7])
    return seen


@unsquash
@needs_root
def test_unsquashfs_finds_every_owner_mode_time_link_and_attribute(tmp_path: Path) -> None:
    tree, path, report = made(tmp_path, hard_cases())
    assert same_groups(facts(unpacked(path, tmp_path / "out"))) == told(tree)
    assert report.dropped == ()
    assert report.size_bytes == path.stat().st_size
    assert report.size_bytes % 4096 == 0


@needs_root
def test_the_kernel_finds_the_same(tmp_path: Path) -> None:
    tree, path, _ = made(tmp_path, hard_cases())
    at = tmp_path / "mnt"
    at.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "squashfs", "-o", "loop,ro", str(path), str(at)],
        capture_output=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"squashfs cannot be mounted here: {mounted.stderr.decode()[:80]}")
    try:
        assert same_groups(facts(at)) == told(tree)
        assert (
            at / "many/02999-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        ).exists()
        assert not (at / "many/no-such-name").exists()
    finally:
        subprocess.run(["umount", str(at)], check=True)


_NAMES = st.sampled_from(["a", "b", "b-", "b.c", "z", "\u00e9", "\U0001f9ec", "\udcff"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=3).map("/".join)
_CONTENTS = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([noise(BLOCK_BYTES), bytes(BLOCK_BYTES), noise(2 * BLOCK_BYTES + 1)]),
)
_ITEMS = st.one_of(
    st.builds(
        lambda p, c, m: entry(p, content=c, mode=m), _PATHS, _CONTENTS, st.integers(0, 0o7777)
    ),
    st.builds(lambda p, m: folder(p, mode=m), _PATHS, st.integers(0, 0o7777)),
    st.builds(link, _PATHS, st.sampled_from(["/nowhere", "gone"])),
)


@unsquash
@needs_root
@settings(max_examples=40, deadline=None)
@given(layers=st.lists(st.lists(_ITEMS, max_size=6), min_size=1, max_size=2))
def test_every_tree_comes_back_as_it_was(layers: list[Entries]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        where = Path(name)
        tree, path, _ = made(where, *layers)
        assert same_groups(facts(unpacked(path, where / "out"))) == told(tree)


_MAKE = """
import os, sys
os.umask(int(sys.argv[3], 8))
os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: int(sys.argv[4])]))
from ssds.oci.flatten import flatten
from ssds.sif.squashfs import write_squashfs
with open(sys.argv[2], "w+b") as file:
    write_squashfs(flatten([sys.argv[1]]), file, epoch=1_700_000_000)
"""


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor is here")
def test_processors_folder_and_umask_change_no_byte(tmp_path: Path) -> None:
    digests = set()
    for number, (umask, processors) in enumerate((("022", 1), ("077", 2), ("000", 2))):
        where = tmp_path / f"{number}" / ("deep" * number)
        where.mkdir(parents=True)
        (where / "layer.tar").write_bytes(tar_bytes(hard_cases()))
        out = where / f"out-{number}"
        arguments = [str(where / "layer.tar"), str(out), umask, str(processors)]
        subprocess.run([sys.executable, "-c", _MAKE, *arguments], check=True)
        digests.add(hashlib.sha256(out.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_the_bytes_are_those_of_this_format_version(tmp_path: Path) -> None:
    # Another digest is another format: raise the version in ssds/sif/format.py, then this.
    _, path, _ = made(tmp_path, hard_cases())
    assert hashlib.sha256(path.read_bytes()).hexdigest() == GOLDEN


def test_the_order_of_a_layers_entries_changes_no_byte(tmp_path: Path) -> None:
    items = [folder("d"), entry("d/b", content=b"1"), entry("d/a", content=b"2"), entry("c")]
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    made(first, items)
    made(second, list(reversed(items)))
    assert (first / "fs.sqfs").read_bytes() == (second / "fs.sqfs").read_bytes()


def test_equal_files_are_stored_once(tmp_path: Path) -> None:
    content = noise(BLOCK_BYTES * 4)
    one, two = tmp_path / "1", tmp_path / "2"
    one.mkdir()
    two.mkdir()
    alone = made(one, [entry("a", content=content)])[2]
    both = made(two, [entry("a", content=content), entry("b", content=content)])[2]
    assert both.size_bytes - alone.size_bytes <= 4096


def test_devices_and_fifos_are_left_out_and_told(tmp_path: Path) -> None:
    items = [
        folder("dev"),
        entry("dev/null", "char"),
        entry("dev/sda", "block"),
        entry("p", "fifo"),
    ]
    _, _, report = made(tmp_path, items)
    assert report.dropped == ("dev/null", "dev/sda", "p")
    assert report.inodes == 2


@pytest.mark.parametrize(("uid", "code"), [(2**32, "O120"), (-1, "O120")])
def test_an_owner_that_no_file_system_has_is_refused(tmp_path: Path, uid: int, code: str) -> None:
    tree = flatten(write_tars(tmp_path, [[owned(entry("a"), uid, 0)]]))
    with pytest.raises(UnavailableError) as caught:
        written(tree, tmp_path / "out")
    assert caught.value.code == code


def test_an_attribute_that_no_file_system_has_is_refused(tmp_path: Path) -> None:
    items = [entry("a", pax={"SCHILY.xattr.user.big": "x" * 70_000})]
    with pytest.raises(UnavailableError) as caught:
        made(tmp_path, items)
    assert caught.value.code == "O121"


def test_attributes_of_the_host_stay_out(tmp_path: Path) -> None:
    hosts = {"SCHILY.xattr.trusted.x": "1", "SCHILY.xattr.user.overlay.opaque": "y",
             "SCHILY.xattr.security.selinux": "label"}  # fmt: skip
    plain, marked = tmp_path / "1", tmp_path / "2"
    plain.mkdir()
    marked.mkdir()
    made(plain, [entry("a")])
    made(marked, [entry("a", pax=hosts)])
    assert (plain / "fs.sqfs").read_bytes() == (marked / "fs.sqfs").read_bytes()


def test_a_user_who_stops_is_obeyed(tmp_path: Path) -> None:
    tree = flatten(write_tars(tmp_path, [[entry("a", content=b"x")]]))
    with pytest.raises(StepFailed):
        write_squashfs(tree, io.BytesIO(), epoch=0, stopping=lambda: True)


GOLDEN = "b0927be1d780e14365aece7ec9e8dc4b58b82ba9989d6018ec083c2617161b88"
