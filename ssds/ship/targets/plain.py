"""A tree in a plain folder: every file is written beside its place, and one link is switched."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from ssds.core.errors import SsdsError
from ssds.host.files import atomic_symlink, atomic_write, locked
from ssds.host.folders import discard_folder, readable_for_all, staged_folder, sweep_folders
from ssds.lock.model import ReleaseHalf
from ssds.ship.generation import Generation
from ssds.ship.images import (
    BlobSource,
    Programs,
    Unpacked,
    programs_of_folder,
    unpack_image,
)
from ssds.ship.tree import (
    IMAGES,
    OURS,
    SITES,
    TREE_FILE,
    TREE_LOCK,
    linked_number,
    newest_number,
    public_link,
    site_path,
    tree_file,
)


class PlainTree:
    """A folder, on a local disk or a shared one."""

    def __init__(self, folder: str) -> None:
        self.name = folder
        self.folder = os.path.abspath(folder)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the tree against other writers; what it makes everybody may read."""
        with readable_for_all(), locked(os.path.join(self.folder, TREE_LOCK)):
            yield

    @contextlib.contextmanager
    def change(self, reason: str) -> Iterator[PlainDraft]:
        """Gives a draft whose steps take effect in the order in which they are called."""
        del reason  # a folder keeps no log of its own
        draft = PlainDraft(self.folder)
        draft.sweep()
        yield draft


class PlainDraft:
    """Writes below a folder; content first, then the link that makes it visible."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def sweep(self) -> None:
        """Removes what killed writers left; the caller holds the lock."""
        sites = os.path.join(self.folder, OURS, SITES)
        names = os.listdir(sites) if os.path.isdir(sites) else []
        own = [os.path.join(sites, name) for name in names]
        ours = [os.path.join(self.folder, name) for name in ("", OURS, IMAGES, SITES)]
        for folder in (*ours, sites, *own):
            sweep_folders(folder)

    def claim(self) -> None:
        """Marks the tree as ours, unless it is."""
        path = os.path.join(self.folder, TREE_FILE)
        if not os.path.exists(path):
            atomic_write(path, tree_file(), point="deploy.tree")

    def image(self, half: ReleaseHalf, blobs: BlobSource) -> Unpacked:
        """Brings an image unless it is there whole."""
        return unpack_image(self.folder, half, blobs)

    def programs(self, blobs: BlobSource, half: ReleaseHalf) -> Programs:
        """Returns where the commands of an image are that is there or was brought."""
        return programs_of_folder(self.folder, blobs, half)

    def switch(self, site: str, generation: Generation, catalog_version: str) -> int:
        """Writes a site's next generation and makes it the current one; returns its number."""
        root = os.path.join(self.folder, site_path(site))
        newest = newest_number(self.folder, site)
        for name in os.listdir(root) if os.path.isdir(root) else ():
            if name.isdecimal() and int(name) > newest:
                discard_folder(os.path.join(root, name))  # whole, of a deploy that was killed
        number = newest + 1
        with staged_folder(os.path.join(root, str(number)), point="deploy.generation") as staging:
            generation.write(staging, catalog_version)
        self.point(site, number)
        return number

    def point(self, site: str, number: int) -> None:
        """Makes a generation that is there the current one, and the site's public link stand."""
        root = os.path.join(self.folder, site_path(site))
        newest = newest_number(self.folder, site)
        if number < newest:
            atomic_symlink(str(newest), os.path.join(root, "newest"), point="deploy.newest")
        if linked_number(self.folder, site, "current") != number:
            atomic_symlink(str(number), os.path.join(root, "current"), point="deploy.switch")
        link, text = public_link(site)
        place = os.path.join(self.folder, link)
        if os.path.isdir(place) and not os.path.islink(place):
            raise SsdsError(
                f"{place} is a folder where ssds keeps a link",
                hint="Move it elsewhere and deploy again.",
                code="D015",
            )
        os.makedirs(os.path.dirname(place), exist_ok=True)
        if not os.path.islink(place) or os.readlink(place) != text:
            atomic_symlink(text, place, point="deploy.link")
