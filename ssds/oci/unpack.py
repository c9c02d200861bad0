"""Writes the merged view of an image as plain folders and files.

Nothing of the image is trusted: every name is made relative to an open folder and no link is ever
followed, so that no layer can reach outside. Devices, fifos and sockets are left out; setuid and
setgid are stripped; owners are the caller's (docs: distribution rules 8, 11 to 16).
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ssds.core.errors import EnvironmentProblem, IntegrityError, UnavailableError
from ssds.host.files import explained, write_point
from ssds.oci.content import Entry, cut_layer, parts_of
from ssds.oci.flatten import FlatTree

TIME_LIMIT_S = 1 << 32
_SECRETS = re.compile(
    r"etc/g?shadow-?|etc/ssh/ssh_host_[^/]*_key|etc/ssl/private/.*|etc/sudoers(\.d/.*)?|root/\.ssh/.*"
)
_POINT_EVERY = 1000
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINK = (errno.EMLINK, errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.EACCES)
_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteReport:
    """What was written.

    Attributes:
        size_bytes: of the files' content, hard-linked ones once.
        dropped: paths of devices, fifos and sockets that were left out.
        stripped: paths that lost setuid or setgid.
    """

    files: int
    folders: int
    symlinks: int
    hard_links: int
    size_bytes: int
    dropped: tuple[str, ...]
    stripped: tuple[str, ...]


def secret_contents(tree: FlatTree) -> frozenset[tuple[int, int]]:
    """Returns the contents that are secret under one of their names, so under all hard links."""
    return frozenset(
        entry.content_id
        for entry in tree.entries.values()
        if entry.type == "file" and _SECRETS.fullmatch(entry.path)
    )


def public_mode(entry: Entry, secrets: frozenset[tuple[int, int]]) -> int:
    """Returns the mode with which an entry is published: everybody may read what is no secret.

    Files get ``|0444``, programs ``|0555``, folders ``|0555``; setuid, setgid and others' right to
    write go. What only root may read in every distribution (password hashes, host keys) becomes its
    owner's alone.

    Args:
        secrets: as ``secret_contents`` gives them for the entry's tree.
    """
    mode = entry.mode & 0o755
    if entry.type == "folder":
        return mode | 0o555
    if entry.type == "file" and entry.content_id in secrets:
        return mode & 0o700
    return mode | (0o555 if mode & 0o111 else 0o444)


def write_tree(tree: FlatTree, folder: str, *, readable_for_all: bool = True) -> WriteReport:
    """Writes the whole tree into ``folder``, which is made or must be empty.

    Args:
        readable_for_all: modes as ``public_mode`` gives them, else the image's own.

    Raises:
        EnvironmentProblem: O041, the folder is not empty; disk full, no permission.
        IntegrityError: a name that this file system does not take, a layer that was cut.
    """
    writer = _Writer(tree, readable_for_all=readable_for_all)
    root = tree.entries[""]
    with explained(folder):
        os.makedirs(folder, exist_ok=True)
        if os.listdir(folder):
            raise EnvironmentProblem(
                f"{folder} is not empty", hint="Choose a new folder.", code="O041"
            )
        handle = writer.root = os.open(folder, _FOLDER_FLAGS)
        try:
            write_point("unpack.begin")
            writer.children(root, handle)
            writer.finish_folder(root, handle)
            write_point("unpack.done")
        finally:
            os.close(handle)
            writer.close()
    return writer.report()


def write_paths(tree: FlatTree, folder: str, paths: Sequence[str]) -> WriteReport:
    """Writes some paths of the tree, each under its own last name, into ``folder``.

    Modes are kept as in the image; a link at the end of a path is followed.

    Raises:
        UnavailableError: O036, the image has no such path.
        IntegrityError: O042, two paths with the same last name.
    """
    writer = _Writer(tree, readable_for_all=False)
    names: set[str] = set()
    with explained(folder):
        os.makedirs(folder, exist_ok=True)
        handle = writer.root = os.open(folder, _FOLDER_FLAGS)
        try:
            for path in paths:
                entry = tree.resolve(path)
                name = os.path.basename(path.rstrip("/"))
                if entry is None or name in ("", ".", ".."):
                    raise UnavailableError(
                        f"the image has no path {path[:200]!r} that can be copied",
                        hint="Check the path; `ssds show` lists the image's commands.",
                        code="O036",
                    )
                if name in names:
                    raise IntegrityError(
                        f"two paths are both named {name!r}",
                        hint="Copy them in two steps.",
                        code="O042",
                    )
                names.add(name)
                writer.write(entry, name, handle)
        finally:
            os.close(handle)
            writer.close()
    return writer.report()


class _Writer:
    """Writes entries below open folders and counts them."""

    def __init__(self, tree: FlatTree, *, readable_for_all: bool) -> None:
        self.tree = tree
        self.readable = readable_for_all
        self.layers: dict[int, int] = {}
        self.written: dict[tuple[int, int], str] = {}
        self.where: list[str] = []
        self.root = -1
        self.counts = {"file": 0, "folder": 0, "symlink": 0, "link": 0, "bytes": 0}
        self.dropped: list[str] = []
        self.stripped: list[str] = []
        self.shared = _shared_contents(tree)
        self.secrets = secret_contents(tree)

    def close(self) -> None:
        for handle in self.layers.values():
            os.close(handle)

    def report(self) -> WriteReport:
        return WriteReport(
            files=self.counts["file"],
            folders=self.counts["folder"],
            symlinks=self.counts["symlink"],
            hard_links=self.counts["link"],
            size_bytes=self.counts["bytes"],
            dropped=tuple(self.dropped),
            stripped=tuple(self.stripped),
        )

    def write(self, entry: Entry, name: str, folder: int) -> None:
        """Writes one entry and all below it as ``name`` in the open ``folder``."""
        try:
            if entry.type == "folder":
                self._folder(entry, name, folder)
            elif entry.type == "file":
                self._file(entry, name, folder)
            elif entry.type == "symlink":
                os.symlink(entry.target, name, dir_fd=folder)
                os.utime(name, ns=_times(entry), dir_fd=folder, follow_symlinks=False)
                self.counts["symlink"] += 1
            else:
                self.dropped.append(entry.path)
        except OSError as error:
            if error.errno in (errno.EILSEQ, errno.EINVAL, errno.ENAMETOOLONG):
                raise IntegrityError(
                    f"this file system does not take the image's path /{entry.path[:200]!r}: "
                    f"{os.strerror(error.errno)}",
                    hint="Deploy to a POSIX file system.",
                    code="O043",
                ) from error
            raise

    def children(self, entry: Entry, handle: int) -> None:
        """Writes all that is in a folder."""
        base = entry.path + "/" if entry.path else ""
        for name in self.tree.names(entry.path):
            self.write(self.tree.entries[base + name], name, handle)

    def finish_folder(self, entry: Entry, handle: int) -> None:
        """Gives a folder its own mode and time, after its content."""
        os.fchmod(handle, self._mode(entry))
        os.utime(handle, ns=_times(entry))
        self.counts["folder"] += 1

    def _mode(self, entry: Entry) -> int:
        return public_mode(entry, self.secrets) if self.readable else entry.mode & 0o777

    def _folder(self, entry: Entry, name: str, folder: int) -> None:
        os.mkdir(name, 0o700, dir_fd=folder)
        handle = os.open(name, _FOLDER_FLAGS, dir_fd=folder)
        self.where.append(name)
        try:
            self.children(entry, handle)
            self.finish_folder(entry, handle)
        finally:
            self.where.pop()
            os.close(handle)

    def _file(self, entry: Entry, name: str, folder: int) -> None:
        known = self.written.get(entry.content_id)
        if known is not None and self._link(known, name, folder):
            self.counts["link"] += 1
            return
        handle = os.open(name, _FILE_FLAGS, 0o600, dir_fd=folder)
        try:
            self._content(entry, handle)
            if entry.mode & 0o6000:
                self.stripped.append(entry.path)
            os.fchmod(handle, self._mode(entry))
            os.utime(handle, ns=_times(entry))
        finally:
            os.close(handle)
        if entry.content_id in self.shared and known is None:
            self.written[entry.content_id] = "/".join((*self.where, name))
        self.counts["file"] += 1
        self.counts["bytes"] += entry.size_bytes
        if self.counts["file"] % _POINT_EVERY == 0:
            write_point("unpack.files")

    def _link(self, known: str, name: str, folder: int) -> bool:
        """Links to a file written before; its path below the root is made of our own folders."""
        try:
            os.link(known, name, src_dir_fd=self.root, dst_dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            if error.errno in _NO_LINK:
                return False  # no more links, or no way to it any longer: a copy serves as well
            raise
        return True

    def _content(self, entry: Entry, handle: int) -> None:
        source = self.layers.get(entry.layer)
        if source is None:
            source = os.open(self.tree.layers[entry.layer], os.O_RDONLY | os.O_CLOEXEC)
            self.layers[entry.layer] = source
        offset = entry.offset
        for place, length in parts_of(entry.segments, entry.size_bytes):
            _copy(source, offset, handle, place, length)
            offset += length
        if entry.segments is not None:
            os.ftruncate(handle, entry.size_bytes)


def _copy(source: int, offset: int, sink: int, place: int, length: int) -> None:
    """Copies a range between files inside the kernel."""
    os.lseek(sink, place, os.SEEK_SET)
    while length:
        count = os.sendfile(sink, source, offset, min(length, 1 << 30))
        if not count:
            raise cut_layer()
        offset += count
        length -= count


def _shared_contents(tree: FlatTree) -> frozenset[tuple[int, int]]:
    """Returns the contents that have more than one name."""
    seen: set[tuple[int, int]] = set()
    shared: set[tuple[int, int]] = set()
    for entry in tree.entries.values():
        if entry.type == "file":
            (shared if entry.content_id in seen else seen).add(entry.content_id)
    return frozenset(shared)


def _times(entry: Entry) -> tuple[int, int]:
    moment = min(max(entry.mtime, 0), TIME_LIMIT_S) * 1_000_000_000
    return moment, moment
