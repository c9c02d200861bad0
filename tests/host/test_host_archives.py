from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
import tarfile
import zipfile

import pytest
from package_archives import Deb, ar_bytes, tar_bytes

from ssds.core.errors import IntegrityError, SsdsError, UnavailableError
from ssds.host.archives import Limits, can_unpack, unpack_archive


def entry(name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", link: str = "", mode=0o644):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname, info.mode = kind, len(data), link, mode
    info.mtime = 1_600_000_000
    return info, data


def tar(*entries) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def zip_bytes(*files: tuple[str, bytes, int]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data, mode in files:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, data)
    return buffer.getvalue()


def unpack(tmp_path, name: str, data: bytes, limits: Limits | None = None) -> str:
    path = tmp_path / "blob"
    path.write_bytes(data)
    folder = tmp_path / "inner" / "out"
    folder.mkdir(parents=True)
    unpack_archive(str(path), str(folder), limits, name=name)
    return str(folder)


def content(folder: str, name: str) -> bytes:
    with open(os.path.join(folder, name), "rb") as file:
        return file.read()


@pytest.mark.parametrize("kind", ["", ".gz", ".xz", ".bz2"])
def test_tars_of_every_compression_are_unpacked(kind, tmp_path):
    folder = unpack(tmp_path, f"a.tar{kind}", tar_bytes({"a/b.txt": b"hello"}, kind=kind))
    assert content(folder, "a/b.txt") == b"hello"


@pytest.mark.skipif(not shutil.which("zstd"), reason="needs zstd")
def test_a_zstd_tar_is_unpacked_and_a_truncated_one_refused(tmp_path):
    plain = tar_bytes({"a": os.urandom(300_000)})
    packed = subprocess.run(["zstd", "-c"], input=plain, capture_output=True, check=True).stdout
    folder = unpack(tmp_path, "a.tar.zst", packed)
    assert os.path.getsize(f"{folder}/a") == 300_000
    (tmp_path / "again").mkdir()
    with pytest.raises(IntegrityError):
        unpack(tmp_path / "again", "a.tar.zst", packed[:-200])


def test_modes_times_and_links_are_normal(tmp_path):
    data = tar(
        entry("d", tarfile.DIRTYPE, mode=0o777),
        entry("d/x", data=b"#!", mode=0o4777),
        entry("d/y", data=b"y", mode=0o600),
        entry("d/hard", tarfile.LNKTYPE, link="d/y"),
        entry("d/soft", tarfile.SYMTYPE, link="../d/y"),
    )
    folder = unpack(tmp_path, "a.tar", data)
    assert stat.S_IMODE(os.stat(f"{folder}/d/x").st_mode) == 0o755
    assert stat.S_IMODE(os.stat(f"{folder}/d/y").st_mode) == 0o644
    assert os.stat(f"{folder}/d/x").st_mtime == 1_600_000_000
    assert os.path.samefile(f"{folder}/d/hard", f"{folder}/d/y")
    assert os.readlink(f"{folder}/d/soft") == "../d/y"


def test_a_wheel_and_a_deb_are_unpacked(tmp_path):
    folder = unpack(tmp_path, "x.whl", zip_bytes(("a/run", b"#!", 0o100755), ("b", b"", 0)))
    assert os.access(f"{folder}/a/run", os.X_OK)
    (tmp_path / "deb").mkdir()
    folder = unpack(tmp_path / "deb", "x.deb", Deb(name="tool").data)
    assert content(folder, "usr/share/tool/hello") == b"hello\n"


HOSTILE = {
    "absolute path": tar(entry("/etc/x", data=b"x")),
    "parent path": tar(entry("../x", data=b"x")),
    "parent path inside": tar(entry("a/../../x", data=b"x")),
    "backslash": tar(entry("a\\..\\x", data=b"x")),
    "absolute link": tar(entry("l", tarfile.SYMTYPE, link="/etc/passwd")),
    "leaving link": tar(entry("a/l", tarfile.SYMTYPE, link="../../x")),
    "write through a link": tar(
        entry("l", tarfile.SYMTYPE, link="."), entry("l/../../x", data=b"x")
    ),
    "write through an inner link": tar(
        entry("d", tarfile.DIRTYPE), entry("l", tarfile.SYMTYPE, link="d"), entry("l/x", data=b"x")
    ),
    "hard link to outside": tar(entry("h", tarfile.LNKTYPE, link="../../../../etc/passwd")),
    "hard link to a link": tar(
        entry("s", tarfile.SYMTYPE, link="t"), entry("h", tarfile.LNKTYPE, link="s")
    ),
    "hard link to nothing": tar(entry("h", tarfile.LNKTYPE, link="nothing")),
    "hard link to itself": tar(entry("h", data=b"x"), entry("h", tarfile.LNKTYPE, link="h")),
    "device": tar(entry("d", tarfile.CHRTYPE)),
    "fifo": tar(entry("f", tarfile.FIFOTYPE)),
    "file over a folder": tar(entry("a/b", data=b"x"), entry("a", data=b"x")),
    "folder over a file": tar(entry("a", data=b"x"), entry("a/b", data=b"x")),
    "long name": tar(entry("n" * 300, data=b"x")),
    "long path": tar(entry("/".join(["n" * 100] * 11), data=b"x")),
    "deep": tar(entry("/".join(["d"] * 70), data=b"x")),
    "empty name": tar(entry("./", data=b"x")),
    "no archive": b"this is no archive at all" * 100,
    "truncated": tar(entry("a", data=b"x" * 5000))[:3000],
    "empty": b"",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_tar_is_refused_and_nothing_is_written_outside(case, tmp_path):
    with pytest.raises(SsdsError) as caught:
        unpack(tmp_path, "a.tar", HOSTILE[case])
    assert caught.value.hint
    assert sorted(os.listdir(tmp_path)) == ["blob", "inner"]
    assert os.listdir(tmp_path / "inner") == ["out"]


HOSTILE_ZIPS = {
    "absolute path": zip_bytes(("/x", b"x", 0)),
    "parent path": zip_bytes(("../x", b"x", 0)),
    "leaving link": zip_bytes(("l", b"../../x", 0o120777)),
    "device": zip_bytes(("d", b"", 0o020666)),
    "no archive": b"PK\x03\x04 nothing more",
    "truncated": zip_bytes(("a", b"x" * 1000, 0))[:500],
    "wrong checksum": zip_bytes(("a", b"hello hello", 0)).replace(
        b"hello hello", b"hellO hello", 1
    ),
    "encrypted": zip_bytes(("a", b"x", 0)).replace(
        b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00"
    ),
}


@pytest.mark.parametrize("case", HOSTILE_ZIPS)
def test_a_hostile_zip_is_refused_and_nothing_is_written_outside(case, tmp_path):
    with pytest.raises(IntegrityError):
        unpack(tmp_path, "a.whl", HOSTILE_ZIPS[case])
    assert os.listdir(tmp_path / "inner") == ["out"]


HOSTILE_DEBS = {
    "no ar": b"!<arch>",
    "no data": ar_bytes([("debian-binary", b"2.0\n")]),
    "negative size": ar_bytes([("data.tar", b"x")]).replace(b"1         `", b"-1        `"),
    "no size": ar_bytes([("data.tar", b"x")]).replace(b"1         `", b"x         `"),
    "truncated": Deb(name="tool").data[:-100],
    "inner escape": ar_bytes([("data.tar", tar(entry("../x", data=b"x")))]),
}


@pytest.mark.parametrize("case", HOSTILE_DEBS)
def test_a_hostile_deb_is_refused(case, tmp_path):
    with pytest.raises(IntegrityError):
        unpack(tmp_path, "a.deb", HOSTILE_DEBS[case])
    assert os.listdir(tmp_path / "inner") == ["out"]


def test_limits_hold_for_what_flows_and_not_for_what_is_said(tmp_path):
    bomb = tar_bytes({"zeros": bytes(5_000_000)}, kind=".xz")
    assert len(bomb) < 5000
    with pytest.raises(IntegrityError, match="limit"):
        unpack(tmp_path, "a.tar.xz", bomb, Limits(size_bytes=1_000_000))
    (tmp_path / "many").mkdir()
    many = tar_bytes({f"f{n}": b"" for n in range(20)})
    with pytest.raises(IntegrityError, match="10 members"):
        unpack(tmp_path / "many", "a.tar", many, Limits(entries=10))


def test_the_last_of_two_files_of_one_name_counts(tmp_path):
    data = tar(
        entry("a", data=b"old"), entry("a", tarfile.SYMTYPE, link="b"), entry("a", data=b"new")
    )
    folder = unpack(tmp_path, "a.tar", data)
    assert content(folder, "a") == b"new"


def test_an_unknown_kind_of_archive_is_named(tmp_path):
    assert can_unpack("Thing-1.0.TAR.GZ")
    assert not can_unpack("thing.rpm")
    with pytest.raises(UnavailableError, match=r"thing\.rpm"):
        unpack(tmp_path, "thing.rpm", b"x")
