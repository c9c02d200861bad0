"""The merged view of an unpacked image: a folder as it lies on a disk, read where it lies."""

from __future__ import annotations

import os
import stat
from typing import BinaryIO

from ssds.core.errors import IntegrityError, InvalidValue, UnavailableError
from ssds.host import local
from ssds.oci.content import Entry
from ssds.oci.flatten import FlatTree
from ssds.oci.tarindex import DEPTH_LIMIT, ENTRY_LIMIT

_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
}


class FolderTree(FlatTree):
    """What a program in the unpacked image sees; other file systems below it are left out.

    Attributes:
        unreadable: folders that could not be looked into, without a leading slash, sorted.
    """

    def __init__(self, root: str) -> None:
        """Looks at every name below ``root``; no file is opened, no link followed.

        Raises:
            UnavailableError: O140, it is no folder that can be read.
            IntegrityError: O141, it has more names, or is deeper, than any image.
        """
        super().__init__(())
        self.root = root
        self.unreadable: tuple[str, ...] = ()
        try:
            self._device = os.stat(root).st_dev
            os.listdir(root)
        except OSError as error:
            raise UnavailableError(
                f"the folder {root} cannot be read: {error.strerror}",
                hint="Name the root of an unpacked image.",
                code="O140",
            ) from error
        self._fill()

    def _fill(self) -> None:
        closed: list[str] = []
        stack = [""]
        while stack:
            folder = stack.pop()
            try:
                with os.scandir(os.path.join(self.root, folder)) as names:
                    found = [(name.name, name.stat(follow_symlinks=False)) for name in names]
            except OSError:
                closed.append(folder)
                continue
            for name, status in found:
                path = f"{folder}/{name}" if folder else name
                entry = self._entry(path, status)
                if entry is None:
                    continue
                self.entries[path] = entry
                self.children[folder][name] = None
                if entry.type == "folder":
                    self.children[path] = {}
                    if status.st_dev == self._device:
                        stack.append(path)
            if len(self.entries) > ENTRY_LIMIT or folder.count("/") > DEPTH_LIMIT:
                raise IntegrityError(
                    f"{self.root} has more names, or is deeper, than any image",
                    hint="Name the root of one unpacked image.",
                    code="O141",
                )
        self.unreadable = tuple(sorted(closed))

    def _entry(self, path: str, status: os.stat_result) -> Entry | None:
        kind = _TYPES.get(stat.S_IFMT(status.st_mode))
        if kind is None:  # a socket
            return None
        full = os.path.join(self.root, path)
        target = ""
        if kind == "symlink":
            try:
                target = os.readlink(full)
            except OSError:
                return None
        return Entry(
            path=path,
            type=kind,
            mode=stat.S_IMODE(status.st_mode),
            uid=status.st_uid,
            gid=status.st_gid,
            size_bytes=status.st_size if kind == "file" else 0,
            mtime=int(status.st_mtime),
            target=target,
            layer=0,
            content_id=(status.st_dev, status.st_ino),
            xattrs=_capability(full) if kind == "file" and status.st_mode & 0o111 else {},
        )

    def open_entry(self, entry: Entry) -> BinaryIO:
        """Opens the content of a file entry; raises UnavailableError (O142) where it cannot."""
        try:
            return local.open_regular(os.path.join(self.root, entry.path))
        except (OSError, InvalidValue) as error:
            reason = getattr(error, "strerror", None) or error
            raise UnavailableError(
                f"the image's file /{entry.path[:200]} cannot be read: {reason}",
                hint="Look as a user who may read every file of it.",
                code="O142",
            ) from error


def _capability(path: str) -> dict[str, bytes]:
    try:
        value = os.getxattr(path, "security.capability", follow_symlinks=False)
    except OSError:
        return {}
    return {"security.capability": value}
