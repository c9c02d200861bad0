"""The merged view of layers: the conformance list of distribution.md 3.1, and a naive model."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oci_makers import entry, folder, hard, link, tar_bytes, write_tars

from ssds.core.errors import IntegrityError, UnavailableError
from ssds.oci.flatten import FlatTree, flatten

Entries = Sequence[tuple[tarfile.TarInfo, bytes]]


def view(tmp_path: Path, *layers: Entries) -> FlatTree:
    return flatten(write_tars(tmp_path, layers))


def paths(tree: FlatTree) -> list[str]:
    return [e.path for e in tree.walk() if e.path]


def test_upper_layers_win_and_lower_ones_stay(tmp_path: Path) -> None:
    tree = view(
        tmp_path,
        [folder("etc"), entry("etc/a", content=b"1"), entry("etc/b", content=b"2")],
        [entry("etc/a", content=b"3", mode=0o600)],
    )
    assert paths(tree) == ["etc", "etc/a", "etc/b"]
    assert tree.read("/etc/a", 10) == b"3"
    assert tree.read("etc/b", 10) == b"2"
    assert tree.get("etc/a").mode == 0o600  # type: ignore[union-attr]
    assert tree.get("etc/a").layer == 1  # type: ignore[union-attr]


@pytest.mark.parametrize("mark_first", [True, False])
def test_a_whiteout_hides_lower_layers_only_in_any_order(tmp_path: Path, mark_first: bool) -> None:
    marks = [entry("d/.wh.x")]
    own = [folder("d"), folder("d/x"), entry("d/x/new", content=b"n")]
    tree = view(
        tmp_path,
        [folder("d"), folder("d/x"), entry("d/x/old"), entry("d/y")],
        marks + own if mark_first else own + marks,
    )
    assert paths(tree) == ["d", "d/x", "d/x/new", "d/y"]


@pytest.mark.parametrize("mark_first", [True, False])
def test_an_opaque_mark_hides_all_lower_children_in_any_order(
    tmp_path: Path, mark_first: bool
) -> None:
    marks = [entry("d/.wh..wh..opq")]
    own = [folder("d"), entry("d/new")]
    tree = view(
        tmp_path,
        [folder("d"), folder("d/sub"), entry("d/sub/old"), entry("d/old"), entry("e")],
        marks + own if mark_first else own + marks,
    )
    assert paths(tree) == ["d", "d/new", "e"]


def test_marks_in_the_first_layer_hide_nothing_and_do_not_show(tmp_path: Path) -> None:
    tree = view(tmp_path, [entry("a"), entry(".wh.a"), entry(".wh..wh..opq")])
    assert paths(tree) == ["a"]


def test_other_aufs_marks_are_ignored(tmp_path: Path) -> None:
    tree = view(
        tmp_path,
        [entry("plnk"), entry(".wh.x", "file")],
        [entry(".wh..wh.plnk"), entry(".wh..wh.aufs"), entry(".wh..wh.orph", "folder")],
    )
    assert paths(tree) == ["plnk"]


@pytest.mark.parametrize("upper", [entry("x"), link("x", "y"), entry("x", "fifo")])
def test_a_folder_that_becomes_something_else_loses_its_subtree(
    tmp_path: Path, upper: tuple[tarfile.TarInfo, bytes]
) -> None:
    tree = view(tmp_path, [folder("x"), folder("x/y"), entry("x/y/z")], [upper])
    assert paths(tree) == ["x"]


def test_a_file_or_link_that_becomes_a_folder_is_replaced(tmp_path: Path) -> None:
    tree = view(
        tmp_path,
        [entry("x"), link("y", "z"), folder("z"), entry("z/kept")],
        [folder("x"), entry("x/1"), folder("y"), entry("y/2")],
    )
    assert paths(tree) == ["x", "x/1", "y", "y/2", "z", "z/kept"]


def test_a_folder_again_changes_its_mode_and_keeps_its_children(tmp_path: Path) -> None:
    tree = view(tmp_path, [folder("x"), entry("x/1")], [folder("x", mode=0o700)])
    assert paths(tree) == ["x", "x/1"]
    assert tree.get("x").mode == 0o700  # type: ignore[union-attr]


def test_parents_that_are_links_are_followed_inside_the_root(tmp_path: Path) -> None:
    tree = view(
        tmp_path,
        [folder("usr"), folder("usr/lib"), link("lib", "usr/lib"), link("abs", "/usr")],
        [entry("lib/a"), entry("abs/lib/b"), link("up", "../../../usr"), entry("up/c")],
    )
    assert paths(tree) == ["abs", "lib", "up", "usr", "usr/c", "usr/lib", "usr/lib/a", "usr/lib/b"]


def test_whiteouts_below_a_link_hide_what_the_link_leads_to(tmp_path: Path) -> None:
    lower = [folder("usr"), folder("usr/lib"), entry("usr/lib/a"), link("lib", "usr/lib")]
    assert "usr/lib/a" not in paths(view(tmp_path, lower, [entry("lib/.wh.a")]))


def test_a_link_replaced_by_an_opaque_folder_hides_nothing_elsewhere(tmp_path: Path) -> None:
    lower = [folder("usr"), folder("usr/lib"), entry("usr/lib/a"), link("lib", "usr/lib")]
    tree = view(tmp_path, lower, [entry("lib/.wh..wh..opq"), folder("lib"), entry("lib/b")])
    assert paths(tree) == ["lib", "lib/b", "usr", "usr/lib", "usr/lib/a"]


def test_missing_parents_are_made(tmp_path: Path) -> None:
    tree = view(tmp_path, [entry("a/b/c", content=b"1")], [link("l", "no/where"), entry("l/x")])
    assert paths(tree) == ["a", "a/b", "a/b/c", "l", "no", "no/where", "no/where/x"]
    assert tree.get("a/b").mode == 0o755  # type: ignore[union-attr]


def test_a_hard_link_names_the_content_of_that_moment(tmp_path: Path) -> None:
    tree = view(
        tmp_path,
        [entry("a", content=b"old", mode=0o600), hard("b", "a")],
        [hard("c", "a"), entry("a", content=b"new")],
        [entry(".wh.b")],
    )
    assert paths(tree) == ["a", "c"]
    assert (tree.read("a", 9), tree.read("c", 9)) == (b"new", b"old")
    assert tree.get("c").mode == 0o600  # type: ignore[union-attr]


def test_a_hard_link_to_what_its_own_layer_hides_keeps_the_lower_content(tmp_path: Path) -> None:
    tree = view(tmp_path, [entry("a", content=b"moved")], [entry(".wh.a"), hard("b", "a")])
    assert paths(tree) == ["b"]
    assert tree.read("b", 9) == b"moved"


def test_hard_links_share_one_content_id_and_to_links_work(tmp_path: Path) -> None:
    tree = view(
        tmp_path, [entry("a", content=b"x"), hard("b", "./a"), link("s", "a"), hard("t", "s")]
    )
    assert tree.get("a").content_id == tree.get("b").content_id  # type: ignore[union-attr]
    assert tree.get("t").type == "symlink"  # type: ignore[union-attr]


def test_the_last_of_double_entries_wins(tmp_path: Path) -> None:
    tree = view(tmp_path, [entry("a", content=b"1"), folder("a"), entry("a", content=b"3")])
    assert tree.read("a", 9) == b"3"


def test_names_that_are_long_or_no_utf8_survive(tmp_path: Path) -> None:
    deep = "/".join(["d" * 200] * 10)
    odd = os.fsdecode(b"caf\xe9")
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        path = tmp_path / "odd.tar"
        out = io.BytesIO()
        with tarfile.open(
            fileobj=out, mode="w", format=form, errors="surrogateescape", encoding="utf-8"
        ) as tar:
            for info, content in (entry(deep, content=b"x"), entry(odd), link("s", "t" * 300)):
                tar.addfile(info, io.BytesIO(content))
        path.write_bytes(out.getvalue())
        tree = flatten([str(path)])
        assert tree.read(deep, 9) == b"x"
        assert tree.get(odd) is not None
        assert tree.get("s").target == "t" * 300  # type: ignore[union-attr]


def test_extended_attributes_and_large_numbers_are_read(tmp_path: Path) -> None:
    info, _ = entry("a", pax={"SCHILY.xattr.user.note": "hi", "mtime": "1700000000.5"})
    info.uid = 3_000_000_000
    tree = view(tmp_path, [(info, b"")])
    found = tree.get("a")
    assert found is not None
    assert (found.xattrs, found.mtime, found.uid) == (
        {"user.note": b"hi"},
        1_700_000_000,
        3_000_000_000,
    )


@pytest.mark.parametrize(
    "form",
    [
        "gnu",
        "posix --sparse-version=1.0",
        "posix --sparse-version=0.1",
        "posix --sparse-version=0.0",
    ],
)
def test_sparse_files_are_read_with_their_holes(tmp_path: Path, form: str) -> None:
    import subprocess

    with (tmp_path / "holes").open("wb") as file:
        for place in (0, 1 << 20, 5 << 20, (5 << 20) + 4096):
            file.seek(place)
            file.write(b"data at %d" % place)
        file.truncate(9 << 20)
    (tmp_path / "after").write_bytes(b"behind")
    path = str(tmp_path / "sparse.tar")
    subprocess.run(
        [
            "tar",
            "-C",
            str(tmp_path),
            f"--format={form.split(maxsplit=1)[0]}",
            *form.split()[1:],
            "--sparse",
            "-cf",
            path,
            "holes",
            "after",
        ],
        check=True,
    )
    assert os.path.getsize(path) < 1 << 20
    tree = flatten([path])
    assert tree.read("holes", 1 << 30) == (tmp_path / "holes").read_bytes()
    assert tree.read("after", 9) == b"behind"


def test_links_are_resolved_inside_the_root(tmp_path: Path) -> None:
    tree = view(
        tmp_path,
        [
            folder("usr"),
            folder("usr/bin"),
            entry("usr/bin/python3.11", content=b"py"),
            link("bin", "usr/bin"),
            link("usr/bin/python3", "python3.11"),
            link("usr/bin/python", "/bin/../bin/python3"),
            link("out", "../../../../bin/python"),
            link("loop", "pool"),
            link("pool", "loop"),
            link("gone", "nowhere"),
        ],
    )
    assert tree.resolve("/bin/python").path == "usr/bin/python3.11"  # type: ignore[union-attr]
    assert tree.read("out", 9) == b"py"
    assert tree.resolve("/bin/python", follow=False).type == "symlink"  # type: ignore[union-attr]
    assert tree.resolve("gone") is None
    assert tree.resolve("usr/bin/python3.11/x") is None
    assert tree.resolve("/").path == ""  # type: ignore[union-attr]
    with pytest.raises(IntegrityError, match="goes round"):
        tree.resolve("loop/x")
    with pytest.raises(UnavailableError, match="no file /gone"):
        tree.read("gone", 9)
    with pytest.raises(IntegrityError, match="larger than 1 bytes"):
        tree.read("out", 1)


def test_an_open_file_can_seek(tmp_path: Path) -> None:
    tree = view(tmp_path, [entry("a", content=b"0123456789"), entry("b", content=b"no")])
    with tree.open("a") as file:
        file.seek(-4, io.SEEK_END)
        assert file.read(2) == b"67"
        file.seek(1)
        assert file.read() == b"123456789"
        assert file.read() == b""


def raw_header(**fields: bytes) -> bytes:
    block = bytearray(tar_bytes([entry("name", content=b"x")])[:512])
    places = {"name": 0, "mode": 100, "size": 124, "type": 156, "link": 157}
    for name, value in fields.items():
        block[places[name] : places[name] + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def pax_header(records: bytes) -> bytes:
    size = b"%011o\0" % len(records)
    return raw_header(type=b"x", size=size) + records + b"\0" * (-len(records) % 512)


END = b"\0" * 1024
DEEP = "/".join(["n"] * 150)
HOSTILE = [
    ("a path that goes up", tar_bytes([entry("../evil")]), "O031"),
    ("a path that goes up later", tar_bytes([entry("a/../../evil")]), "O031"),
    ("an absolute path that goes up", tar_bytes([entry("/../evil")]), "O031"),
    ("a hard link that goes up", tar_bytes([hard("a", "../../etc/passwd")]), "O031"),
    ("a hard link to nothing", tar_bytes([hard("a", "b")]), "O034"),
    ("a hard link to a folder", tar_bytes([folder("d"), hard("a", "d")]), "O034"),
    (
        "a hard link over its target's folder",
        tar_bytes([folder("d"), entry("d/f"), hard("d", "d/f")]),
        "O034",
    ),
    ("a link without target", raw_header(type=b"2", link=b"\0" * 100) + END, "O031"),
    ("a whiteout of nothing", tar_bytes([entry(".wh.")]), "O034"),
    ("a whiteout of the parent", tar_bytes([entry("d/.wh...")]), "O034"),
    ("the root as a file", tar_bytes([entry(".")]), "O034"),
    (
        "a loop of links as parent",
        tar_bytes([link("a", "b"), link("b", "a"), entry("a/x")]),
        "O035",
    ),
    (
        "a NUL in a path",
        pax_header(b"14 path=a\0bcd\n") + raw_header(size=b"%011o" % 0) + END,
        "O031",
    ),
    ("a name of 300 bytes", tar_bytes([entry("n" * 300)]), "O031"),
    ("a path of 5000 bytes", tar_bytes([entry("/".join(["n" * 100] * 50))]), "O031"),
    ("a path 1000 deep", tar_bytes([entry("/".join(["n"] * 1000))]), "O031"),
    (
        "a path that links make deep",
        tar_bytes([folder(DEEP), link("l", DEEP), folder("l/" + DEEP)]),
        "O031",
    ),
    ("an unknown type", raw_header(type=b"Z", size=b"%011o" % 0) + END, "O032"),
    ("a multi-volume entry", raw_header(type=b"M", size=b"%011o" % 0) + END, "O032"),
    ("a wrong checksum", raw_header()[:148] + b"000000\0 " + raw_header()[156:] + END, "O030"),
    ("no tar", b"this is no tar at all" * 100, "O030"),
    ("cut in a header", tar_bytes([entry("a")])[:300], "O030"),
    ("cut in the content", tar_bytes([entry("a", content=b"x" * 5000)])[:2000], "O030"),
    ("a size beyond the end", raw_header(size=b"77777777777") + END, "O030"),
    (
        "a size of 2**62",
        raw_header(size=b"\x80\0\0\0" + (1 << 62).to_bytes(8, "big")) + END,
        "O030",
    ),
    ("a negative size", raw_header(size=b"\xff" * 12) + END, "O030"),
    ("a size that is no number", raw_header(size=b"12x45678901") + END, "O030"),
    ("a negative pax size", pax_header(b"11 size=-5\n") + raw_header() + END, "O030"),
    ("a pax size of letters", pax_header(b"12 size=abc\n") + raw_header() + END, "O030"),
    ("a pax record without length", pax_header(b"path=a\n") + raw_header() + END, "O030"),
    ("a pax record that is too long", pax_header(b"99 path=a\n") + raw_header() + END, "O030"),
    ("a pax record of length 0", pax_header(b"0 path=a\n") + raw_header() + END, "O030"),
    (
        "a pax header of 2 MiB",
        raw_header(type=b"x", size=b"%011o\0" % (2 << 20)) + b"\0" * (2 << 20) + END,
        "O030",
    ),
    ("endless extended headers", pax_header(b"10 path=a\n") * 40 + END, "O030"),
    (
        "a sparse map beyond the file",
        pax_header(
            b"22 GNU.sparse.major=0\n22 GNU.sparse.minor=1\n25 GNU.sparse.size=100\n"
            b"28 GNU.sparse.map=99999,100\n"
        )
        + raw_header()
        + END,
        "O030",
    ),
    (
        "a sparse map of letters",
        pax_header(
            b"22 GNU.sparse.major=0\n22 GNU.sparse.minor=1\n25 GNU.sparse.size=100\n"
            b"23 GNU.sparse.map=a,bc\n"
        )
        + raw_header()
        + END,
        "O030",
    ),
]


@pytest.mark.parametrize(("name", "data", "code"), HOSTILE, ids=[h[0] for h in HOSTILE])
def test_a_hostile_layer_is_refused(tmp_path: Path, name: str, data: bytes, code: str) -> None:
    path = tmp_path / "layer.tar"
    path.write_bytes(data)
    with pytest.raises(IntegrityError) as caught:
        flatten([str(path)])
    assert caught.value.code == code, caught.value.message
    assert "layer 1 of 1" in caught.value.message or code == "O035"
    assert caught.value.hint


@pytest.mark.parametrize("data", [b"", END, b"\0" * 512, tar_bytes([])])
def test_the_empty_layer_is_a_layer(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "empty.tar").write_bytes(data)
    assert paths(flatten([str(tmp_path / "empty.tar")])) == []


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 2500), st.booleans())
def test_flipped_bytes_raise_nothing_but_our_errors(noise: bytes, place: int, cut: bool) -> None:
    data = bytearray(
        tar_bytes([folder("d"), entry("d/" + "é" * 90, content=b"x" * 600), hard("h", "d")])
    )
    data[place : place + len(noise)] = noise
    with tempfile.NamedTemporaryFile() as file:
        file.write(bytes(data[:place] if cut else data))
        file.flush()
        with contextlib.suppress(IntegrityError):
            flatten([file.name])


# --- the naive model: a map from path to content, layers applied one by one -------------------

FOLDERS = ("d", "d/e", "f")
FILES = ("d/x", "d/e/y", "f/z", "w", "d", "f")
Op = tuple[str, str, str]

operation = st.one_of(
    st.tuples(st.just("folder"), st.sampled_from(FOLDERS), st.just("")),
    st.tuples(st.just("file"), st.sampled_from(FILES), st.sampled_from(["1", "2"])),
    st.tuples(st.just("symlink"), st.sampled_from(["d/s", "t"]), st.sampled_from(["x", "/w"])),
    st.tuples(st.just("hide"), st.sampled_from((*FILES, "d/e", "d/s")), st.just("")),
    st.tuples(st.just("opaque"), st.sampled_from(FOLDERS), st.just("")),
)


def naive(layers: Sequence[Sequence[Op]]) -> dict[str, tuple[str, str]]:
    state: dict[str, tuple[str, str]] = {}

    def remove(path: str) -> None:
        for known in [p for p in state if p == path or p.startswith(path + "/")]:
            del state[known]

    for number, layer in enumerate(layers):
        for kind, path, _ in layer:
            if number and kind == "hide":
                remove(path)
            if number and kind == "opaque":
                for known in [p for p in state if p.startswith(path + "/")]:
                    del state[known]
        for kind, path, value in layer:
            if kind in ("hide", "opaque"):
                continue
            parts = path.split("/")
            for end in range(1, len(parts)):
                parent = "/".join(parts[:end])
                if state.get(parent, ("",))[0] != "folder":
                    remove(parent)
                    state[parent] = ("folder", "")
            if kind != "folder" or state.get(path, ("",))[0] != "folder":
                remove(path)
            state[path] = (kind, value)
    return state


def tar_of(layer: Sequence[Op]) -> Entries:
    entries = []
    for kind, path, value in layer:
        head, _, name = path.rpartition("/")
        base = head + "/" if head else ""
        if kind == "hide":
            entries.append(entry(f"{base}.wh.{name}"))
        elif kind == "opaque":
            entries.append(entry(f"{path}/.wh..wh..opq"))
        elif kind == "symlink":
            entries.append(link(path, value))
        else:
            entries.append(entry(path, kind, value.encode()))
    return entries


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(operation, max_size=7), min_size=1, max_size=4))
def test_the_view_is_that_of_a_naive_model(layers: list[list[Op]]) -> None:
    with tempfile.TemporaryDirectory() as where:
        tree = flatten(write_tars(Path(where), [tar_of(layer) for layer in layers]))
        found = {
            e.path: (
                e.type,
                e.target or (tree.open_entry(e).read().decode() if e.type == "file" else ""),
            )
            for e in tree.walk()
            if e.path
        }
    assert found == naive(layers)
    for path in found:
        assert tree.get(path.rpartition("/")[0]).type == "folder"  # type: ignore[union-attr]
    assert sorted(paths(tree), key=lambda p: p.split("/")) == paths(tree)
