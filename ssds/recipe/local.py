"""Local files that a recipe copies in: hashed as raw bytes, execute bit and link target.

Nothing leaves the recipe's folder, not through ``..`` and not through links; devices, sockets and
pipes are refused; counts and sizes have limits. Times and owners are not looked at.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat

from ssds.core.digest import Digest
from ssds.recipe.steps import LocalEntry, LocalTree

MAX_FILES = 10_000
MAX_TREE_BYTES = 512 << 20
MAX_DEPTH = 32
_SMALL_BYTES = 1 << 16


class LocalProblem(Exception):
    """A local file cannot be used; the reader turns it into a diagnostic (R026, R027, R028)."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def read_tree(workspace: str, folder: str, name: str) -> LocalTree:
    """Returns the file or folder ``name`` beside a recipe.

    Args:
        workspace: the workspace's folder.
        folder: the recipe's folder, relative to the workspace.
        name: relative to the recipe's folder, with ``/``.

    Raises:
        LocalProblem: R026 missing, R027 leaves the folder, R028 cannot be used.
    """
    parts = name.rstrip("/").split("/")
    if name.startswith("/") or ".." in parts:
        raise LocalProblem("R027", name)
    if "" in parts or "." in parts or "\x00" in name:
        raise LocalProblem("R028", f"{name!r} is not in plain form")
    home = os.path.realpath(os.path.join(workspace, folder))
    try:
        top = _real(home, parts, name)
        walk = _Walk(home)
        if stat.S_ISDIR(os.stat(top).st_mode):
            walk.folder(top, "", 0)
        else:
            walk.entry(top, parts[-1], 0)
    except FileNotFoundError as error:
        raise LocalProblem("R026", name) from error
    except OSError as error:
        reason = f"{name}: {os.strerror(error.errno or 0)}"
        raise LocalProblem("R028", reason) from error
    except UnicodeEncodeError as error:
        raise LocalProblem("R028", f"{name!r} is not UTF-8") from error
    entries = tuple(sorted(walk.entries, key=lambda e: e.path))
    return LocalTree(path="/".join((*folder.split("/"), *parts)), entries=entries)


def _real(home: str, parts: list[str], name: str) -> str:
    """Returns the path of ``name`` without links; ``home`` has none."""
    top = "/".join((home, *parts))
    if len(parts) == 1 and not os.path.islink(top):  # the usual case
        return top
    real = os.path.realpath(top)
    if real != top:
        _check_inside(home, real, name)
    return real


def _check_inside(home: str, real: str, name: str) -> None:
    if real != home and not real.startswith(home + os.sep):
        raise LocalProblem("R027", f"{name} is a link to {real}")


def _digest_of(file: io.FileIO, size_bytes: int) -> Digest:
    if size_bytes > _SMALL_BYTES:
        return Digest("sha256:" + hashlib.file_digest(file, "sha256").hexdigest())
    state = hashlib.sha256()  # the buffer of ``file_digest`` costs more than a small file
    while data := file.read(_SMALL_BYTES):
        state.update(data)
    return Digest("sha256:" + state.hexdigest())


class _Walk:
    """Collects the entries of one tree within the limits."""

    def __init__(self, home: str) -> None:
        self.home = home
        self.entries: list[LocalEntry] = []
        self.size_bytes = 0

    def folder(self, path: str, below: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise LocalProblem("R028", f"{below}: nested too deeply")
        for item in sorted(os.listdir(path)):
            self.entry(os.path.join(path, item), f"{below}/{item}" if below else item, depth)

    def entry(self, path: str, below: str, depth: int) -> None:
        try:
            below.encode("utf-8")
        except UnicodeEncodeError as error:
            raise LocalProblem("R028", f"{below!r}: the name is not UTF-8") from error
        if len(self.entries) >= MAX_FILES:
            raise LocalProblem("R028", f"more than {MAX_FILES} files")
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            target = os.readlink(path)
            if os.path.isabs(target):
                raise LocalProblem("R027", f"{below} is a link to {target}")
            _check_inside(self.home, os.path.realpath(path), below)
            self.entries.append(LocalEntry(path=below, digest=None, link=target))
        elif stat.S_ISDIR(status.st_mode):
            self.entries.append(LocalEntry(path=below, digest=None))
            self.folder(path, below, depth + 1)
        elif stat.S_ISREG(status.st_mode):
            self.file(path, below)
        else:
            raise LocalProblem("R028", f"{below} is no file, folder or link")

    def file(self, path: str, below: str) -> None:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb", buffering=0) as file:
            status = os.fstat(handle)
            self.size_bytes += status.st_size
            if not stat.S_ISREG(status.st_mode) or self.size_bytes > MAX_TREE_BYTES:
                raise LocalProblem("R028", f"{below}: more than {MAX_TREE_BYTES} bytes together")
            digest = _digest_of(file, status.st_size)
        self.entries.append(
            LocalEntry(
                path=below,
                digest=digest,
                executable=bool(status.st_mode & 0o100),
                size_bytes=status.st_size,
            )
        )
