"""Whole folders that appear at once, and scratch folders; beside ``files`` for single files."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import secrets
from collections.abc import Iterator

from ssds.host.files import TEMPORARY_PREFIX, explained, sync_folder, write_point
from ssds.host.removal import remove_whole

_HERE = -100  # AT_FDCWD
_RENAME_EXCHANGE = 2


def _temporary(folder: str) -> str:
    return os.path.join(folder, f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(6)}")


@contextlib.contextmanager
def staged_folder(path: str, *, point: str, replace: bool = False) -> Iterator[str]:
    """Gives an empty folder; at the end of the block it stands at ``path``, whole and durable.

    On an exception nothing is left, and what stood there stays; after SIGKILL at most a folder with
    TEMPORARY_PREFIX stays beside it, which ``sweep_folders`` removes.

    Args:
        replace: ``path`` may exist: the folder there goes when the new one comes.
    """
    parent = os.path.dirname(path) or "."
    temporary = _temporary(parent)
    with explained(path):
        os.makedirs(parent, exist_ok=True)
        os.mkdir(temporary, 0o755)
        os.chmod(temporary, 0o755)
    try:
        with explained(path):
            write_point(f"{point}.open")
            yield temporary
            sync_file_system(temporary)
            write_point(f"{point}.synced")
            _place(temporary, path, replace)
            write_point(f"{point}.renamed")
            sync_folder(parent)
            write_point(f"{point}.durable")
    finally:
        remove_tree(temporary)


@contextlib.contextmanager
def staged_folders(parent: str, *, point: str) -> Iterator[str]:
    """Gives an empty folder; what the block put into it then stands in ``parent``, each whole.

    All are durable when the first of them appears; folders of the same names go then. A killed
    writer leaves some of them, whole, and what ``sweep_folders`` removes.
    """
    with scratch_folder(parent) as staging, explained(parent):
        os.chmod(staging, 0o755)
        write_point(f"{point}.open")
        yield staging
        sync_file_system(staging)
        write_point(f"{point}.synced")
        for name in sorted(os.listdir(staging)):
            _place(os.path.join(staging, name), os.path.join(parent, name), True)
            write_point(f"{point}.renamed")
        sync_folder(parent)
        write_point(f"{point}.durable")


def _place(new: str, path: str, replace: bool) -> None:
    """Renames a folder to ``path``; a folder that stood there stands at ``new`` then, or is gone.

    Where the file system can, both change places in one step.
    """
    if not replace or not os.path.lexists(path):
        os.rename(new, path)
    elif not _exchange(new, path):
        discard_folder(path)
        os.rename(new, path)


def _exchange(one: str, other: str) -> bool:
    """Lets two paths change places (renameat2(2), RENAME_EXCHANGE); False where that cannot be."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    if call(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    found = ctypes.get_errno()
    if found in (errno.EINVAL, errno.ENOSYS, errno.EXDEV, errno.ENOTSUP):
        return False
    raise OSError(found, os.strerror(found), other)


@contextlib.contextmanager
def readable_for_all() -> Iterator[None]:
    """Lets everybody read what the block makes, whatever the umask says; it still says who writes.

    The umask belongs to the process: other threads see the change as well.
    """
    before = os.umask(0o022)
    os.umask(before & ~0o555)
    try:
        yield
    finally:
        os.umask(before)


@contextlib.contextmanager
def scratch_folder(parent: str) -> Iterator[str]:
    """Gives an empty folder below ``parent``, which is removed at the end of the block."""
    path = _temporary(parent)
    with explained(path):
        os.makedirs(parent, exist_ok=True)
        os.mkdir(path, 0o700)
    try:
        yield path
    finally:
        remove_tree(path)


def sync_file_system(path: str) -> None:
    """Makes everything on the file system of ``path`` durable: cheaper than a sync per file."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(handle) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
    finally:
        os.close(handle)


def remove_tree(path: str) -> None:
    """Removes a folder with all in it, also where folders in it are read-only; follows no link."""
    with explained(path):
        remove_whole(path)


def discard_folder(path: str) -> None:
    """Removes a folder that others may be looking at: it vanishes at once, then its bytes go."""
    hidden = _temporary(os.path.dirname(path) or ".")
    with explained(path):
        try:
            os.rename(path, hidden)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            hidden = path  # a union file system does not rename folders of its lower layer
    remove_tree(hidden)


def sweep_folders(parent: str) -> int:
    """Removes what killed writers left in ``parent``; the caller holds the place's lock."""
    count = 0
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(parent):
            if name.startswith(TEMPORARY_PREFIX):
                remove_tree(os.path.join(parent, name))
                count += 1
    return count


def unwritable(folder: str) -> str:
    """Returns why a folder cannot be written or made, or the empty string."""
    place = os.path.abspath(folder)
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    if os.access(place, os.W_OK | os.X_OK):
        return ""
    read_only = os.statvfs(place).f_flag & os.ST_RDONLY
    return "the file system is read-only" if read_only else "permission denied"
