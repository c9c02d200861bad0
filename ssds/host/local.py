"""Scratch files of a running step: not durable, private to the run's folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat

from ssds.core.digest import Digest
from ssds.core.errors import InvalidValue
from ssds.host.files import explained
from ssds.host.removal import remove_whole

_CHUNK = 1 << 20


def write(path: str, data: bytes, *, mode: int = 0o644) -> None:
    """Writes a scratch file with exactly these permission bits."""
    with explained(path), open(path, "wb") as file:
        file.write(data)
    os.chmod(path, mode)


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
