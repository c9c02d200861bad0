"""A layer tar as a folder in overlay form, which the sandbox mounts.

Whiteouts become character devices 0/0, opaque marks ``user.overlay.opaque=y``: the form that
overlayfs reads with ``userxattr``, the same in every sandbox mode. The tar is not trusted: every
folder is opened by handle without following links, so nothing can be written outside; paths that
leave the root are refused by ``tarindex``.

Source: OCI image specification 1.1 (layer.md); kernel documentation, "Overlay Filesystem".
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from dataclasses import dataclass

from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError
from ssds.host.files import explained
from ssds.oci import normal
from ssds.oci.content import parts_of
from ssds.oci.tarindex import Member, index_tar

_OPAQUE = "user.overlay.opaque"
_DEFAULT_ACL = "system.posix_acl_default"
_PREFIX = ".wh."
_OPAQUE_MARK = ".wh..wh..opq"
_ID_LIMIT = 65536
_TIME_LIMIT_S = (1 << 33) - 1
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackLimits:
    """How much a layer may hold: files' bytes together, and entries."""

    size_bytes: int = 128 << 30
    entries: int = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """What was unpacked.

    Attributes:
        entries: how many.
        dropped: devices and marks of other storage drivers, left out; at most 100.
    """

    entries: int
    dropped: tuple[str, ...] = ()


def unpack_layer(
    tar: str, folder: str, *, diff_id: str = "", size_limit_bytes: int = 0, entry_limit: int = 0
) -> Unpacked:
    """Unpacks the uncompressed layer at ``tar`` into the empty or missing ``folder``.

    Owners, modes with set-uid, times, hard links within the layer, ``user.*`` attributes, ACLs and
    file capabilities are kept. 0 as a limit means the default of UnpackLimits. With ``diff_id`` the
    bytes are checked first: a damaged layer must not give wrong results under a right key.

    Raises:
        IntegrityError: O030-O033 as ``index_tar``; O034 a hard link to nothing, O035 too large,
            O036 a name below what is no folder, O037 an owner above 65535, O038 wrong bytes.
        EnvironmentProblem: the disk is full, or the rights are missing.
    """
    limits = UnpackLimits(
        size_bytes=size_limit_bytes or UnpackLimits().size_bytes,
        entries=entry_limit or UnpackLimits().entries,
    )
    with explained(folder):
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, 0o755)
        with contextlib.ExitStack() as stack:
            source = os.open(tar, os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, source)
            if diff_id:
                _check(source, Digest(diff_id))
            unpack = _Unpack(source, folder, limits, f"layer {os.path.basename(tar)}")
            stack.callback(unpack.close)
            for member in index_tar(tar):
                unpack.add(member)
            unpack.finish()
    return Unpacked(entries=unpack.entries, dropped=tuple(unpack.dropped))


class _Unpack:
    """Writes members below one folder."""

    def __init__(self, source: int, folder: str, limits: UnpackLimits, what: str) -> None:
        self.source = source
        self.root = os.open(folder, _OPEN_FOLDER)
        self.limits = limits
        self.what = what
        self.entries = 0
        self.dropped: list[str] = []
        self._size_bytes = 0
        self._folders: dict[str, Member] = {}
        self._parent = ("", os.dup(self.root))

    def close(self) -> None:
        """Closes the handles."""
        os.close(self.root)
        os.close(self._parent[1])

    def fail(self, code: str, problem: str, member: Member) -> IntegrityError:
        """Returns the error with the layer's and the entry's name."""
        return IntegrityError(
            f"{self.what}: {member.path[:200]!r}: {problem}",
            hint="The layer is damaged or was not made for an image; build or fetch it anew.",
            code=code,
        )

    def add(self, member: Member) -> None:
        """Writes one member."""
        self.entries += 1
        self._size_bytes += member.size_bytes
        if self.entries > self.limits.entries or self._size_bytes > self.limits.size_bytes:
            raise self.fail("O035", "the layer is larger than allowed", member)
        if not member.path:
            return  # the root is always 0755, owner 0:0
        folder, _, name = member.path.rpartition("/")
        if not (0 <= member.uid < _ID_LIMIT and 0 <= member.gid < _ID_LIMIT):
            raise self.fail("O037", f"its owner {member.uid}:{member.gid} is above 65535", member)
        if member.type in {"char", "block"} or (
            name.startswith(".wh..wh.") and name != _OPAQUE_MARK
        ):
            if len(self.dropped) < 100:
                self.dropped.append(member.path)
            return
        handle = self._folder(folder, member)
        if name == _OPAQUE_MARK:
            os.setxattr(handle, _OPAQUE, b"y")
        elif name.startswith(_PREFIX):
            self._whiteout(handle, name.removeprefix(_PREFIX), member)
        else:
            self._entry(handle, name, member)

    def finish(self) -> None:
        """Sets the times of folders: writing into them had changed them."""
        for path in sorted(self._folders, reverse=True):
            member = self._folders[path]
            parent, _, name = path.rpartition("/")
            handle = self._folder(parent, member)
            with contextlib.suppress(FileNotFoundError):
                if not stat.S_ISDIR(_state(name, handle).st_mode):
                    continue
                if _DEFAULT_ACL in member.xattrs:  # earlier, files made later would inherit it
                    inner = os.open(name, _OPEN_FOLDER, dir_fd=handle)
                    os.setxattr(inner, _DEFAULT_ACL, member.xattrs[_DEFAULT_ACL])
                    os.close(inner)
                os.utime(name, ns=_times(member), dir_fd=handle, follow_symlinks=False)

    def _folder(self, path: str, member: Member) -> int:
        """Returns a handle of a folder of this layer; makes missing parents."""
        if self._parent[0] == path:
            return self._parent[1]
        handle = os.dup(self.root)
        try:
            for part in path.split("/") if path else ():
                try:
                    inner = os.open(part, _OPEN_FOLDER, dir_fd=handle)
                except FileNotFoundError:
                    os.mkdir(part, dir_fd=handle)
                    os.chmod(part, 0o755, dir_fd=handle)
                    inner = os.open(part, _OPEN_FOLDER, dir_fd=handle)
                os.close(handle)
                handle = inner
        except OSError as error:
            os.close(handle)
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                raise self.fail("O036", "it lies below something that is no folder", member) from (
                    error
                )
            raise
        os.close(self._parent[1])
        self._parent = (path, handle)
        return handle

    def _whiteout(self, handle: int, name: str, member: Member) -> None:
        if name in {"", ".", ".."}:
            raise self.fail("O031", "a whiteout without a name", member)
        try:
            present = _state(name, handle)
        except FileNotFoundError:
            os.mknod(name, stat.S_IFCHR | 0o000, 0, dir_fd=handle)
            return
        if stat.S_ISDIR(present.st_mode):  # it hides what is below, not what this layer brings
            inner = os.open(name, _OPEN_FOLDER, dir_fd=handle)
            os.setxattr(inner, _OPAQUE, b"y")
            os.close(inner)

    def _entry(self, handle: int, name: str, member: Member) -> None:
        hides = self._clear(handle, name, member)
        if member.type == "folder":
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=handle)
            inner = os.open(name, _OPEN_FOLDER, dir_fd=handle)
            try:
                if hides:
                    os.setxattr(inner, _OPAQUE, b"y")
                _dress(inner, member)
            finally:
                os.close(inner)
            self._folders[member.path] = member
        elif member.type == "file":
            self._file(handle, name, member)
        elif member.type == "hardlink":
            self._link(handle, name, member)
        else:
            if member.type == "symlink":
                os.symlink(member.target, name, dir_fd=handle)
            else:
                os.mkfifo(name, 0o600, dir_fd=handle)
            os.chown(name, member.uid, member.gid, dir_fd=handle, follow_symlinks=False)
            if member.type == "fifo":
                os.chmod(name, member.mode, dir_fd=handle)
            os.utime(name, ns=_times(member), dir_fd=handle, follow_symlinks=False)

    def _clear(self, handle: int, name: str, member: Member) -> bool:
        """Removes an earlier entry of the same name; returns whether it was a whiteout."""
        try:
            state = _state(name, handle)
        except FileNotFoundError:
            return False
        if not stat.S_ISDIR(state.st_mode):
            os.unlink(name, dir_fd=handle)
            return stat.S_ISCHR(state.st_mode)
        if member.type != "folder":
            raise self.fail("O036", "it replaces a folder of the same layer", member)
        return False

    def _file(self, handle: int, name: str, member: Member) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        sink = os.open(name, flags, 0o600, dir_fd=handle)
        try:
            offset = member.offset
            for place, length in parts_of(member.segments, member.size_bytes):
                self._copy(offset, sink, place, length, member)
                offset += length
            if member.segments is not None:
                os.ftruncate(sink, member.size_bytes)
            _dress(sink, member)
            os.utime(sink, ns=_times(member))
        finally:
            os.close(sink)

    def _copy(self, offset: int, sink: int, place: int, length: int, member: Member) -> None:
        os.lseek(sink, place, os.SEEK_SET)
        while length:
            count = os.sendfile(sink, self.source, offset, min(length, 1 << 30))
            if not count:
                raise self.fail("O030", "the archive ends inside its content", member)
            offset += count
            length -= count

    def _link(self, handle: int, name: str, member: Member) -> None:
        parent, _, last = member.target.rpartition("/")
        here = os.dup(handle)
        try:
            there = self._folder(parent, member)
            if not stat.S_ISREG(_state(last, there).st_mode):
                raise FileNotFoundError(last)
            os.link(last, name, src_dir_fd=there, dst_dir_fd=here, follow_symlinks=False)
        except FileNotFoundError:
            problem = f"a hard link to {member.target[:200]!r}, which is no file of this layer"
            raise self.fail("O034", problem, member) from None
        finally:
            os.close(here)


def _check(source: int, diff_id: Digest) -> None:
    with open(source, "rb", closefd=False) as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != diff_id.hex:
        raise IntegrityError(
            f"layer {diff_id} has other bytes in the store: sha256:{found}",
            hint="`ssds store verify` finds damage; remove the blob and run apply again.",
            code="O038",
        )


def _state(name: str, handle: int) -> os.stat_result:
    return os.stat(name, dir_fd=handle, follow_symlinks=False)


def _dress(handle: int, member: Member) -> None:
    """Sets owner, mode and attributes, in the order in which the kernel does not undo them."""
    os.fchown(handle, member.uid, member.gid)
    os.fchmod(handle, member.mode)
    for name, value in member.xattrs.items():
        if normal.kept_xattr(name) and name != _DEFAULT_ACL:
            os.setxattr(handle, name, value)


def _times(member: Member) -> tuple[int, int]:
    moment = min(max(member.mtime, 0), _TIME_LIMIT_S) * 1_000_000_000
    return moment, moment
