"""Takes note of files: how they looked before a plan read them, and what they held.

A file's row is taken before the plan reads it; its content is read afterwards, and counts only
when the row is still the same. So a file that changes under a plan is looked at again by the next
one, whatever the moment.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterable

from ssds.graph.index.edit import Row
from ssds.graph.index.rows import ABSENT, UNKNOWN, is_racy, look, row_of
from ssds.graph.index.table import NO_DIGEST

MAX_BYTES = 1 << 30
_MOST_LINKS = 40


class Notes:
    """How the disk looked when a plan began.

    Attributes:
        root: the workspace.
        seen: path (relative to the workspace, or absolute) → row.
        links, folders: the symbolic links and the folders among them.
    """

    def __init__(self, root: str, clock_folder: str = "") -> None:
        self.root = root
        self._clock_folder = clock_folder
        self.seen: dict[bytes, bytes] = {}
        self.links: set[bytes] = set()
        self.folders: set[bytes] = set()
        self._began = time.monotonic_ns()
        self._hops: dict[bytes, list[bytes]] = {}
        self._clock_ns = time.time_ns()

    @property
    def clock_ns(self) -> int:
        """The file system's time when it began, as far as it is known; asked when it is needed."""
        if self._clock_folder:
            folder, self._clock_folder = self._clock_folder, ""
            self.set_clock(folder)
        return self._clock_ns

    def set_clock(self, folder: str) -> None:
        """Takes the file system's time from a new file, which may differ from this machine's."""
        name = os.path.join(folder, f".clock-{os.getpid()}-{time.monotonic_ns()}")
        try:
            handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError:
            return
        try:
            now_ns = os.fstat(handle).st_mtime_ns
        finally:
            os.close(handle)
            os.unlink(name)
        began_ns = now_ns - (time.monotonic_ns() - self._began)
        self._clock_ns = min(self._clock_ns, began_ns)

    def look(self, paths: Iterable[bytes]) -> None:
        """Notes single paths, as they are now."""
        root = os.fsencode(self.root)
        for path in paths:
            self._note(path, os.path.join(root, path))

    def follow(self, path: bytes) -> list[bytes]:
        """Notes a path and, where it is a link, each path that it leads to; returns them all."""
        known = self._hops.get(path)
        if known is not None:
            return known
        found = [path]
        self.look(found)
        while found[-1] in self.links and len(found) < _MOST_LINKS:
            here = os.path.join(os.fsencode(self.root), found[-1])
            try:
                found.append(os.path.join(os.path.dirname(here), os.readlink(here)))
            except OSError:
                break
            self.look(found[-1:])
        self._hops[path] = found
        return found

    def walk(self, folder: str) -> None:
        """Notes everything below a folder of the workspace, and the folder itself."""
        root = os.fsencode(self.root)
        waiting = [os.fsencode(folder)]
        self.look(waiting)
        while waiting:
            name = waiting.pop()
            try:
                with os.scandir(os.path.join(root, name)) as entries:
                    for entry in entries:
                        path = b"%b/%b" % (name, entry.name)
                        try:
                            self.seen[path] = row_of(entry.stat(follow_symlinks=False))
                        except OSError:
                            self.seen[path] = ABSENT
                        if entry.is_symlink():
                            self.links.add(path)
                        elif entry.is_dir(follow_symlinks=False):
                            self.folders.add(path)
                            waiting.append(path)
            except OSError:
                continue

    def _note(self, path: bytes, place: bytes) -> None:
        try:
            status = os.lstat(place)
        except (OSError, ValueError):
            self.seen[path] = ABSENT
            return
        self.seen[path] = row_of(status)
        if stat.S_ISLNK(status.st_mode):
            self.links.add(path)
        elif stat.S_ISDIR(status.st_mode):
            self.folders.add(path)

    def row(self, base: str, path: bytes, *, content: bool = True) -> Row:
        """Returns the row that the index keeps of a path.

        Args:
            base: the folder (relative to the workspace, or absolute) that it is told from.
            path: relative to the workspace, or absolute.
            content: False where the row alone counts; so it is for folders.
        """
        content = content and path not in self.folders
        before = self.seen.get(path, UNKNOWN)
        shown = (
            path[len(base) + 1 :] if base != "." and path.startswith(os.fsencode(base)) else path
        )
        if before in (ABSENT, UNKNOWN):
            return Row(base, shown, before)
        if path in self.links:
            return Row(base, shown, before)
        if is_racy(before, self.clock_ns):
            return Row(base, shown, UNKNOWN)
        place = os.path.join(os.fsencode(self.root), path)
        if not content:
            return Row(base, shown, before if look(place) == before else UNKNOWN)
        digest = content_digest(place, before)
        return Row(base, shown, UNKNOWN if digest == NO_DIGEST else before, digest)


def content_digest(path: bytes | str, row: bytes) -> bytes:
    """Returns the sha256 of a regular file, while its row is ``row``; otherwise NO_DIGEST.

    The execute bit is part of it, for it is part of what a recipe copies.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return NO_DIGEST
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            return NO_DIGEST
        hashed = hashlib.sha256(b"x" if status.st_mode & 0o100 else b"")
        while data := os.read(handle, min(status.st_size + 1, 1 << 20)):
            hashed.update(data)
        return hashed.digest() if row_of(os.fstat(handle)) == row else NO_DIGEST
    except OSError:
        return NO_DIGEST
    finally:
        os.close(handle)


def refreshed(path: bytes | str, row: bytes, known: bytes, clock_ns: int) -> bytes | None:
    """Returns the row to keep where a file has other times but the same content, else None."""
    if known == NO_DIGEST or row in (ABSENT, UNKNOWN):
        return None
    if content_digest(path, row) != known:
        return None
    return UNKNOWN if is_racy(row, clock_ns) else row
