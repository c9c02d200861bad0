"""A tree in a plain folder: every file is written beside its place, and one link is switched."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence

from ssds.core.errors import Refused
from ssds.host.files import atomic_symlink, atomic_write, locked, remove_file
from ssds.host.folders import (
    discard_folder,
    readable_for_all,
    staged_folder,
    staged_folders,
    sweep_folders,
)
from ssds.lock.data import DataLock
from ssds.lock.model import ReleaseHalf
from ssds.ship.images import (
    BlobSource,
    Programs,
    Unpacked,
    programs_of_folder,
    unpack_image,
)
from ssds.ship.parts import PARTS
from ssds.ship.targets.plug import Draft
from ssds.ship.tree import IMAGES, OURS, SITES, TREE_LOCK, check_owner


class PlainTree:
    """A folder, on a local disk or a shared one."""

    inner = ""

    def __init__(self, folder: str) -> None:
        self.name = folder
        self.folder = os.path.abspath(folder)

    def exists(self, *, shared: bool = False) -> bool:
        """Whether there is a tree; raises Refused where others' files stand and may not."""
        return check_owner(self.folder, shared=shared)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the tree against other writers; what it makes everybody may read.

        What killed writers left is gone then.
        """
        with readable_for_all(), locked(os.path.join(self.folder, TREE_LOCK)):
            PlainDraft(self.folder).sweep()
            yield

    @contextlib.contextmanager
    def change(self, reason: str) -> Iterator[PlainDraft]:
        """Gives a draft whose steps take effect in the order in which they are called."""
        del reason  # a folder keeps no log of its own
        yield PlainDraft(self.folder)

    def filled_by(self, paths: Sequence[str]) -> float:
        """Returns 0: a change may remove all there is."""
        del paths
        return 0.0

    def collect(self) -> None:
        """Does nothing: what a folder has lost is free."""


class PlainDraft(Draft):
    """Writes below a folder; content first, then the link that makes it visible."""

    def __init__(self, folder: str, scratch: str = "") -> None:
        self.folder = folder
        self.scratch = scratch
        self._ready: set[str] = set()

    def sweep(self) -> None:
        """Removes what killed writers left; the caller holds the lock."""
        sites = os.path.join(self.folder, OURS, SITES)
        names = os.listdir(sites) if os.path.isdir(sites) else []
        own = [os.path.join(sites, name) for name in names]
        ours = [os.path.join(self.folder, name) for name in ("", OURS, IMAGES, SITES)]
        for folder in (*ours, sites, *own, *(os.path.join(path, PARTS) for path in own)):
            sweep_folders(folder)

    def _place(self, path: str) -> str:
        """Returns where ``path`` is; its folder is there, without what killed writers left."""
        place = os.path.join(self.folder, path)
        parent = os.path.dirname(place)
        if parent not in self._ready:
            self._check_inside(path)
            os.makedirs(parent, exist_ok=True)
            sweep_folders(parent)
            self._ready.add(parent)
        return place

    def _check_inside(self, path: str) -> None:
        """Raises Refused (D041) where a link of others leads out of the tree."""
        inner = os.path.dirname(path)
        real = os.path.realpath(os.path.join(self.folder, inner))
        own = inner.split("/")[0] in (OURS, IMAGES)  # may stand on another disk
        if not own and real != os.path.normpath(os.path.join(os.path.realpath(self.folder), inner)):
            raise Refused(
                f"{os.path.join(self.folder, inner)} leads out of the tree",
                hint="Put a folder in the place of that link, and deploy again.",
                code="D041",
            )

    def file(self, path: str, data: bytes, point: str) -> None:
        """Puts a file at ``path`` of the tree, whole; replaces a file or a link."""
        atomic_write(self._place(path), data, point=point)

    def link(self, path: str, target: str, point: str) -> None:
        """Puts a symbolic link at ``path`` of the tree; replaces a file or a link."""
        atomic_symlink(target, self._place(path), point=point)

    def new_folder(self, path: str, write: Callable[[str], None], point: str) -> None:
        """Puts a folder at ``path``; ``write`` fills an empty one. What stood there is replaced."""
        place = os.path.join(self.folder, path)
        with staged_folder(place, point=point, replace=True) as staging:
            write(staging)

    def new_folders(
        self, path: str, writes: Mapping[str, Callable[[str], None]], point: str
    ) -> None:
        """Puts folders into ``path``: name → what fills an empty one. Each appears whole."""
        with staged_folders(self._place(f"{path}/x").removesuffix("/x"), point=point) as staging:
            for name, write in writes.items():
                os.mkdir(os.path.join(staging, name), 0o755)
                write(os.path.join(staging, name))

    def remove(self, path: str) -> None:
        """Removes a file, a link or a folder with all in it, and folders that became empty."""
        self._check_inside(path)
        place = os.path.join(self.folder, path)
        if os.path.isdir(os.path.dirname(place)):
            sweep_folders(os.path.dirname(place))
        if os.path.islink(place) or not os.path.isdir(place):
            remove_file(place, point="deploy.remove")
        else:
            discard_folder(place)
        parent = os.path.dirname(path)
        while parent and not parent.startswith(OURS):
            with contextlib.suppress(OSError):
                os.rmdir(os.path.join(self.folder, parent))
                self._ready.discard(os.path.join(self.folder, parent))
            parent = os.path.dirname(parent)

    def image(self, half: ReleaseHalf, blobs: BlobSource, *, anew: bool = False) -> Unpacked:
        """Brings an image unless it is there whole."""
        return unpack_image(self.folder, half, blobs, scratch=self.scratch, anew=anew)

    def data(self, lock: DataLock, blobs: BlobSource, *, anew: bool = False) -> Unpacked:
        """Brings a data set unless it is there whole."""
        from ssds.ship.refdata.content import unpack_set

        return unpack_set(self.folder, lock, blobs, scratch=self.scratch, anew=anew)

    def programs(self, blobs: BlobSource, half: ReleaseHalf) -> Programs:
        """Returns where the commands of an image are that is there or was brought."""
        return programs_of_folder(self.folder, blobs, half)
