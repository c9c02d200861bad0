"""Unpacking layers into overlay form: exact for good ones, safe for hostile ones."""

from __future__ import annotations

import io
import os
import stat
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssds.core.errors import IntegrityError
from ssds.oci.layers import export_tree, unpack_layer

EPOCH = 1_700_000_000
OWNER = (os.geteuid(), os.getegid())


def make(path, *members, **options):
    """Writes a tar of (name, fields, content) entries."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, **options) as archive:
        for name, fields, content in members:
            info = tarfile.TarInfo(name)
            info.uid, info.gid = OWNER
            info.mode = 0o755
            info.size = len(content)
            for field, value in fields.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(content))
    return str(path)


def folder(name, **fields):
    return (name, {"type": tarfile.DIRTYPE, **fields}, b"")


def link(name, target, kind=tarfile.SYMTYPE):
    return (name, {"type": kind, "linkname": target}, b"")


def file(name, content=b"x", **fields):
    return (name, fields, content)


@pytest.fixture
def outside(tmp_path):
    """A file outside of the target that hostile layers aim at."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("as it was")
    yield tmp_path / "outside"
    assert (tmp_path / "outside/file").read_text() == "as it was"
    assert os.listdir(tmp_path / "outside") == ["file"]


HOSTILE = {
    "dots": ([file("../outside/file")], "O031"),
    "dots_inside": ([file("a/../../outside/file")], "O031"),
    "through_a_link": ([link("up", "../outside"), file("up/file")], "O036"),
    "through_a_link_to_root": ([link("up", "/"), file("up/new")], "O036"),
    "through_a_nested_link": ([folder("a"), link("a/b", "../.."), file("a/b/outside/new")], "O036"),
    "below_a_file": ([file("a"), file("a/b")], "O036"),
    "hard_link_outside": ([link("h", "../outside/file", tarfile.LNKTYPE)], "O031"),
    "hard_link_absolute": ([link("h", "/etc/passwd", tarfile.LNKTYPE)], "O034"),
    "hard_link_to_nothing": ([link("h", "nothing", tarfile.LNKTYPE)], "O034"),
    "hard_link_to_a_link": (
        [link("l", "../outside/file"), link("h", "l", tarfile.LNKTYPE)],
        "O034",
    ),
    "hard_link_through_a_link": (
        [link("up", "../outside"), link("h", "up/file", tarfile.LNKTYPE)],
        "O036",
    ),
    "hard_link_to_a_folder": ([folder("d"), link("h", "d", tarfile.LNKTYPE)], "O034"),
    "hard_link_to_a_whiteout": ([file(".wh.a", b""), link("h", "a", tarfile.LNKTYPE)], "O034"),
    "whiteout_of_dots": ([file(".wh...", b"")], "O031"),
    "whiteout_of_nothing": ([file(".wh.", b"")], "O031"),
    "opaque_through_a_link": ([link("up", "../outside"), file("up/.wh..wh..opq", b"")], "O036"),
    "huge_owner": ([file("a", uid=65536)], "O037"),
    "folder_becomes_a_file": ([folder("a"), file("a")], "O036"),
    "unknown_type": ([("a", {"type": b"Q"}, b"")], "O032"),
    "a_long_name": ([file("n" * 300)], "O031"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_layer_is_refused_and_touches_nothing_outside(name, tmp_path, outside):
    del outside
    members, code = HOSTILE[name]
    tar = make(tmp_path / "layer.tar", *members)
    with pytest.raises(IntegrityError) as caught:
        unpack_layer(tar, str(tmp_path / "out"))
    assert caught.value.code == code, caught.value.message


def test_a_link_that_an_entry_replaces_is_not_followed(tmp_path, outside):
    members = [link("a", str(outside / "file")), file("a", b"new")]
    unpack_layer(make(tmp_path / "l.tar", *members), str(tmp_path / "out"))
    assert (tmp_path / "out/a").read_bytes() == b"new"
    assert not (tmp_path / "out/a").is_symlink()


def test_absolute_names_are_names_below_the_root(tmp_path, outside):
    unpack_layer(make(tmp_path / "l.tar", file(f"{outside}/file", b"in")), str(tmp_path / "out"))
    assert (tmp_path / "out" / str(outside / "file").lstrip("/")).read_bytes() == b"in"


def test_devices_are_left_out_and_reported(tmp_path):
    device = ("dev/sda", {"type": tarfile.BLKTYPE, "devmajor": 8}, b"")
    result = unpack_layer(make(tmp_path / "l.tar", device, file("b")), str(tmp_path / "out"))
    assert result.dropped == ("dev/sda",)
    assert os.listdir(tmp_path / "out") == ["b"]


@pytest.mark.parametrize("cut", [1, 100, 512, 700, 1024, 1300])
def test_a_truncated_layer_is_refused(tmp_path, cut):
    make(tmp_path / "l.tar", file("a", b"y" * 1000), file("b", b"z" * 1000))
    (tmp_path / "l.tar").write_bytes((tmp_path / "l.tar").read_bytes()[:cut])
    if cut == 512:
        cut = 513  # a header without its content
    with pytest.raises(IntegrityError):
        unpack_layer(str(tmp_path / "l.tar"), str(tmp_path / "out"))


def test_limits_stop_a_bomb(tmp_path):
    tar = make(tmp_path / "l.tar", *(file(f"f{n}", b"x" * 1000) for n in range(50)))
    with pytest.raises(IntegrityError) as caught:
        unpack_layer(tar, str(tmp_path / "a"), entry_limit=20)
    assert caught.value.code == "O035"
    with pytest.raises(IntegrityError) as caught:
        unpack_layer(tar, str(tmp_path / "b"), size_limit_bytes=10_000)
    assert caught.value.code == "O035"
    assert len(os.listdir(tmp_path / "b")) <= 10


def test_overlay_attributes_of_the_layer_are_not_taken_over(tmp_path):
    headers = {"SCHILY.xattr.user.overlay.redirect": "/etc", "SCHILY.xattr.user.fine": "1"}
    tar = make(tmp_path / "l.tar", folder("d", pax_headers=headers))
    unpack_layer(tar, str(tmp_path / "out"))
    assert os.listxattr(tmp_path / "out/d") == ["user.fine"]


def _is_whiteout(path):
    state = os.lstat(path)
    return stat.S_ISCHR(state.st_mode) and state.st_rdev == 0


def test_whiteouts_and_opaque_marks_take_overlay_form(tmp_path):
    members = [
        folder("d"),
        file("d/.wh..wh..opq", b""),
        file(".wh.gone", b""),
        file(".wh.again", b""),
        folder("again"),
        folder("first"),
        file(".wh.first", b""),
        file("kept"),
        file(".wh.kept", b""),
        file(".wh..wh.plnk", b""),
    ]
    result = unpack_layer(make(tmp_path / "l.tar", *members), str(tmp_path / "out"))
    out = tmp_path / "out"
    assert _is_whiteout(out / "gone")
    for name in ("d", "again", "first"):
        assert os.getxattr(out / name, "user.overlay.opaque") == b"y"
    assert (out / "kept").read_bytes() == b"x"
    assert result.dropped == (".wh..wh.plnk",)


def test_modes_times_and_links_are_exact(tmp_path):
    members = [
        folder("d", mode=0o2750, mtime=1_000),
        file("d/suid", b"s", mode=0o4711, mtime=2_000),
        link("d/hard", "d/suid", tarfile.LNKTYPE),
        link("d/soft", "../anywhere"),
        ("d/pipe", {"type": tarfile.FIFOTYPE, "mode": 0o622}, b""),
    ]
    unpack_layer(make(tmp_path / "l.tar", *members), str(tmp_path / "out"))
    out = tmp_path / "out/d"
    assert (stat.S_IMODE(out.stat().st_mode), out.stat().st_mtime) == (0o2750, 1_000)
    assert stat.S_IMODE((out / "suid").stat().st_mode) == 0o4711
    assert (out / "suid").stat().st_mtime == 2_000
    assert (out / "hard").stat().st_ino == (out / "suid").stat().st_ino
    assert os.readlink(out / "soft") == "../anywhere"
    assert stat.S_IMODE((out / "pipe").stat().st_mode) == 0o622


NAMES = st.text(
    st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1, max_size=60
).filter(lambda n: n not in {".", ".."} and not n.startswith(".wh.") and len(n.encode()) < 200)
TREES = st.recursive(
    st.one_of(
        st.binary(max_size=2000),
        st.builds(lambda name: ("link", name), st.text("abc/.", min_size=1, max_size=150)),
    ),
    lambda inner: st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)


def _write(path, tree):
    for name, value in tree.items():
        place = os.path.join(path, name)
        if isinstance(value, dict):
            os.mkdir(place)
            _write(place, value)
        elif isinstance(value, tuple):
            os.symlink(value[1], place)
        else:
            with open(place, "wb") as stream:
                stream.write(value)


def _read(path):
    found = {}
    for entry in os.scandir(path):
        if entry.is_symlink():
            found[entry.name] = ("link", os.readlink(entry.path))
        elif entry.is_dir():
            found[entry.name] = _read(entry.path)
        else:
            with open(entry.path, "rb") as stream:
                found[entry.name] = stream.read()
    return found


@settings(max_examples=60, deadline=None)
@given(tree=st.dictionaries(NAMES, TREES, max_size=5))
def test_export_and_unpack_are_inverse_and_export_is_stable(tree, tmp_path_factory):
    work = tmp_path_factory.mktemp("law")
    root = str(work / "root/opt")
    os.makedirs(root)
    _write(root, tree)
    first = export_tree(str(work / "root"), EPOCH, str(work / "a.tar"))
    unpack_layer(str(work / "a.tar"), str(work / "out"), diff_id=str(first.diff_id))
    assert _read(str(work / "out/opt")) == tree
    again = export_tree(str(work / "out"), EPOCH, str(work / "b.tar"))
    assert again == first
    with tarfile.open(work / "a.tar") as archive:  # another reader agrees on names and sizes
        assert len(archive.getmembers()) == first.entries
