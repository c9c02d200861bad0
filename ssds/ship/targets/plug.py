"""The plug of deploy targets: a tree that can be read, and changes that appear all at once.

A target gives drafts with six primitive steps; what a deployment does with them is the same for all
targets and stands here.
"""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol

from ssds.core.canonical import canonical_bytes
from ssds.core.errors import InvalidValue, SsdsError
from ssds.host import local
from ssds.host.spider import write_spider_cache
from ssds.lock.data import DataLock
from ssds.lock.model import ReleaseHalf
from ssds.ship.generation import LMOD_LISTING, Generation, lmod_files, lmod_stands
from ssds.ship.images import BlobSource, Programs, Unpacked
from ssds.ship.links import OWNED, Name, link_steps, owned_bytes, owned_paths, read_names
from ssds.ship.parts import lacking
from ssds.ship.tree import (
    SITES,
    TREE_FILE,
    generations,
    known_copies,
    linked_number,
    newest_number,
    parts_path,
    public_link,
    read_generation,
    site_path,
    tree_file,
)


class Draft(ABC):
    """One change of a tree. Nobody sees half of it, at whatever point its writer is killed.

    Attributes:
        folder: where the tree can be read; a draft may show what it has brought, or only what stood
            there before.
    """

    folder: str

    @abstractmethod
    def file(self, path: str, data: bytes, point: str) -> None:
        """Puts a file at ``path`` of the tree, whole; replaces a file or a link."""

    @abstractmethod
    def link(self, path: str, target: str, point: str) -> None:
        """Puts a symbolic link at ``path`` of the tree; replaces a file or a link."""

    @abstractmethod
    def new_folder(self, path: str, write: Callable[[str], None], point: str) -> None:
        """Puts a folder at ``path``; ``write`` fills an empty one. What stood there is replaced."""

    @abstractmethod
    def new_folders(
        self, path: str, writes: Mapping[str, Callable[[str], None]], point: str
    ) -> None:
        """Puts folders into ``path``: name → what fills an empty one. Each appears whole.

        What stood there is replaced, and stays until then.
        """

    @abstractmethod
    def remove(self, path: str) -> None:
        """Removes a file, a link or a folder with all in it; nothing where it is not there."""

    @abstractmethod
    def image(self, half: ReleaseHalf, blobs: BlobSource, *, anew: bool = False) -> Unpacked:
        """Brings an image unless it is there whole; ``anew``: replaces what is there."""

    @abstractmethod
    def data(self, lock: DataLock, blobs: BlobSource, *, anew: bool = False) -> Unpacked:
        """Brings a data set unless it is there whole; ``anew``: replaces what is there."""

    @abstractmethod
    def programs(self, blobs: BlobSource, half: ReleaseHalf) -> Programs:
        """Returns where the commands of an image are that is there or was brought."""

    def claim(self) -> None:
        """Marks the tree as ours, unless it is."""
        if not os.path.exists(os.path.join(self.folder, TREE_FILE)):
            self.file(TREE_FILE, tree_file(), "deploy.tree")

    def switch(
        self,
        site: str,
        generation: Generation,
        names: dict[str, Name],
        damaged: Iterable[str] = (),
    ) -> int:
        """Writes a site's next generation and makes it the current one; returns its number.

        Args:
            damaged: parts that are written anew where the generation has them; others stay.
        """
        root = site_path(site)
        before = self._same_modules(site, generation)
        newest = newest_number(self.folder, site)
        path = os.path.join(self.folder, root)
        for name in os.listdir(path) if os.path.isdir(path) else ():
            if name.isdecimal() and int(name) > newest:
                self.remove(f"{root}/{name}")  # whole, of a deploy that was killed
        number = newest + 1
        inner = parts_path(site)
        missing = self.missing_parts(site, generation, damaged)
        writes = {n: part.write for n, part in generation.parts.items() if n in missing}
        if writes:
            self.new_folders(inner, writes, "deploy.parts")
        known = known_copies(self.folder, site)
        generation.copies = {p: digests[-1] for p, digests in known.items() if p not in writes}
        write = partial(_write, generation, os.path.join(self.folder, SITES, site), *before)
        self.new_folder(f"{root}/{number}", write, "deploy.generation")
        self._show(site, number, names, generation.files.__getitem__)
        return number

    def missing_parts(
        self, site: str, generation: Generation, damaged: Iterable[str] = ()
    ) -> list[str]:
        """Returns the parts of a generation that are to be written."""
        gone = lacking(os.path.join(self.folder, parts_path(site)), generation.parts)
        return sorted({*gone, *damaged} & set(generation.parts))

    def _same_modules(self, site: str, generation: Generation) -> tuple[str, frozenset[str]]:
        """Returns the folder of the site's generation now, and whose modules are the same there.

        Empty where its spider cache is not as it was deployed, or is no list of software.
        """
        number = linked_number(self.folder, site, "current")
        folder = os.path.join(self.folder, site_path(site), str(number))
        if not generation.flat or not number or not lmod_stands(folder):
            return "", frozenset()
        try:
            shares = read_generation(self.folder, site, number).shares
        except InvalidValue:  # damaged: this generation makes it good
            return "", frozenset()
        return folder, frozenset(n for n, s in generation.shares.items() if shares.get(n) == s)

    def point(self, site: str, number: int) -> None:
        """Makes a generation that is there the current one, its names and public link stand."""
        if number not in generations(self.folder, site):
            raise SsdsError(f"{site} has no generation {number}", code="D023")
        root = os.path.join(self.folder, site_path(site), str(number))

        def read(path: str) -> bytes:
            with open(os.path.join(root, path), "rb") as file:
                return file.read()

        newest = newest_number(self.folder, site)
        if number < newest:
            self.link(f"{site_path(site)}/newest", str(newest), "deploy.newest")
        self._show(site, number, read_names(self.folder, site, number), read)

    def _show(
        self, site: str, number: int, names: dict[str, Name], read: Callable[[str], bytes]
    ) -> None:
        """Makes public names, then the switch, then takes away names that nobody wants."""
        steps = link_steps(self.folder, site, names)
        if steps.owned != owned_paths(self.folder):
            self.file(OWNED, owned_bytes(steps.owned), "deploy.owned")
        for path, (owner, name) in sorted(steps.make.items()):
            if name.target:
                self.link(path, name.target, "deploy.name")
                continue
            data = read(name.source) if owner == site else self._of(owner, name)
            self.file(path, data, "deploy.manifest")
        if linked_number(self.folder, site, "current") != number:
            self.link(f"{site_path(site)}/current", str(number), "deploy.switch")
        if number >= linked_number(self.folder, site, "newest") > 0:
            self.remove(f"{site_path(site)}/newest")  # nothing is above the current one
        self._public_link(site)
        for path in steps.remove:
            self.remove(path)
        if steps.remove:
            self.file(OWNED, owned_bytes(set(steps.owned) - set(steps.remove)), "deploy.owned")

    def _of(self, site: str, name: Name) -> bytes:
        number = linked_number(self.folder, site, "current")
        path = os.path.join(self.folder, site_path(site), str(number), name.source)
        with open(path, "rb") as file:
            return file.read()

    def _public_link(self, site: str) -> None:
        link, text = public_link(site)
        place = os.path.join(self.folder, link)
        if os.path.isdir(place) and not os.path.islink(place):
            raise SsdsError(
                f"{place} is a folder where ssds keeps a link",
                hint=f"Move it out of {SITES}/ and deploy again.",
                code="D015",
            )
        if not os.path.islink(place) or os.readlink(place) != text:
            self.link(link, text, "deploy.link")


def _write(
    generation: Generation, public: str, before: str, stays: frozenset[str], folder: str
) -> None:
    """Writes a generation and, where Lmod is here, its spider cache: both appear at once."""
    generation.write(folder)
    if generation.lmod:
        write_spider_cache(folder, public, before=before, stays=stays)
    if found := lmod_files(folder):
        local.write(os.path.join(folder, LMOD_LISTING), canonical_bytes({**found}))


class Target(Protocol):
    """A place that holds a tree."""

    @property
    def name(self) -> str:
        """The place as people name it."""

    @property
    def folder(self) -> str:
        """Where the tree can be read."""

    @property
    def inner(self) -> str:
        """The tree's folder in the repository that clients mount; empty where it is its root."""

    def filled_by(self, paths: Sequence[str]) -> float:
        """Returns what share of all that one change may remove these are; 0 without a limit."""

    def exists(self, *, shared: bool = False) -> bool:
        """Whether there is a tree, or may be one; raises Refused where others' files stand.

        Args:
            shared: whether these may stand there.
        """

    def locked(self) -> contextlib.AbstractContextManager[object]:
        """Holds the tree against other writers (C20)."""

    def change(self, reason: str) -> contextlib.AbstractContextManager[Draft]:
        """Gives a draft; at the end of the block its content is visible, on an exception not."""

    def collect(self) -> None:
        """Frees what removed content still takes, where the place keeps it."""
