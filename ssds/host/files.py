"""Durable files: the one place that writes them.

Everything that must survive a crash is written here: to a temporary file beside its place, synced,
renamed, and its folder synced. Each durable effect passes a *write point*; a test collects the
points at run time and kills the process at each of them (design section 4, "Crash safety").
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
from collections.abc import Iterator, Sequence
from typing import IO

from ssds.core.errors import EnvironmentProblem

TEMPORARY_PREFIX = ".ssds-tmp-"
_fault = os.environ.get("SSDS_FAULT_KILL", "")
_trace = os.environ.get("SSDS_FAULT_TRACE", "")
_seen: dict[str, int] = {}


def write_point(name: str) -> None:
    """Marks a durable effect that is about to happen or has just happened.

    ``SSDS_FAULT_TRACE=FILE`` appends every point as ``name:count``; ``SSDS_FAULT_KILL=name:count``
    ends the process with SIGKILL there. Both exist for the crash tests.
    """
    if not _fault and not _trace:
        return
    _seen[name] = _seen.get(name, 0) + 1
    point = f"{name}:{_seen[name]}"
    if _trace:
        with open(_trace, "a", encoding="utf-8") as file:
            file.write(point + "\n")
    if point == _fault:
        os.kill(os.getpid(), signal.SIGKILL)


def sync_folder(path: str) -> None:
    """Makes renames and new names in ``path`` durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


@contextlib.contextmanager
def replacing(path: str, *, point: str, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """Gives a file object; at the end of the block its bytes stand at ``path``, whole, durable.

    On an exception ``path`` is as it was before and nothing is left beside it. After SIGKILL at
    most a file with TEMPORARY_PREFIX stays, which ``sweep`` removes.

    Raises:
        EnvironmentProblem: disk full, read-only, no permission.
    """
    folder = os.path.dirname(path) or "."
    with explained(path):
        temporary, handle = _new_temporary(folder, mode)
    try:
        with explained(path), open(handle, "wb") as file:
            write_point(f"{point}.open")
            yield file
            file.flush()
            os.fsync(file.fileno())
            write_point(f"{point}.synced")
            os.rename(temporary, path)
            write_point(f"{point}.renamed")
            sync_folder(folder)
            write_point(f"{point}.durable")
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _new_temporary(folder: str, mode: int) -> tuple[str, int]:
    """Makes a temporary file; its lock, held until it is closed, keeps ``sweep`` away from it."""
    os.makedirs(folder, exist_ok=True)
    while True:
        name = f"{TEMPORARY_PREFIX}{os.getpid()}-{os.urandom(6).hex()}"
        path = os.path.join(folder, name)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with contextlib.suppress(OSError):  # there may be no locks here
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return path, handle
        os.close(handle)  # a sweeper was faster


class Staged:
    """A file without a name of its own yet; see ``staged``."""

    def __init__(self, temporary: str, file: IO[bytes], point: str) -> None:
        self._temporary = temporary
        self._point = point
        self.file = file

    def place(self, path: str) -> None:
        """Syncs the bytes and gives them their name, durably; ``path`` is on the same disk."""
        with explained(path):
            self.file.flush()
            os.fsync(self.file.fileno())
            write_point(f"{self._point}.synced")
            os.rename(self._temporary, path)
            write_point(f"{self._point}.renamed")
            sync_folder(os.path.dirname(path) or ".")
            write_point(f"{self._point}.durable")


@contextlib.contextmanager
def staged(folder: str, *, point: str, mode: int = 0o644) -> Iterator[Staged]:
    """Gives a temporary file in ``folder`` whose name is chosen last, by ``place``.

    A file that was not placed is removed; after SIGKILL it stays until ``sweep``.
    """
    with explained(folder):
        temporary, handle = _new_temporary(folder, mode)
    try:
        with explained(folder), open(handle, "w+b") as file:
            os.fchmod(handle, mode)
            write_point(f"{point}.open")
            yield Staged(temporary, file, point)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def adopt_file(source: str, path: str, *, point: str, mode: int = 0o644) -> None:
    """Moves a finished file to ``path``, durably; copies it where it is on another disk."""
    with explained(path):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchmod(handle, mode)
            os.fsync(handle)
            write_point(f"{point}.synced")
            try:
                os.rename(source, path)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                import shutil  # slow to import, and seldom needed

                with replacing(path, point=point, mode=mode) as file, open(source, "rb") as old:
                    shutil.copyfileobj(old, file, 1 << 20)
                os.unlink(source)
        finally:
            os.close(handle)
        write_point(f"{point}.renamed")
        sync_folder(os.path.dirname(path) or ".")
        write_point(f"{point}.durable")


def atomic_write(path: str, data: bytes, *, point: str, mode: int = 0o644) -> None:
    """Puts ``data`` at ``path``: the old bytes or the new ones are seen, never a mixture."""
    with replacing(path, point=point, mode=mode) as file:
        file.write(data)


def grow(
    path: str,
    pieces: Sequence[bytes | bytearray | memoryview],
    *,
    start: int,
    head: bytes,
    slot: bytes,
    slot_at: int,
    point: str,
) -> bool:
    """Writes ``pieces`` behind the end of a file, then a slot in its head that points there.

    For caches that check what they read: nothing is synced, and after a crash the slot may be
    there without the pieces. Nothing that stands in the file is changed but the slot.

    Args:
        start: where the pieces begin; the file's size, or a writer that was killed left more.
        head: the file's first bytes as they were read; another head means another writer.
        slot, slot_at: what is written into the head at last.

    Returns:
        False where another process writes or wrote, or locks do not work: nothing is done then.

    Raises:
        OSError: it cannot be written.
    """
    handle = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        same_file = os.path.samestat(os.fstat(handle), os.stat(path, follow_symlinks=False))
        if not same_file or os.pread(handle, len(head), 0) != head:
            return False
        write_point(f"{point}.grow")
        at = start
        for piece in pieces:
            view = memoryview(piece)
            while view:
                count = os.pwrite(handle, view, at)
                at, view = at + count, view[count:]
        write_point(f"{point}.grown")
        os.pwrite(handle, slot, slot_at)
        write_point(f"{point}.pointed")
        return True
    except OSError as error:
        locks = (errno.EWOULDBLOCK, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL)
        if error.errno in locks:
            return False
        raise
    finally:
        os.close(handle)


def remove_file(path: str, *, point: str) -> bool:
    """Removes a file for good; returns whether it was there."""
    write_point(f"{point}.remove")
    try:
        with explained(path):
            os.unlink(path)
    except FileNotFoundError:
        return False
    sync_folder(os.path.dirname(path) or ".")
    write_point(f"{point}.removed")
    return True


def atomic_symlink(target: str, path: str, *, point: str) -> None:
    """Makes ``path`` a symbolic link to ``target`` in one step, replacing a file or link there."""
    folder = os.path.dirname(path) or "."
    temporary = os.path.join(folder, f"{TEMPORARY_PREFIX}{os.getpid()}-{os.urandom(6).hex()}")
    with explained(path):
        os.symlink(target, temporary)
        write_point(f"{point}.linked")
        os.rename(temporary, path)
        write_point(f"{point}.renamed")
        sync_folder(folder)


@contextlib.contextmanager
def explained(path: str) -> Iterator[None]:
    """Turns the operating system's refusals into EnvironmentProblem with what to do."""
    try:
        yield
    except OSError as error:
        hints = {
            errno.ENOSPC: "Free some space or set store.path in ssds.yaml to another disk.",
            errno.EDQUOT: "Your quota is used up; free some space.",
            errno.EROFS: "The file system is read-only here; choose another folder.",
            errno.EACCES: "Check the owner and the permissions.",
            errno.EPERM: "Check the owner and the permissions.",
        }
        if error.errno not in hints:
            raise
        raise EnvironmentProblem(
            f"cannot write {path}: {os.strerror(error.errno or 0)}", hint=hints[error.errno]
        ) from error


@contextlib.contextmanager
def locked(path: str, *, shared: bool = False, wait: bool = True) -> Iterator[bool]:
    """Holds an advisory lock on the file ``path`` (made if missing) for the block.

    Gives True when it was taken; with ``wait=False`` gives False at once when another holds it.

    Raises:
        EnvironmentProblem: the file system has no working locks (C4).
    """
    with explained(path):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            flags = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.flock(handle, flags if wait else flags | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL):
                raise EnvironmentProblem(
                    f"the file system of {path} has no working locks",
                    hint="Put the store on a local disk: store.path in ssds.yaml.",
                ) from error
            raise
        yield True
    finally:
        os.close(handle)


def sweep(folder: str, *, older_than_s: float = 0.0, now_s: float = 0.0) -> int:
    """Removes temporary files in ``folder`` whose writers were killed; returns how many.

    Writers at work keep theirs. With ``older_than_s`` younger files stay as well.
    """
    count = 0
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(TEMPORARY_PREFIX) and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(OSError):
                    young = older_than_s and now_s - entry.stat().st_mtime < older_than_s
                    count += 0 if young else _remove_abandoned(entry.path)
    return count


def _remove_abandoned(path: str) -> bool:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True
