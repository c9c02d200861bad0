"""Archives from outside, opened with distrust: tar, zip (wheels) and Debian's .deb.

Nothing is followed while writing: each folder is opened by handle without following links, so no
member can leave the target folder, whatever links the archive holds. Sizes are counted while
bytes flow, never believed from a header.

Sources: POSIX.1-2001 pax, PKWARE APPNOTE 6.3, deb(5), ar(5).
"""

from __future__ import annotations

import contextlib
import os
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from ssds.core.errors import IntegrityError, UnavailableError
from ssds.host.files import explained
from ssds.host.local import make_folder
from ssds.host.streams import damage_explained, deb_member, decompressed

MIB = 1024 * 1024
_CHUNK = 256 * 1024
_TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tar.zst")
_ZIP_ENDINGS = (".zip", ".whl", ".egg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much an archive may hold.

    Attributes:
        size_bytes: sum of the unpacked files.
        entries: number of members.
        path_bytes: length of one member's path; depth: number of its parts.
        outside_links: whether symbolic links may point out of the archive.
    """

    size_bytes: int = 8 * 1024 * MIB
    entries: int = 500_000
    path_bytes: int = 1024
    depth: int = 64
    outside_links: bool = False


class _Target:
    """The folder that is written to; every name is checked and opened part by part."""

    def __init__(self, folder: str, archive: str, limits: Limits) -> None:
        make_folder(folder)
        self.root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self.archive = os.path.basename(archive)
        self.limits = limits
        self.bytes_left = limits.size_bytes
        self.entries_left = limits.entries

    def close(self) -> None:
        os.close(self.root)

    def refuse(self, name: str, why: str) -> IntegrityError:
        return IntegrityError(
            f"{self.archive}: {name[:120]!r} {why}",
            code="F041",
            hint="The archive is damaged or hostile; check where it comes from.",
        )

    def parts(self, name: str) -> list[str]:
        """Returns the checked parts of a member's path; an empty list is the root itself."""
        if name.startswith("/") or "\0" in name or "\\" in name:
            raise self.refuse(name, "is not a relative path")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise self.refuse(name, "leads out of the archive")
        long = len(os.fsencode(name)) > self.limits.path_bytes
        if long or any(len(os.fsencode(part)) > 255 for part in parts):
            raise self.refuse(name, "is too long a path")
        if len(parts) > self.limits.depth:
            raise self.refuse(name, f"is more than {self.limits.depth} folders deep")
        return parts

    def count(self, name: str) -> None:
        self.entries_left -= 1
        if self.entries_left < 0:
            raise self.refuse(name, f"is beyond the limit of {self.limits.entries} members")

    @contextlib.contextmanager
    def parent(self, parts: list[str], name: str) -> Iterator[int]:
        """Gives a handle of the folder that holds the last part; makes missing folders."""
        handle = os.dup(self.root)
        try:
            for part in parts:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, dir_fd=handle)
                    os.chmod(part, 0o755, dir_fd=handle)
                try:
                    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                    following = os.open(part, flags, dir_fd=handle)
                except OSError as error:
                    raise self.refuse(name, "goes through something that is no folder") from error
                os.close(handle)
                handle = following
            yield handle
        finally:
            os.close(handle)

    def folder(self, name: str, mtime_s: int) -> None:
        parts = self.parts(name)
        with self.parent(parts, name) as handle:
            if parts:
                _set_time(handle, mtime_s)

    def _free(self, handle: int, leaf: str, name: str) -> None:
        """Removes an earlier member of the same name: the last one counts."""
        try:
            os.unlink(leaf, dir_fd=handle)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self.refuse(name, "replaces a folder by something else") from error

    def file(self, name: str, source: IO[bytes], *, executable: bool, mtime_s: int) -> None:
        parts = self.parts(name)
        if not parts:
            raise self.refuse(name, "is a file without a name")
        with self.parent(parts[:-1], name) as handle:
            self._free(handle, parts[-1], name)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            mode = 0o755 if executable else 0o644
            out = os.open(parts[-1], flags, mode, dir_fd=handle)
            with open(out, "wb") as file:
                while chunk := source.read(_CHUNK):
                    self.bytes_left -= len(chunk)
                    if self.bytes_left < 0:
                        raise self.refuse(name, f"passes the limit of {self.limits.size_bytes} B")
                    file.write(chunk)
                file.flush()
                os.fchmod(out, mode)
                _set_time(out, mtime_s)

    def symlink(self, name: str, target: str) -> None:
        parts = self.parts(name)
        if not parts or not target or "\0" in target or len(os.fsencode(target)) > 4095:
            raise self.refuse(name, "is no usable link")
        if not self.limits.outside_links and _leaves(parts, target):
            raise self.refuse(name, f"is a link out of the archive, to {target[:80]!r}")
        with self.parent(parts[:-1], name) as handle:
            self._free(handle, parts[-1], name)
            os.symlink(target, parts[-1], dir_fd=handle)

    def hardlink(self, name: str, target: str) -> None:
        parts, source = self.parts(name), self.parts(target)
        if not parts or not source or parts == source:
            raise self.refuse(name, "is no usable link")
        with self.parent(source[:-1], name) as there, self.parent(parts[:-1], name) as here:
            try:
                found = os.stat(source[-1], dir_fd=there, follow_symlinks=False)
            except OSError as error:
                raise self.refuse(name, f"links to {target[:80]!r}, which is missing") from error
            if not stat.S_ISREG(found.st_mode):
                raise self.refuse(name, f"links to {target[:80]!r}, which is no file")
            self._free(here, parts[-1], name)
            os.link(source[-1], parts[-1], src_dir_fd=there, dst_dir_fd=here, follow_symlinks=False)


def _set_time(handle: int, mtime_s: int) -> None:
    seconds = min(max(mtime_s, 0), 2**33)
    os.utime(handle, (seconds, seconds))


def _leaves(parts: list[str], target: str) -> bool:
    """Whether a link at ``parts`` with this text leads above the archive's root."""
    if target.startswith("/"):
        return True
    depth = len(parts) - 1
    for part in target.split("/"):
        if part == "..":
            depth -= 1
            if depth < 0:
                return True
        elif part not in ("", "."):
            depth += 1
    return False


def can_unpack(name: str) -> bool:
    """Whether ``unpack_archive`` knows this kind of file, by its name."""
    return name.lower().endswith((*_TAR_ENDINGS, *_ZIP_ENDINGS, ".deb"))


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
    target = _Target(folder, name or path, limits or Limits())
    try:
        with damage_explained(name or path), explained(folder):
            if known.endswith(_ZIP_ENDINGS):
                _unpack_zip(path, target)
            elif known.endswith(".deb"):
                with deb_member(path, "data.tar") as stream:
                    _unpack_tar(stream, target)
            elif known.endswith(_TAR_ENDINGS):
                with open(path, "rb") as file, decompressed(file, known) as stream:
                    _unpack_tar(stream, target)
            else:
                raise UnavailableError(
                    f"{os.path.basename(known)}: not a kind of archive that can be unpacked",
                    hint="Known are tar (plain, gz, bz2, xz, zst), zip, whl and deb; "
                    "without 'unpack' the file is bound as it is.",
                )
    finally:
        target.close()


def _unpack_tar(stream: IO[bytes], target: _Target) -> None:
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


def _unpack_zip(path: str, target: _Target) -> None:
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
