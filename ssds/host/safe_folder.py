"""A folder that is filled by strangers: nothing leaves it, whatever names and links they give.

Nothing is followed while writing: each folder is opened by handle without following links, so no
member can leave the folder. Sizes are counted while bytes flow, never believed from a header.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from ssds.core.errors import IntegrityError
from ssds.host.local import make_folder

MIB = 1024 * 1024
_CHUNK = 256 * 1024


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


class SafeFolder:
    """The folder that is written to; every name is checked and opened part by part."""

    def __init__(self, folder: str, archive: str, limits: Limits) -> None:
        make_folder(folder)
        self.path = folder
        self.root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self.archive = os.path.basename(archive)
        self.limits = limits
        self.bytes_left = limits.size_bytes
        self.entries_left = limits.entries

    def close(self) -> None:
        """Closes the handle of the folder."""
        os.close(self.root)

    def refuse(self, name: str, why: str) -> IntegrityError:
        """Returns the error that says why a member is not taken."""
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
        """Counts one more member; raises IntegrityError beyond the limit."""
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
        """Makes a folder, and those above it."""
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
        """Writes a file; an earlier one of the same name is replaced."""
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
        """Makes a symbolic link."""
        parts = self.parts(name)
        if not parts or not target or "\0" in target or len(os.fsencode(target)) > 4095:
            raise self.refuse(name, "is no usable link")
        if not self.limits.outside_links and _leaves(parts, target):
            raise self.refuse(name, f"is a link out of the archive, to {target[:80]!r}")
        with self.parent(parts[:-1], name) as handle:
            self._free(handle, parts[-1], name)
            os.symlink(target, parts[-1], dir_fd=handle)

    def hardlink(self, name: str, target: str) -> None:
        """Makes another name of a file that is there."""
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

    def adopt(self, name: str, holder: int, leaf: str) -> None:
        """Moves a file or symbolic link to ``name``; it must be on the same file system.

        Args:
            holder, leaf: the folder that holds it and its name there, as ``held`` gives them.
        """
        parts = self.parts(name)
        if not parts:
            raise self.refuse(name, "is a file without a name")
        with self.parent(parts[:-1], name) as handle:
            self._free(handle, parts[-1], name)
            os.rename(leaf, parts[-1], src_dir_fd=holder, dst_dir_fd=handle)


@contextlib.contextmanager
def held(folder: str, name: str) -> Iterator[tuple[int, str, os.stat_result] | None]:
    """Gives the folder that holds ``name`` below ``folder``, its last part and its status.

    No link on the way is followed. Gives None where nothing is there, or something on the way is no
    folder.
    """
    *above, leaf = name.split("/")
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = None
        with contextlib.suppress(OSError):
            for part in above:
                following = os.open(
                    part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle
                )
                os.close(handle)
                handle = following
            found = os.stat(leaf, dir_fd=handle, follow_symlinks=False)
        yield None if found is None or ".." in (*above, leaf) else (handle, leaf, found)
    finally:
        os.close(handle)


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
