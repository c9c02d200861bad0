"""Layers from real steps: the same step gives the same bytes, whatever lies beneath came from."""

from __future__ import annotations

import subprocess
import tarfile

import pytest
from layer_steps import STEPS, diff_ids, run_step
from rootfs import EPOCH, base_folder, modes, scratch, shell, trees

pytestmark = [pytest.mark.component("sandbox"), pytest.mark.parametrize("mode", modes())]


def _members(tar):
    with tarfile.open(tar) as archive:
        return {m.name: m for m in archive.getmembers()}


def test_the_same_steps_give_the_same_diff_ids_twice(mode):
    first = diff_ids(mode)
    assert diff_ids(mode) == first
    assert len(set(first)) == 1 + len(STEPS)


def test_layers_beneath_may_come_from_a_run_or_from_blobs(mode):
    """Upper folders as they were left by a run, not normalised, give the layers of blobs."""
    uppers: list[str] = []
    found = []
    try:
        for number in range(len(STEPS)):
            upper, layer, _ = run_step(mode, number, tuple(uppers))
            uppers.append(upper)
            found.append(str(layer.diff_id))
    finally:
        for upper in uppers:
            trees(mode).discard(upper)
    assert found == diff_ids(mode)[1:]


def test_a_layer_holds_what_the_step_did_and_nothing_else(mode):
    diff_ids(mode)
    members = _members(f"{scratch()}/{mode}-1.tar")
    assert set(members) == {
        *("etc", "etc/.wh.group", "etc/passwd", "etc/machine-id"),
        *("home", "home/.wh.alice", "var", "var/cache", "var/cache/ldconfig"),
        *("var/log", "var/log/apt"),
        *("opt", "opt/a", "opt/a/.wh.link", "opt/a/b", "opt/moved"),
        *("opt/fifo", "opt/fifo/file", "opt/sticky", "opt/sticky/.wh..wh..opq"),
    }
    assert members["etc/machine-id"].size == 0
    assert members["opt/moved"].issym()
    assert members["opt/a"].mode == 0o700
    assert {m.mtime for m in members.values() if m.isdir()} == {EPOCH}
    assert all((m.uname, m.gname) == ("", "") for m in members.values())


def test_owners_links_and_attributes_are_kept(mode):
    diff_ids(mode)
    members = _members(f"{scratch()}/{mode}-0.tar")
    assert (members["opt/a/b"].uid, members["opt/a/b"].gid) == (1000, 2000)
    assert members["opt/sticky"].uid == 65534
    assert members["opt/a/again"].mode == 0o4755
    assert members["opt/a/b/file"].islnk()
    assert members["opt/a/b/file"].linkname == "opt/a/again"
    assert members["opt/a"].pax_headers["SCHILY.xattr.user.note"] == "kept\0bytes"
    assert "SCHILY.xattr.security.capability" in members["opt/a/again"].pax_headers
    long = "x" * 120
    assert f"opt/{long}/{long}/{long}" in members
    assert members["opt/far"].linkname == f"/opt/{long}/{long}"
    assert "opt/bl\u00fcte" in members


def test_times_are_whole_seconds_and_no_later_than_the_epoch(mode):
    diff_ids(mode)
    members = _members(f"{scratch()}/{mode}-2.tar")
    assert members["opt/future"].mtime == EPOCH
    assert members["opt/old"].mtime == 981_158_400


def test_a_step_that_changes_nothing_gives_no_layer(mode):
    upper = trees(mode).new_upper()
    script = "touch /etc/x; rm /etc/x; echo x >/tmp/y; touch /usr/bin; mkdir /opt2; rm -r /opt2"
    shell(mode, script, upper=upper)
    tar = f"{scratch()}/nothing-{mode}.tar"
    layer = trees(mode).export(upper, [base_folder(mode)], EPOCH, tar)
    trees(mode).discard(upper)
    assert layer.entries == 0


def test_the_merged_view_is_the_same_from_the_run_and_from_blobs(mode):
    """What later steps see of unpacked layers is what the first run saw, times and drops aside."""
    code = (
        "import os\nfor place in ('etc', 'home', 'opt'):\n"
        "    for folder, folders, files in os.walk('/' + place):\n"
        "        folders.sort()\n"
        "        for name in ['', *sorted(files)]:\n"
        "            p = os.path.join(folder, name); s = os.lstat(p)\n"
        "            size = 0 if not name else s.st_size\n"
        "            names = sorted(os.listxattr(p, follow_symlinks=False))\n"
        "            links = s.st_nlink if name else 0\n"
        "            print(ascii(p), oct(s.st_mode), s.st_uid, s.st_gid, size, links, names)\n"
    )
    script = f'exec python3 -c "{code}"'
    uppers: list[str] = []
    unpacked: tuple[str, ...] = ()
    try:
        for number in range(len(STEPS)):
            upper, layer, tar = run_step(mode, number, tuple(uppers))
            uppers.append(upper)
            unpacked = (*unpacked, trees(mode).layer(layer.diff_id, tar))
            _, straight = shell(mode, script, lowers=tuple(uppers))
            _, from_blobs = shell(mode, script, lowers=unpacked)
            hide = ("hostname", "machine-id")
            lines = [x for x in straight.splitlines() if not any(h in x for h in hide)]
            assert lines == [x for x in from_blobs.splitlines() if not any(h in x for h in hide)]
            assert len(lines) > 5
    finally:
        for upper in uppers:
            trees(mode).discard(upper)


def test_gnu_tar_reads_every_layer_without_a_word(mode):
    diff_ids(mode)
    for number in range(len(STEPS)):
        tar = f"{scratch()}/{mode}-{number}.tar"
        done = subprocess.run(
            ["tar", "--numeric-owner", "-tvf", tar], capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == b""
        assert len(done.stdout.splitlines()) == len(_members(tar))
