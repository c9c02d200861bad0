"""A tree in a CVMFS repository, written as one tar for ``cvmfs_server ingest``.

Images are streamed from their layers into the tar; nothing is unpacked, and nothing is copied into
a union file system. The server publishes whatever part of an archive it can read and ends with 0,
so the tar is finished and on the disk before the server is given it. What is read is the repository
as readers see it.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO

from ssds.core.digest import Digest
from ssds.core.errors import EnvironmentProblem
from ssds.host import local
from ssds.host.files import write_point
from ssds.host.folders import scratch_folder
from ssds.lock.data import DataLock
from ssds.lock.model import ReleaseHalf
from ssds.oci.content import Entry
from ssds.oci.flatten import FlatTree
from ssds.oci.tarwriter import FOLDER, REGULAR, SYMLINK, Member, TarWriter
from ssds.oci.unpack import TIME_LIMIT_S, public_mode, secret_contents
from ssds.ship.images import (
    BlobSource,
    Programs,
    Unpacked,
    config_of,
    has_image,
    marker_bytes,
    notes_of,
    opened_image,
    programs_in,
    programs_of_folder,
)
from ssds.ship.published import Published, catalogs_above
from ssds.ship.targets.cvmfs import BUSY, PAUSE_S, CvmfsRepository
from ssds.ship.targets.plug import Draft
from ssds.ship.tree import data_marker, data_path, image_path, marker_path

_CHUNK = 1 << 20
_TOO_LONG = 100_000
"""Bytes of a command line that are surely allowed."""


class CvmfsIngest(CvmfsRepository):
    """A repository that gets each change as one tar."""

    prefix = "ingest"

    def filled_by(self, paths: Sequence[str]) -> float:
        """Returns what share of a command line the removal of these paths is."""
        return sum(map(len, self._removing(paths))) / _TOO_LONG

    def _removing(self, paths: Iterable[str]) -> list[str]:
        return [word for path in paths for word in ("-d", os.path.join(self.inner, path))]

    @contextlib.contextmanager
    def change(self, reason: str) -> Iterator[IngestDraft]:  # type: ignore[override]
        """Gives a draft; at the end of the block its tar is ingested."""
        with scratch_folder(self.settings.state) as room:
            path = os.path.join(room, "ingest.tar")
            with open(path, "wb") as file:
                draft = IngestDraft(self.folder, file, room)
                yield draft
                draft.finish()
                file.flush()
                os.fsync(file.fileno())
            self._ingest(path, draft.removed, reason)

    def _ingest(self, path: str, removed: list[str], reason: str) -> None:
        words = self._removing(removed)
        if self.filled_by(removed) > 1:
            raise EnvironmentProblem(
                f"{self.name}: {len(removed)} paths at once are too many to remove",
                hint=f"Use the target cvmfs:{self.repository} for this change.",
                code="D038",
            )
        argv = ("ingest", "-t", path, "-b", self.inner or "/", *words, self.repository)
        deadline = time.monotonic() + self.settings.wait_s
        last = self.settings.wait_s <= 0
        while not self._ingested(argv, reason):
            if last:
                raise EnvironmentProblem(
                    f"{self.name}: another transaction is open; nothing was published",
                    hint="Wait for its publisher, or end it: `cvmfs_server abort "
                    f"{self.repository}`.",
                    code="D029",
                )
            time.sleep(min(PAUSE_S, max(0.0, deadline - time.monotonic())))
            last = time.monotonic() >= deadline

    def _ingested(self, argv: tuple[str, ...], reason: str) -> bool:
        """Tries once; False where another's transaction is open."""
        if self._in_transaction():
            return False
        before = self.revision()
        self._note("opening", reason, before, self._lock())
        try:
            write_point("cvmfs.ingest")
            done = self._run(*argv, timeout_s=self.settings.publish_s)
            write_point("cvmfs.ingested")
            if done.returncode and any(text in done.text for text in BUSY):
                return False
            if self.revision() <= before:
                raise self._failure("nothing was published", done, kept=False)
            if done.returncode:
                self.say(f"{self.name}: ingest did not end well, but the revision is public")
            return True
        finally:
            self._abort()  # only what this ingest left open


class IngestDraft(Draft):
    """Writes images to a tar at once, and everything small at its end, each path once."""

    def __init__(self, folder: str, file: IO[bytes], room: str) -> None:
        self.folder = folder
        self.removed: list[str] = []
        self._tar = TarWriter(file)
        self._room = room
        self._small: dict[str, Member] = {}
        self._bytes: dict[str, bytes] = {}
        self._folders: set[str] = set()
        self._mirror: set[str] = set()
        self._programs: dict[str, Programs] = {}
        self._secrets: frozenset[tuple[int, int]] = frozenset()  # of the image that is written

    def file(self, path: str, data: bytes, point: str) -> None:
        """Puts a file at ``path`` of the tree."""
        write_point(f"{point}.put")
        self._put(path, REGULAR, 0o644, data=data)

    def link(self, path: str, target: str, point: str) -> None:
        """Puts a symbolic link at ``path`` of the tree."""
        write_point(f"{point}.put")
        self._put(path, SYMLINK, 0o777, link=target)

    def _put(self, path: str, kind: int, mode: int, *, link: str = "", data: bytes = b"") -> None:
        self._small[path] = Member(
            name=os.fsencode(path),
            kind=kind,
            mode=mode,
            link=os.fsencode(link),
            size_bytes=len(data),
        )
        self._bytes[path] = data

    def new_folder(self, path: str, write: Callable[[str], None], point: str) -> None:
        """Puts a folder at ``path``; ``write`` fills an empty one, beside what stands there."""
        write_point(f"{point}.put")
        self.remove(path)
        place = self._mirrored(path)
        write(place)
        self._put_folder(path, place)

    def new_folders(
        self, path: str, writes: Mapping[str, Callable[[str], None]], point: str
    ) -> None:
        """Puts folders into ``path``: name → what fills an empty one."""
        write_point(f"{point}.put")
        for name, write in writes.items():
            self.remove(f"{path}/{name}")
            place = self._mirrored(f"{path}/{name}")
            write(place)
            self._put_folder(f"{path}/{name}", place)

    def _mirrored(self, path: str) -> str:
        """Makes an empty folder for ``path``, beside links to what the tree has beside it."""
        made = os.path.join(self._room, "tree")
        for number in range(1, path.count("/") + 2):
            above = "/".join(path.split("/")[:number])
            parent, name = os.path.split(above)
            if above not in self._mirror:
                self._mirror.add(above)
                here = os.path.join(self.folder, parent)
                local.make_folder(os.path.join(made, parent).rstrip("/"))
                for other in os.listdir(here) if os.path.isdir(here) else ():
                    link = os.path.join(made, parent, other)
                    if other != name and not os.path.lexists(link):
                        os.symlink(os.path.join(here, other), link)
                place = os.path.join(made, above)
                if os.path.islink(place):
                    os.unlink(place)
                local.make_folder(place)
        return os.path.join(made, path)

    def _put_folder(self, path: str, folder: str) -> None:
        for base, folders, files in os.walk(folder):
            for name in (*folders, *files):
                place = os.path.join(base, name)
                inner = f"{path}/{os.path.relpath(place, folder)}"
                status = os.lstat(place)
                if stat.S_ISLNK(status.st_mode):
                    self._put(inner, SYMLINK, 0o777, link=os.readlink(place))
                elif stat.S_ISDIR(status.st_mode):
                    self._put(inner, FOLDER, 0o755)
                else:
                    with open(place, "rb") as file:
                        mode = 0o755 if status.st_mode & 0o100 else 0o644
                        self._put(inner, REGULAR, mode, data=file.read())

    def remove(self, path: str) -> None:
        """Removes a file, a link or a folder with all in it; nothing where it is not there."""
        self._small.pop(path, None)
        if os.path.lexists(os.path.join(self.folder, path)):
            self.removed.append(path)

    def image(self, half: ReleaseHalf, blobs: BlobSource, *, anew: bool = False) -> Unpacked:
        """Streams an image's layers into the tar, flattened, unless it is there whole."""
        digest = half.config.digest
        if not anew and has_image(self.folder, digest):
            return Unpacked(written=False)
        write_point("deploy.image.open")
        with opened_image(half, blobs, self._room) as published:
            config = config_of(blobs, half)
            self._programs[digest] = programs_in(published.tree, config, half.offered)
            return self._bring(image_path(digest), marker_path(digest), published, digest)

    def data(self, lock: DataLock, blobs: BlobSource, *, anew: bool = False) -> Unpacked:
        """Streams the files of a data set into the tar, unless they are there whole."""
        from ssds.ship.refdata.content import has_set, needed_bytes, opened_set

        digest = needed_bytes(lock)[0]
        if not anew and has_set(self.folder, digest):
            return Unpacked(written=False)
        write_point("deploy.data.open")
        with opened_set(lock, blobs, self._room) as published:
            return self._bring(data_path(digest), data_marker(digest), published, digest, "set")

    def _bring(
        self, path: str, marker: str, published: Published, digest: Digest, what: str = "config"
    ) -> Unpacked:
        """Streams a published folder to ``path``; what a damaged one had goes before."""
        self.remove(path)
        for catalog in catalogs_above(path):
            if not os.path.exists(os.path.join(self.folder, catalog)):
                self._put(catalog, REGULAR, 0o644)
        self._stream(published.tree, path)
        self._put(marker, REGULAR, 0o644, data=marker_bytes(digest, published, what))
        return Unpacked(written=True, notes=notes_of(published))

    def _stream(self, tree: FlatTree, path: str) -> None:
        """Writes a tree below ``path``."""
        self._secrets = secret_contents(tree)
        self._parents(path)
        handles: dict[str, int] = {}
        try:
            for entry in tree.walk():
                self._entry(tree, entry, path, handles)
        finally:
            for handle in handles.values():
                os.close(handle)

    def programs(self, blobs: BlobSource, half: ReleaseHalf) -> Programs:
        """Returns where the commands of an image are that is there or was brought."""
        known = self._programs.get(half.config.digest)
        return known or programs_of_folder(self.folder, blobs, half)

    def finish(self) -> None:
        """Writes everything small, and the end of the archive."""
        for path in sorted(self._small):
            self._parents(path)
            member = self._small[path]
            if member.kind == FOLDER and path in self._folders:
                continue
            self._folders.add(path)
            data = self._bytes[path]
            self._tar.add(member, [data] if data else [])
        self._tar.finish()

    def _parents(self, path: str) -> None:
        """Writes the folders above ``path`` that are nowhere yet."""
        parts = path.split("/")[:-1]
        for number in range(1, len(parts) + 1):
            folder = "/".join(parts[:number])
            if folder not in self._folders:
                self._folders.add(folder)
                if not os.path.isdir(os.path.join(self.folder, folder)):
                    member = Member(name=os.fsencode(folder), kind=FOLDER, mode=0o755)
                    self._tar.add(member)

    def _entry(self, tree: FlatTree, entry: Entry, root: str, handles: dict[str, int]) -> None:
        """Writes one path of an image; a hard link is a file, as CVMFS would make it."""
        kinds = {"file": REGULAR, "folder": FOLDER, "symlink": SYMLINK}
        if entry.type not in kinds:
            return
        member = Member(
            name=os.fsencode(f"{root}/{entry.path}".rstrip("/")),
            kind=kinds[entry.type],
            mode=0o777 if entry.type == "symlink" else public_mode(entry, self._secrets),
            mtime=min(max(entry.mtime, 0), TIME_LIMIT_S),
            link=os.fsencode(entry.target),
            size_bytes=entry.size_bytes if entry.type == "file" else 0,
        )
        if entry.type != "file" or not entry.size_bytes:
            self._tar.add(member)
            return
        if entry.segments is not None:
            with tree.open_entry(entry) as file:
                self._tar.add(member, iter(lambda: file.read(_CHUNK), b""))
            return
        layer = tree.layers[entry.layer]
        if layer not in handles:
            handles[layer] = os.open(layer, os.O_RDONLY | os.O_CLOEXEC)
        self._tar.add(member, _range(handles[layer], entry.offset, entry.size_bytes))


def _range(handle: int, offset: int, length: int) -> Iterator[bytes]:
    """Gives the bytes of a range; fewer where the file ends before it."""
    while length and (data := os.pread(handle, min(length, _CHUNK), offset)):
        yield data
        offset, length = offset + len(data), length - len(data)
