"""Removes whole folders, however deep: a program may leave thousands of folders in one another.

Each is opened below its parent, so that no path grows too long, and no link is followed. What lies
deep is moved to the top first, so that neither the stack nor the descriptors run out.
"""

from __future__ import annotations

import contextlib
import os
import stat

_DEPTH = 64
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_whole(path: str) -> None:
    """Removes a folder with all in it, also folders without permissions; a missing one is fine.

    A file or a link at ``path`` is removed as well. Raises OSError when something stays.
    """
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            os.unlink(path)
            return
    except FileNotFoundError:
        return
    _open_up(path, None)
    top = os.open(path, _FOLDER)
    try:
        while _empty(top, top, 0):
            pass
    finally:
        os.close(top)
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(path)


def _empty(folder: int, top: int, depth: int) -> bool:
    """Removes all in a folder; tells whether something was moved to ``top`` instead."""
    moved = False
    with os.scandir(folder) as found:
        entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
    for name, is_folder in entries:
        with contextlib.suppress(FileNotFoundError):
            if not is_folder:
                os.unlink(name, dir_fd=folder)
                continue
            _open_up(name, folder)
            if depth >= _DEPTH:
                os.rename(name, os.urandom(16).hex(), src_dir_fd=folder, dst_dir_fd=top)
                moved = True
                continue
            below = os.open(name, _FOLDER, dir_fd=folder)
            try:
                moved |= _empty(below, top, depth + 1)
            finally:
                os.close(below)
            os.rmdir(name, dir_fd=folder)
    return moved


def _open_up(path: str, folder: int | None) -> None:
    """Lets its owner into a folder; root needs no permission bits."""
    if os.geteuid() != 0:
        os.chmod(path, 0o700, dir_fd=folder)
