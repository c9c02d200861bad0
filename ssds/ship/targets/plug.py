"""The plug of deploy targets: a tree that can be read, and changes that appear all at once."""

from __future__ import annotations

import contextlib
from typing import Protocol

from ssds.lock.model import ReleaseHalf
from ssds.ship.generation import Generation
from ssds.ship.images import BlobSource, Programs, Unpacked


class Draft(Protocol):
    """One change of a tree. Nobody sees half of it, at whatever point its writer is killed."""

    @property
    def folder(self) -> str:
        """The tree with what the draft has brought so far."""

    def claim(self) -> None:
        """Marks the tree as ours, unless it is."""

    def image(self, half: ReleaseHalf, blobs: BlobSource) -> Unpacked:
        """Brings an image unless it is there whole."""

    def programs(self, blobs: BlobSource, half: ReleaseHalf) -> Programs:
        """Returns where the commands of an image are that is there or was brought."""

    def switch(self, site: str, generation: Generation, catalog_version: str) -> int:
        """Writes a site's next generation and makes it the current one; returns its number."""

    def point(self, site: str, number: int) -> None:
        """Makes a generation that is there the current one, and the site's public link stand."""


class Target(Protocol):
    """A place that holds a tree."""

    @property
    def name(self) -> str:
        """The place as people name it."""

    @property
    def folder(self) -> str:
        """Where the tree can be read."""

    def locked(self) -> contextlib.AbstractContextManager[object]:
        """Holds the tree against other writers (C20)."""

    def change(self, reason: str) -> contextlib.AbstractContextManager[Draft]:
        """Gives a draft; at the end of the block its content is visible, on an exception not."""
