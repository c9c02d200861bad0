"""Reproducible layers: from a folder of changes to the one tar that stands for them.

The result depends only on what the step did, and not on when, where, in which sandbox mode, or on
whether the layers below come from a straight run or were unpacked from blobs:

- entries sorted folder by folder; per folder first the opaque mark, then whiteouts, then entries;
- numeric owners without names, whole-second times no later than the epoch;
- a folder that already exists below gets the epoch itself: its own time only says when something
  in it was touched. It is left out when nothing in it is emitted and it looks as it did;
- hard links go to the first name; extended attributes as ``normal.kept_xattr`` says;
- a whiteout only where the layers below have the path, an opaque mark only where they have that
  folder; what ``normal.is_dropped`` names is as if the step had not touched it.

The root folder itself is never an entry: it is 0755, owner 0:0, in every image.

Both functions read the folders with the rights of the caller: in mode ``subuid`` call them through
``Sandbox.call`` (``ssds.store.trees`` does). Source: OCI image specification 1.1 (layer.md);
kernel documentation, "Overlay Filesystem".
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ssds.core.digest import Digest
from ssds.core.errors import EnvironmentProblem, IntegrityError, StepFailed
from ssds.host.files import explained
from ssds.oci import normal
from ssds.oci.overlay import Unpacked, UnpackLimits, unpack_layer
from ssds.oci.tarindex import DEPTH_LIMIT
from ssds.oci.tarwriter import FIFO, FOLDER, HARD_LINK, REGULAR, SYMLINK, Member, TarWriter

__all__ = [
    "ExportedLayer",
    "UnpackLimits",
    "Unpacked",
    "export_layer",
    "export_tree",
    "unpack_layer",
]

_CHUNK = 1 << 20
_OPAQUE = ("user.overlay.opaque", "trusted.overlay.opaque")
_KINDS = {stat.S_IFDIR: FOLDER, stat.S_IFREG: REGULAR, stat.S_IFLNK: SYMLINK, stat.S_IFIFO: FIFO}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedLayer:
    """A layer that was written.

    Attributes:
        diff_id: sha256 of the uncompressed tar.
        size_bytes: of the tar.
        entries: 0 means that the step changed nothing: the caller makes no layer.
        skipped: sockets and devices, which no layer holds; at most 100 paths.
    """

    diff_id: Digest
    size_bytes: int
    entries: int
    skipped: tuple[str, ...] = ()


def export_layer(upper: str, lowers: Sequence[str], epoch: int, out: str) -> ExportedLayer:
    """Writes the changes in ``upper``, made on ``lowers`` (base first), as a tar at ``out``.

    Args:
        upper: upper folder of an overlay mount.
        lowers: unpacked layer folders in overlay form; the same stack that the step saw, but for
            layers whose content must not be known to the result.
        epoch: SOURCE_DATE_EPOCH in seconds.
        out: a scratch file; the caller moves it to the store.

    Raises:
        IntegrityError: a file changed while it was read.
        StepFailed: O039, more than a layer may hold; holes in files count.
        EnvironmentProblem: the disk is full or a file may not be read; O040, what has to be written
            is more than there is room for.
    """
    with explained(out), open(out, "wb", buffering=_CHUNK) as stream:
        disk = os.statvfs(os.path.dirname(os.path.abspath(out)))
        export = _Export(TarWriter(stream), epoch, disk.f_bavail * disk.f_frsize)
        export.folder(os.path.abspath(upper), "", [os.path.abspath(f) for f in reversed(lowers)])
        diff_id = export.writer.finish()
    return ExportedLayer(
        diff_id=diff_id,
        size_bytes=export.writer.size_bytes,
        entries=export.writer.entries,
        skipped=tuple(export.skipped),
    )


def export_tree(root: str, epoch: int, out: str) -> ExportedLayer:
    """Writes a whole root file system by the same rules: a base, which has nothing below it."""
    return export_layer(root, (), epoch, out)


class _Export:
    """One walk over the changes."""

    def __init__(self, writer: TarWriter, epoch: int, free_bytes: int) -> None:
        self.writer = writer
        self.epoch = epoch
        self.free_bytes = free_bytes
        self.limits = UnpackLimits()
        self.skipped: list[str] = []
        self._pending: list[Member] = []
        self._links: dict[tuple[int, int], bytes] = {}

    def folder(self, path: str, name: str, below: list[str]) -> None:
        """Emits what is in a folder; ``below`` are the folders that merge under it, top first."""
        whiteouts: list[str] = []
        others: list[tuple[str, os.stat_result]] = []
        for child in sorted(os.listdir(path), key=os.fsencode):
            child_name = f"{name}/{child}" if name else child
            if normal.is_dropped(child_name):
                continue
            state = os.lstat(f"{path}/{child}")
            if stat.S_ISCHR(state.st_mode) and state.st_rdev == 0:
                if _look(below, child):
                    whiteouts.append(child_name)
            else:
                others.append((child, state))
        for child_name in whiteouts:
            parent, _, last = child_name.rpartition("/")
            self._mark(f"{parent}/.wh.{last}" if parent else f".wh.{last}")
        for child, state in others:
            child_name = f"{name}/{child}" if name else child
            if stat.S_ISDIR(state.st_mode):
                self._subfolder(f"{path}/{child}", child_name, state, _look(below, child))
            else:
                self._leaf(f"{path}/{child}", child_name, state)

    def _subfolder(self, path: str, name: str, state: os.stat_result, below: list[str]) -> None:
        if name.count("/") >= DEPTH_LIMIT:
            raise StepFailed(
                f"the step leaves folders in one another more than {DEPTH_LIMIT} deep, below "
                f"{('/' + name)[:60]!r}",
                hint="Remove what the image does not need at the end of the step.",
                code="O039",
            )
        below = [f for f in below if os.path.isdir(f) and not os.path.islink(f)]
        opaque = _is_opaque(path)
        member = self._member(path, name, state, existed=bool(below))
        waiting = len(self._pending)
        self._pending.append(member)
        if below and opaque:
            self._mark(f"{name}/.wh..wh..opq")
        if not below or not self._same(member, below[0]):
            self._flush()
        self.folder(path, name, [] if opaque else below)
        del self._pending[waiting:]

    def _leaf(self, path: str, name: str, state: os.stat_result) -> None:
        if stat.S_IFMT(state.st_mode) not in _KINDS:
            if len(self.skipped) < 100:
                self.skipped.append(name)
            return
        member = self._member(path, name, state)
        if not stat.S_ISREG(state.st_mode):
            self._emit(member)
            return
        identity = (state.st_dev, state.st_ino)
        if state.st_nlink > 1 and identity in self._links:
            self._emit(_with(member, kind=HARD_LINK, link=self._links[identity], size=0, xattrs={}))
            return
        if state.st_nlink > 1:
            self._links[identity] = member.name
        self._check_room(name, member.size_bytes)
        self._file(path, name, member)

    def _check_room(self, name: str, size_bytes: int) -> None:
        """Refuses a file before it is written: a sparse one takes no room until it is."""
        total = self.writer.size_bytes + size_bytes
        what = f"the file {('/' + name)[:200]!r} has {size_bytes} bytes"
        if total > self.limits.size_bytes or self.writer.entries >= self.limits.entries:
            raise StepFailed(
                f"the step leaves more than a layer may hold ({self.limits.size_bytes >> 30} GiB, "
                f"{self.limits.entries} entries): {what}",
                hint="Remove what the image does not need at the end of the step; holes count.",
                code="O039",
            )
        if total > self.free_bytes:
            raise EnvironmentProblem(
                f"the disk is full: the step's layer needs more than the "
                f"{self.free_bytes >> 20} MiB that are free: {what}",
                hint="Free some space or set store.path in ssds.yaml; holes in files count.",
                code="O040",
            )

    def _file(self, path: str, name: str, member: Member) -> None:
        if name in normal.EMPTIED:
            self._emit(_with(member, size=0))
        elif name == normal.JAVA_TRUST and member.size_bytes <= normal.JAVA_TRUST_LIMIT:
            data = normal.java_trust_store(b"".join(_chunks(path)), self.epoch)
            self._emit(_with(member, size=len(data)), [data])
        else:
            self._emit(member, _chunks(path))

    def _member(
        self, path: str, name: str, state: os.stat_result, *, existed: bool = False
    ) -> Member:
        kind = _KINDS[stat.S_IFMT(state.st_mode)]
        return Member(
            name=os.fsencode(name),
            kind=kind,
            mode=0o777 if kind == SYMLINK else stat.S_IMODE(state.st_mode),
            uid=state.st_uid,
            gid=state.st_gid,
            mtime=self.epoch if existed else self._time(state),
            link=os.fsencode(os.readlink(path)) if kind == SYMLINK else b"",
            xattrs=_xattrs(path),
            size_bytes=state.st_size if kind == REGULAR else 0,
        )

    def _time(self, state: os.stat_result) -> int:
        return max(0, min(state.st_mtime_ns // 1_000_000_000, self.epoch))

    def _same(self, member: Member, path: str) -> bool:
        """Tells whether a folder of the layers below looks like this one, its time aside."""
        state = os.lstat(path)
        known = (stat.S_IMODE(state.st_mode), state.st_uid, state.st_gid)
        return known == (member.mode, member.uid, member.gid) and _xattrs(path) == member.xattrs

    def _mark(self, name: str) -> None:
        self._emit(Member(name=os.fsencode(name), kind=REGULAR, mtime=self.epoch))

    def _flush(self) -> None:
        for number, member in enumerate(self._pending):
            if member is not _EMITTED:
                self.writer.add(member)
                self._pending[number] = _EMITTED

    def _emit(self, member: Member, chunks: Iterable[bytes] = ()) -> None:
        self._flush()
        self.writer.add(member, chunks)


_EMITTED = Member(name=b"", kind=FOLDER)


def _with(
    member: Member,
    *,
    kind: int | None = None,
    link: bytes = b"",
    size: int = 0,
    xattrs: dict[bytes, bytes] | None = None,
) -> Member:
    return Member(
        name=member.name,
        kind=member.kind if kind is None else kind,
        mode=member.mode,
        uid=member.uid,
        gid=member.gid,
        mtime=member.mtime,
        link=link,
        xattrs=member.xattrs if xattrs is None else xattrs,
        size_bytes=size,
    )


def _look(below: Sequence[str], name: str) -> list[str]:
    """Returns what stands under ``name`` in merged folders, top first; empty: nothing does.

    A list of one path that is no folder means a file or link; folders end at a whiteout, at an
    opaque folder, and at anything that is no folder.
    """
    found: list[str] = []
    for folder in below:
        path = f"{folder}/{name}"
        try:
            state = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if not stat.S_ISDIR(state.st_mode):
            whiteout = stat.S_ISCHR(state.st_mode) and state.st_rdev == 0
            return found or ([] if whiteout else [path])
        found.append(path)
        if _is_opaque(path):
            break
    return found


def _is_opaque(path: str) -> bool:
    for name in _OPAQUE:
        with contextlib.suppress(OSError):
            if os.getxattr(path, name, follow_symlinks=False) == b"y":
                return True
    return False


def _xattrs(path: str) -> dict[bytes, bytes]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.EPERM):
            return {}
        raise
    found: dict[bytes, bytes] = {}
    for name in names:
        if normal.kept_xattr(name):
            value = os.getxattr(path, name, follow_symlinks=False)
            value = normal.plain_capability(value) if name == "security.capability" else value
            found[os.fsencode(name)] = value
    return found


def _chunks(path: str) -> Iterator[bytes]:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise IntegrityError(f"{path} changed while it was read")
        while data := os.read(handle, _CHUNK):
            yield data
    finally:
        os.close(handle)
