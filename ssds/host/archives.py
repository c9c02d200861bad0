"""Archives from outside, opened with distrust: tar, zip (wheels), .deb and .conda.

Members go into a ``SafeFolder``, which nothing leaves.

Sources: POSIX.1-2001 pax, PKWARE APPNOTE 6.3, deb(5), ar(5), conda's package format 2.
"""

from __future__ import annotations

import os
import stat
import tarfile
import zipfile
from typing import IO

from ssds.core.errors import UnavailableError
from ssds.host.files import explained
from ssds.host.safe_folder import Limits, SafeFolder
from ssds.host.streams import damage_explained, deb_member, decompressed

__all__ = ["Limits", "can_unpack", "unpack_archive"]

_CHUNK = 256 * 1024
_TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tar.zst")
_ZIP_ENDINGS = (".zip", ".whl", ".egg")


def can_unpack(name: str) -> bool:
    """Whether ``unpack_archive`` knows this kind of file, by its name."""
    return name.lower().endswith((*_TAR_ENDINGS, *_ZIP_ENDINGS, ".deb", ".conda"))


def unpack_archive(path: str, folder: str, limits: Limits | None = None, *, name: str = "") -> None:
    """Unpacks the archive at ``path`` into ``folder`` (made when missing).

    Owners are the caller's; modes become 0644 or 0755; whole-second times are kept.

    Args:
        path: the archive file.
        folder: where to; should be empty.
        limits: how much it may hold.
        name: the archive's own name where ``path`` has another one (a blob); tells its kind.

    Raises:
        IntegrityError: damaged, hostile or too large; the folder then holds a part of it.
        UnavailableError: a kind that is not known, or a missing decompressor.
    """
    known = (name or path).lower()
    target = SafeFolder(folder, name or path, limits or Limits())
    try:
        with damage_explained(name or path), explained(folder):
            if known.endswith(_ZIP_ENDINGS):
                _unpack_zip(path, target)
            elif known.endswith(".deb"):
                with deb_member(path, "data.tar") as stream:
                    _unpack_tar(stream, target)
            elif known.endswith(".conda"):
                _unpack_conda(path, target)
            elif known.endswith(_TAR_ENDINGS):
                with open(path, "rb") as file, decompressed(file, known) as stream:
                    _unpack_tar(stream, target)
            else:
                raise UnavailableError(
                    f"{os.path.basename(known)}: not a kind of archive that can be unpacked",
                    hint="Known are tar (plain, gz, bz2, xz, zst), zip, whl, deb and conda; "
                    "without 'unpack' the file is bound as it is.",
                )
    finally:
        target.close()


def _unpack_tar(stream: IO[bytes], target: SafeFolder) -> None:
    with tarfile.open(fileobj=stream, mode="r|", bufsize=_CHUNK) as archive:
        for member in archive:
            target.count(member.name)
            mtime_s = int(member.mtime)
            if member.isdir():
                target.folder(member.name, mtime_s)
            elif member.isreg():
                source = archive.extractfile(member)
                if source is None:
                    raise target.refuse(member.name, "has no content")
                executable = bool(member.mode & 0o111)
                target.file(member.name, source, executable=executable, mtime_s=mtime_s)
            elif member.issym():
                target.symlink(member.name, member.linkname)
            elif member.islnk():
                target.hardlink(member.name, member.linkname)
            else:
                raise target.refuse(member.name, "is neither file, folder nor link")
            archive.members = []  # type: ignore[attr-defined]  # a stream needs no memory of what went by


def _unpack_zip(path: str, target: SafeFolder) -> None:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            target.count(info.filename)
            mtime_s = _zip_time(info)
            mode = info.external_attr >> 16
            if info.is_dir():
                target.folder(info.filename, mtime_s)
                continue
            if info.flag_bits & 0x1:
                raise target.refuse(info.filename, "is encrypted")
            if stat.S_ISLNK(mode):
                if info.file_size > 4095:
                    raise target.refuse(info.filename, "is no usable link")
                target.symlink(info.filename, os.fsdecode(archive.read(info)))
                continue
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                raise target.refuse(info.filename, "is neither file, folder nor link")
            with archive.open(info) as source:
                target.file(info.filename, source, executable=bool(mode & 0o111), mtime_s=mtime_s)


def _zip_time(info: zipfile.ZipInfo) -> int:
    import calendar

    try:
        return calendar.timegm((*info.date_time, 0, 0, 0))
    except (ValueError, OverflowError):
        return 0


def _unpack_conda(path: str, target: SafeFolder) -> None:
    """Unpacks both halves of a conda package: what is installed, and ``info/`` about it."""
    with zipfile.ZipFile(path) as archive:
        halves = [
            (info.filename.partition("-")[0], info)
            for info in archive.infolist()
            if info.filename.startswith(("pkg-", "info-")) and info.filename.endswith(".tar.zst")
        ]
        halves.sort(key=lambda half: half[0])
        if [half for half, _ in halves] != ["info", "pkg"]:
            raise ValueError("it does not hold one pkg-….tar.zst and one info-….tar.zst")
        for _, info in halves:
            with archive.open(info) as file, decompressed(file, info.filename) as stream:
                _unpack_tar(stream, target)
