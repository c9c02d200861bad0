"""Scratch files of a running step: not durable, private to the run's folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from io import BufferedReader

from ssds.core.digest import Digest
from ssds.core.errors import InvalidValue
from ssds.host.files import explained
from ssds.host.removal import remove_whole

_CHUNK = 1 << 20
_LINKS = 40


def write(path: str, data: bytes, *, mode: int = 0o644) -> None:
    """Writes a scratch file with exactly these permission bits."""
    with explained(path), open(path, "wb") as file:
        file.write(data)
    os.chmod(path, mode)


def write_new(path: str, data: bytes, *, mode: int = 0o644) -> None:
    """Writes a scratch file that is not there yet, with these permission bits; of many, fast."""
    with explained(path):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            while data := data[os.write(handle, data) :]:
                pass
            if os.fstat(handle).st_mode & 0o777 != mode:  # a caller's umask must not reach it
                os.fchmod(handle, mode)
        finally:
            os.close(handle)


def make_folder(path: str) -> None:
    """Makes a folder, and those above it that are missing, with mode 755 under any umask.

    Steps and tests see scratch folders, and copy them: a caller's umask must not reach an image.
    """
    if os.path.isdir(path):
        return
    make_folder(os.path.dirname(path))
    with explained(path):
        os.mkdir(path)
        os.chmod(path, 0o755)


def link_or_copy(source: str, target: str) -> None:
    """Makes ``target`` the same bytes as ``source``: a hard link where possible, else a copy."""
    with explained(target):
        try:
            os.link(source, target)
        except OSError:
            import shutil  # slow to import, and seldom needed

            shutil.copyfile(source, target)
            os.chmod(target, 0o444)


def symlink(target: str, path: str) -> None:
    """Makes a symbolic link, and its folder when missing."""
    make_folder(os.path.dirname(path))
    os.symlink(target, path)


def copy_hashed(source: str, target: str, *, mode: int) -> Digest:
    """Copies a regular file and returns the sha256 of what was copied.

    Raises:
        InvalidValue: ``source`` is no regular file any more.
    """
    digest = hashlib.sha256()
    make_folder(os.path.dirname(target))
    try:
        handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidValue(f"cannot read {source}: {error.strerror}") from error
    with open(handle, "rb") as reader, explained(target), open(target, "wb") as writer:
        if not stat.S_ISREG(os.fstat(reader.fileno()).st_mode):
            raise InvalidValue(f"{source} is no regular file")
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
    os.chmod(target, mode)
    return Digest("sha256:" + digest.hexdigest())


def read_below(folder: str, name: str, limit_bytes: int) -> bytes | None:
    """Reads the regular file ``name`` below ``folder`` without following any symbolic link.

    Returns None when there is no such regular file.

    Raises:
        InvalidValue: the file is larger than ``limit_bytes``.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        parts = [p for p in name.split("/") if p not in ("", ".")]
        for position, part in enumerate(parts):
            last = position == len(parts) - 1
            kind = os.O_NONBLOCK if last else os.O_DIRECTORY
            if part == "..":
                return None
            below = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | kind, dir_fd=handle)
            os.close(handle)
            handle = below
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            return None
        if status.st_size > limit_bytes:
            raise InvalidValue(f"{name} is larger than {limit_bytes} bytes")
        with open(os.dup(handle), "rb") as file:
            return file.read(limit_bytes)
    except OSError:
        return None
    finally:
        os.close(handle)


def settled(folder: str, name: str, seen_as: str) -> str | None:
    """Returns where ``name`` below ``folder`` really is, links followed as the job saw them.

    For a folder that no process writes any more.

    Args:
        seen_as: the path under which the job saw ``folder``.

    Returns:
        None where nothing is there, or where links lead out of the folder.
    """
    rest, links = name.split("/")[::-1], 0
    where: list[str] = []
    while rest:
        part = rest.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not where:
                return None
            where.pop()
            continue
        place = os.path.join(folder, *where, part)
        try:
            target = os.readlink(place) if os.path.islink(place) else ""
            os.lstat(place)
        except OSError:
            return None
        if target:
            links += 1
            if links > _LINKS or (target.startswith("/") and not target.startswith(f"{seen_as}/")):
                return None
            if target.startswith("/"):
                where, target = [], target[len(seen_as) :]
            rest += target.split("/")[::-1]
            continue
        where.append(part)
    return os.path.join(folder, *where)


def open_regular(path: str) -> BufferedReader:
    """Opens a regular file for reading; follows no link there, and waits for nobody.

    Raises:
        OSError: it cannot be opened, or is a link.
        InvalidValue: it is no regular file.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise InvalidValue("it is no regular file")
    return open(handle, "rb")


def head(path: str, count_bytes: int) -> bytes:
    """Returns the first bytes of a regular file; none of anything else."""
    try:
        with open_regular(path) as file:
            return file.read(count_bytes)
    except (OSError, InvalidValue):
        return b""


def disk_is_full(path: str) -> bool:
    """Whether less than 1 MiB, or no file more, fits on the file system of ``path``."""
    try:
        found = os.statvfs(path)
    except OSError:
        return False
    no_file = found.f_files > 0 and found.f_favail < 16
    return found.f_bavail * found.f_frsize < 1 << 20 or no_file


def make_executable(path: str) -> None:
    """Gives a file the execute bits, replacing a hard link by a copy of its own."""
    if os.path.isdir(path) or os.path.islink(path):
        return
    copy = path + ".executable"
    import shutil

    shutil.copyfile(path, copy)
    os.chmod(copy, 0o755)
    os.rename(copy, path)


def remove_folder(path: str) -> None:
    """Removes a scratch folder; what cannot be removed stays for the next sweep."""
    with contextlib.suppress(OSError):
        remove_whole(path)


def copy_tree(source: str, target: str) -> None:
    """Copies a scratch folder with all in it; links stay links."""
    import shutil

    with explained(target):
        shutil.copytree(source, target, symlinks=True)
