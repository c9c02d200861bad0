"""Conda packages become one tree, the same everywhere; what is hostile becomes an error."""

from __future__ import annotations

import asyncio
import bz2
import importlib.util
import io
import json
import marshal
import os
import py_compile
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from conda_channel import MEMBERS, PLACEHOLDER, Conda, write_channel, zstd
from hypothesis import given
from hypothesis import strategies as st
from package_archives import tar_bytes

from ssds.core.digest import sha256_of
from ssds.core.errors import IntegrityError, SsdsError
from ssds.core.pins import PinnedFile, PinnedPackage
from ssds.packages.conda_install import install_script, write_environment
from ssds.packages.conda_link import Staged, unchecked_byte_code, with_prefix

PREFIX = "/opt/conda"
P = PLACEHOLDER.encode()
PYTHON = Conda(name="python", version="3.11.2", files={"bin/python3.11": b"#!/bin/sh\n"})
PURE = Conda(
    name="pure",
    subdir="noarch",
    python=True,
    depends=["python"],
    files={"site-packages/pure/core.py": b"x = 1\n", "python-scripts/old": b"#!" + P + b"/x\n"},
    entry_points=["pure = pure.core:Main.run"],
)


def pin(package: Conda) -> PinnedPackage:
    path = f"forge/{package.subdir}/{package.file_name}"
    digest = sha256_of(package.file_name.encode())
    return PinnedPackage(
        name=package.name,
        version=package.version,
        architecture=package.subdir,
        build=package.build,
        file=PinnedFile(name=package.file_name, digest=digest, archive="conda", path=path),
    )


class Bench:
    """Links packages into a folder; the archive is what ``data`` says, or the maker's."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0
        self.staged = Staged()

    def link(self, *packages: Conda, prefix: str = PREFIX, data: bytes | None = None) -> Path:
        self.count += 1
        here = self.folder / str(self.count)
        (here / "out").mkdir(parents=True)
        (here / "scratch").mkdir()
        pairs = []
        for number, package in enumerate(packages):
            archive = here / f"blob{number}"
            archive.write_bytes(package.data() if data is None else data)
            pairs.append((pin(package), str(archive)))
        self.staged = write_environment(str(here / "out"), str(here / "scratch"), pairs, prefix)
        return here / "out" / "tree"

    def refused(self, *packages: Conda, **more) -> SsdsError:
        with pytest.raises(IntegrityError) as caught:
            self.link(*packages, **more)
        assert caught.value.hint
        return caught.value


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def contents(tree: Path) -> dict[str, object]:
    """Returns what is in a tree: bytes, execute bit and links."""
    found: dict[str, object] = {}
    for base, folders, files in os.walk(tree):
        for name in (*folders, *files):
            path = Path(base, name)
            mode = path.lstat().st_mode
            told: object = "folder"
            if stat.S_ISLNK(mode):
                told = os.readlink(path)
            elif stat.S_ISREG(mode):
                told = (path.read_bytes(), bool(mode & 0o100))
            found[str(path.relative_to(tree))] = told
    return found


# --- the tree -------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".conda", ".tar.bz2"])
def test_files_links_and_the_prefix_in_them_are_put_in_place(bench, ending):
    tool = Conda(
        name="tool",
        ending=ending,
        files={
            "bin/tool": b"#!" + P + b"/bin/sh\n" + P + b"\n",
            "lib/l.so": b"\x7fELF\0" + P + b"/a:" + P + b"/b\0tail",
            "share/plain": b"as it is\n",
        },
        binary=["lib/l.so"],
        links={"lib/l": "l.so", "bin/other": "../bin/tool"},
    )
    tree = bench.link(tool)
    assert (tree / "bin/tool").read_bytes() == b"#!/opt/conda/bin/sh\n/opt/conda\n"
    assert os.access(tree / "bin/tool", os.X_OK)
    library = (tree / "lib/l.so").read_bytes()
    assert library.startswith(b"\x7fELF\0/opt/conda/a:/opt/conda/b\0\0")
    assert library.endswith(b"\0tail")
    assert len(library) == len(tool.files["lib/l.so"])
    assert (tree / "share/plain").read_bytes() == b"as it is\n"
    assert (os.readlink(tree / "lib/l"), os.readlink(tree / "bin/other")) == ("l.so", "../bin/tool")


@given(
    st.lists(st.binary(max_size=9).map(lambda b: b.replace(b"@", b"")), max_size=6),
    st.binary(max_size=4).map(lambda b: b.replace(b"@", b"").replace(b"\0", b"")),
)
def test_a_binary_keeps_its_length_and_its_other_strings(parts, prefix):
    data = b"@@@@@@".join(parts)
    changed = with_prefix(data, b"@@@@@@", prefix)
    assert len(changed) == len(data)
    texts = [text.replace(b"@@@@@@", prefix) for text in data.split(b"\0")]
    assert [t for t in changed.split(b"\0") if t] == [t for t in texts if t]


def test_a_python_package_goes_to_the_environments_python(bench):
    tree = bench.link(PURE, PYTHON)
    assert (tree / "lib/python3.11/site-packages/pure/core.py").read_bytes() == b"x = 1\n"
    assert (tree / "bin/old").read_bytes() == b"#!/opt/conda/x\n"
    assert (tree / "bin/pure").read_text() == (
        "#!/opt/conda/bin/python3.11\nimport sys\n\nfrom pure.core import Main\n\n"
        'if __name__ == "__main__":\n    sys.exit(Main.run())\n'
    )
    assert bench.staged.compiled == ["lib/python3.11/site-packages/pure/core.py"]
    assert '"$prefix/bin/python3.11"' in install_script(bench.staged, PREFIX)


def test_a_python_that_states_its_folder_is_believed(bench):
    place = "lib/python3.13t/site-packages"
    free = Conda(name="python", version="3.13.1", index={"python_site_packages_path": place})
    assert (bench.link(PURE, free) / place / "pure/core.py").exists()


def test_packages_from_before_paths_json_are_linked_too(bench):
    files = {"bin/a": b"#!/opt/anaconda1anaconda2anaconda3/b\n", "b": b"\0" + P + b"\0"}
    old = Conda(name="old", ending=".tar.bz2", files=files)
    info = {
        "info/index.json": old.info()["info/index.json"],
        "info/files": b"bin/a\nb\n",
        "info/has_prefix": f'bin/a\n"{PLACEHOLDER}" binary "b"\n'.encode(),
    }
    tree = bench.link(old, data=bz2.compress(tar_bytes({**info, **files})))
    assert (tree / "bin/a").read_bytes() == b"#!/opt/conda/b\n"
    assert (tree / "b").read_bytes().startswith(b"\0/opt/conda\0")


def test_records_hold_what_was_installed_and_nothing_of_this_machine(bench, tmp_path):
    tree = bench.link(PURE, PYTHON)
    text = (tree / "conda-meta/pure-1.0-h0_0.json").read_text()
    record = json.loads(text)
    assert record["channel"] == "forge"
    assert record["files"] == [
        "lib/python3.11/site-packages/pure/core.py",
        "bin/old",
        "bin/pure",
    ]
    assert str(tmp_path) not in text


def test_order_time_and_folder_change_nothing(bench, monkeypatch):
    packages = [PURE, PYTHON, Conda(name="a", depends=["b"]), Conda(name="b", depends=["a"])]
    first = contents(bench.link(*packages))
    monkeypatch.setattr("time.time", lambda: 1_900_000_000.0)
    before = os.umask(0o077)
    try:
        assert contents(bench.link(*reversed(packages))) == first
    finally:
        os.umask(before)


def test_of_two_packages_with_one_path_the_later_one_has_it_and_it_is_said(bench):
    one = Conda(name="z", files={"share/x": b"z"})
    two = Conda(name="a", files={"share/x": b"a"}, depends=["z"])
    for packages in ((one, two), (two, one)):
        tree = bench.link(*packages)
        assert (tree / "share/x").read_bytes() == b"a"
        assert bench.staged.notes == ["share/x: a replaces the one of z"]


def test_what_would_set_variables_on_activation_is_said(bench):
    bench.link(Conda(name="gdal", files={"etc/conda/activate.d/gdal.sh": b"export X=1\n"}))
    assert "not run" in bench.staged.notes[0]


def test_post_link_scripts_run_in_the_order_of_needs(bench):
    script = b"#!/bin/sh\n"
    one = Conda(name="a", files={"bin/.a-post-link.sh": script}, depends=["z"])
    two = Conda(name="z", files={"bin/.z-post-link.sh": script})
    bench.link(one, two)
    assert [p.pin.name for p in bench.staged.post_links] == ["z", "a"]
    text = install_script(bench.staged, PREFIX)
    assert text.index("bin/.z-post-link.sh") < text.index("bin/.a-post-link.sh")


# --- byte code ------------------------------------------------------------------------------------


def test_byte_code_trusts_its_source_without_looking_at_times(bench, tmp_path):
    source = tmp_path / "m.py"
    source.write_text("VALUE = 7\n")
    made = py_compile.compile(
        str(source), invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP
    )
    data = Path(made).read_bytes()
    name = os.path.basename(made)
    package = Conda(
        name="m", files={"lib/m.py": source.read_bytes(), f"lib/__pycache__/{name}": data}
    )
    changed = (bench.link(package) / f"lib/__pycache__/{name}").read_bytes()
    expected = tmp_path / "hashed.pyc"
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(source), cfile=str(expected), invalidation_mode=mode)
    assert changed == expected.read_bytes()
    assert marshal.loads(changed[16:])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        importlib.util.MAGIC_NUMBER + b"\1\0\0\0" + b"x" * 20,
        (62211).to_bytes(2, "little") + b"\r\n" + b"\0" * 30,
        b"\xf0\0\r\n" + b"\0" * 30,
    ],
)
def test_other_byte_code_stays_as_it_is(data):
    assert unchecked_byte_code(data, b"") == data


# --- hostile --------------------------------------------------------------------------------------


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mtime = kind, link, MEMBERS
    return info


@pytest.mark.parametrize("ending", [".conda", ".tar.bz2"])
@pytest.mark.parametrize(
    ("info", "code"),
    [
        (member("../out"), "F041"),
        (member("/etc/passwd"), "F041"),
        (member("a", tarfile.SYMTYPE, "/etc"), "F041"),
        (member("a", tarfile.SYMTYPE, "../../etc"), "F041"),
        (member("a", tarfile.LNKTYPE, "../x"), "F041"),
        (member("dev", tarfile.CHRTYPE), "F041"),
    ],
)
def test_archives_that_lead_out_are_refused(bench, tmp_path, ending, info, code):
    assert bench.refused(Conda(name="x", ending=ending, members=[(info, b"")])).code == code
    assert not (tmp_path / "1/scratch/out").exists()


def test_a_chain_of_links_that_climbs_moves_nothing_from_outside(bench, tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "secret").write_text("mine")
    chain, below = [], "../.."
    for number in range(12):
        chain.append(member(f"p/q/l{number}", tarfile.SYMTYPE, below))
        chain.append(member(f"m{number}", tarfile.SYMTYPE, f"p/q/l{number}/.."))
        below = f"../../m{number}"
    rows = [
        {"_path": f"m{number}/{path}", "path_type": "hardlink"}
        for number in range(12)
        for path in ("victim/secret", "x/victim/secret")
    ]
    for row in rows:
        text = json.dumps({"paths": [row], "paths_version": 1}).encode()
        package = Conda(
            name="x", more_info={"info/paths.json": text}, members=[(info, b"") for info in chain]
        )
        assert bench.refused(package).code == "F069"
    assert (victim / "secret").read_text() == "mine"


@pytest.mark.parametrize("placeholder", ["a", "a\nb", "opt/x"])
def test_placeholders_that_are_no_paths_are_refused(bench, placeholder):
    row = {"_path": "x", "prefix_placeholder": placeholder, "file_mode": "text"}
    assert bench.refused(with_paths(row, files={"x": b"a" * 100})).code == "F069"


def with_paths(*rows: dict[str, object], **more) -> Conda:
    text = json.dumps({"paths": rows, "paths_version": 1}).encode()
    return Conda(name="x", more_info={"info/paths.json": text}, **more)


@pytest.mark.parametrize(
    "path", ["../x", "/x", "a/../../x", "a//b", "conda-meta/forged.json", "info/index.json", "a\nb"]
)
def test_paths_that_are_not_a_packages_to_install_are_refused(bench, path):
    assert bench.refused(with_paths({"_path": path}, files={"x": b""})).code == "F069"


@pytest.mark.parametrize(
    "row",
    [
        {"_path": "x", "path_type": "device"},
        {"_path": 7},
        {"_path": "\ud800"},
        {},
        {"_path": "missing"},
        {"_path": "missing", "prefix_placeholder": "/p"},
        {"_path": "folder"},
    ],
)
def test_a_list_of_paths_of_a_wrong_form_is_refused(bench, row):
    assert bench.refused(with_paths(row, files={"x": b"", "folder/y": b""}))


def test_nothing_is_written_through_a_link_of_another_package(bench):
    one = Conda(name="a", files={"real/x": b""}, links={"lib": "real"})
    two = Conda(name="b", files={"lib/evil": b"x"}, depends=["a"])
    assert bench.refused(one, two).code == "F041"


def test_a_package_under_another_name_than_the_locks_is_refused(bench):
    other = Conda(name="x", index={"version": "6.6"})
    assert bench.refused(other).code == "F047"


@pytest.mark.parametrize(
    "points", [["a"], ["a = b"], ["a/../b = m:f"], ["a = m:f(); import os"], ["a = m;x:f"]]
)
def test_entry_points_hold_names_and_no_code(bench, points):
    package = Conda(name="x", subdir="noarch", python=True, entry_points=points)
    assert bench.refused(package, PYTHON).code == "F069"


def test_what_cannot_be_linked_says_why(bench):
    assert bench.refused(PURE).code == "F070"
    long = Conda(name="x", files={"a": b"\0" + P + b"\0"}, binary=["a"])
    assert bench.refused(long, prefix="/" + "p" * 300).code == "F071"
    before = Conda(name="x", files={"bin/.x-pre-link.sh": b""})
    assert bench.refused(before).code == "F072"


def test_damaged_archives_are_refused(bench):
    good = Conda(name="x", files={"a": os.urandom(5000)})
    data = good.data()
    assert bench.refused(good, data=data[:-200]).code == "F042"
    assert bench.refused(good, data=data.replace(b"\x28\xb5\x2f\xfd", b"zzzz", 1)).code == "F042"
    assert bench.refused(good, data=b"").code == "F042"
    one_half = io.BytesIO()
    with zipfile.ZipFile(one_half, "w") as archive:
        archive.writestr("pkg-x.tar.zst", zstd(b""))
    assert bench.refused(good, data=one_half.getvalue()).code == "F042"
    middle = bytearray(data)
    middle[len(data) // 2] ^= 0xFF
    assert bench.refused(good, data=bytes(middle)).code == "F042"


# --- compared with rattler ------------------------------------------------------------------------


def test_the_tree_is_the_one_that_rattler_makes(bench, tmp_path):
    import rattler

    packages = [
        PYTHON,
        Conda(
            name="tool",
            files={
                "bin/tool": b"#!" + P + b"/bin/sh\n",
                "lib/l.so": b"\0" + P + b"/a:" + P + b"/b\0c\0" + P,
                "share/t": b"path = " + P + b"/share\n",
            },
            binary=["lib/l.so"],
            links={"lib/l": "l.so"},
        ),
        Conda(name="old", ending=".tar.bz2", files={"etc/old": b"old"}),
        Conda(
            name="pure",
            subdir="noarch",
            python=True,
            depends=["python"],
            files={"site-packages/pure.py": b"x = 1\n", "python-scripts/s": b"#!/bin/sh\n"},
        ),
    ]
    write_channel(str(tmp_path / "ch"), packages)
    prefix = tmp_path / "prefix"

    async def install() -> None:
        records = await rattler.solve(
            [f"file://{tmp_path}/ch/forge"],
            ["tool", "old", "pure"],
            platforms=["linux-64", "noarch"],
        )
        await rattler.install(
            records,
            target_prefix=prefix,
            cache_dir=tmp_path / "cache",
            platform=rattler.Subdir("linux-64"),
            show_progress=False,
            execute_link_scripts=False,
        )

    asyncio.run(install())
    ours = contents(bench.link(*packages, prefix=str(prefix)))
    theirs = contents(prefix)
    del theirs["CACHEDIR.TAG"]
    assert {k: v for k, v in ours.items() if not k.startswith("conda-meta")} == {
        k: v for k, v in theirs.items() if not k.startswith("conda-meta") and "__pycache__" not in k
    }
    for name in sorted(k for k in ours if k.endswith(".json")):
        mine = rattler.PrefixRecord.from_path(tmp_path / "1/out/tree" / name)
        other = rattler.PrefixRecord.from_path(prefix / name)
        assert sorted(mine.files) == sorted(f for f in other.files if "__pycache__" not in str(f))
        assert (mine.name, mine.version, mine.build) == (other.name, other.version, other.build)
