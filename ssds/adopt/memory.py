"""Digests of what others deployed, and how its places looked then: nothing is walked twice.

The memory is a cache of this workspace: losing it changes nothing but time. A file is taken for
unchanged while its device, inode, size and times are; a folder, while these of its own and of what
stands directly in it are. What changed deeper is seen with ``again``, except what leaves names,
kinds, modes and sizes as they were: a folder's fingerprint holds no content.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable

from ssds.core.canonical import pretty_bytes
from ssds.core.digest import Digest
from ssds.core.errors import InvalidValue
from ssds.host import local
from ssds.host.files import atomic_write
from ssds.ship.fingerprint import of_folder

MEMORY_VERSION = 1
_FILE_LIMIT_BYTES = 64 << 20


class Memory:
    """Digests by path; ``walked`` counts what was read anew."""

    def __init__(
        self, path: str = "", *, again: bool = False, say: Callable[[str], None] = lambda _: None
    ) -> None:
        """Reads the memory.

        Args:
            path: its file; without one nothing is kept.
            again: look at everything.
            say: is told what is walked.
        """
        self._path, self._again, self._say = path, again, say
        self._known = _read(path) if path else {}
        self._now: dict[str, tuple[str, str]] = {}
        self.walked = 0

    def digest(self, path: str) -> Digest:
        """Returns the sha256 of a file, or in blake3 the fingerprint of a folder.

        Raises:
            OSError: it is not there, or unreadable, or neither of both.
        """
        look = _look(path)
        known = self._known.get(path)
        if known is not None and known[0] == look and not self._again:
            digest = Digest(known[1])
        else:
            self.walked += 1
            self._say(f"looking at {path}")
            digest = _folder(path) if os.path.isdir(path) else _file(path)
        self._now[path] = (look, str(digest))
        return digest

    def keep(self) -> None:
        """Writes the memory; what was not asked for is kept too."""
        if not self._path:
            return
        rows = {**self._known, **self._now}
        if rows != self._known:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            found = {path: list(row) for path, row in sorted(rows.items())}
            document = {"memory_version": MEMORY_VERSION, "places": found}
            atomic_write(self._path, pretty_bytes(document), point="adopt.memory")


def _read(path: str) -> dict[str, tuple[str, str]]:
    try:
        with open(path, "rb") as file:
            document = json.loads(file.read(_FILE_LIMIT_BYTES))
        if document["memory_version"] != MEMORY_VERSION:
            return {}
        return {
            str(place): (str(look), str(Digest(digest)))
            for place, (look, digest) in document["places"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _look(path: str) -> str:
    """Returns how a place looks: what changes with it, short."""
    from blake3 import blake3

    top = os.lstat(path)
    rows = [_row("", top)]
    if stat.S_ISDIR(top.st_mode):
        with os.scandir(path) as entries:
            rows += sorted(_row(e.name, e.stat(follow_symlinks=False)) for e in entries)
    text = "\0".join(rows).encode("utf-8", "surrogateescape")
    return blake3(text).hexdigest(16)


def _row(name: str, status: os.stat_result) -> str:
    parts = (status.st_dev, status.st_ino, status.st_mode, status.st_size)
    return f"{name} {parts} {status.st_mtime_ns} {status.st_ctime_ns}"


def _folder(path: str) -> Digest:
    from blake3 import blake3

    try:
        text = f"ssds tree 1 {of_folder(path).digest}"
    except RecursionError as error:
        raise InvalidValue("its folders are too deep") from error
    return Digest("blake3:" + blake3(text.encode()).hexdigest())


def _file(path: str) -> Digest:
    import hashlib

    with local.open_regular(path) as file:
        return Digest("sha256:" + hashlib.file_digest(file, "sha256").hexdigest())
