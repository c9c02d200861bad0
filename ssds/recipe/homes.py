"""Where recipes stand, and in which format."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import NamedTuple


class Format(NamedTuple):
    """One format of recipes.

    Attributes:
        file: the recipe's file in its folder.
        below: where the recipes' folders stand in what the settings name.
        reserved: folders there that are no recipes.
        texts: files in a recipe's folder that are read where they are there.
        shared: folders in what the settings name whose files any recipe may read.
        strict: every other folder should hold a recipe.
    """

    file: str
    below: str = ""
    reserved: frozenset[str] = frozenset()
    texts: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    strict: bool = False


FORMATS: Mapping[str, Format] = {
    "ssds": Format(
        file="recipe.yaml", reserved=frozenset({"sites", "advisories", "data"}), strict=True
    ),
    "neurocontainers": Format(
        file="build.yaml",
        below="recipes",
        texts=("README.md", "fulltest.yaml"),
        shared=("macros", "builder/templates"),
    ),
}
"""The formats that can be read, by the name that the setting ``catalog`` has for them."""


class Home(NamedTuple):
    """A folder of recipes.

    Attributes:
        format: a key of FORMATS.
        top: what the settings name, relative to the workspace or absolute.
        folder: the folder of the recipes' folders.
    """

    format: str
    top: str
    folder: str

    @property
    def file(self) -> str:
        """The name of a recipe's file."""
        return FORMATS[self.format].file

    @property
    def reserved(self) -> frozenset[str]:
        """Folders that are no recipes."""
        return FORMATS[self.format].reserved

    def shared(self) -> tuple[str, ...]:
        """Returns the folders whose files any recipe may read."""
        return tuple(f"{self.top}/{name}" for name in FORMATS[self.format].shared)

    def files(self, name: str) -> tuple[str, ...]:
        """Returns the paths of a recipe's file, and of the texts that may stand beside it."""
        texts = FORMATS[self.format].texts
        return tuple(f"{self.folder}/{name}/{file}" for file in (self.file, *texts))

    def path(self, name: str) -> str:
        """Returns the path of a recipe's file."""
        return f"{self.folder}/{name}/{self.file}"

    def holds(self, root: str, name: str) -> bool:
        """Whether there is a recipe called ``name``."""
        plain = bool(name) and "/" not in name and name[0] != "." and name not in self.reserved
        return plain and os.path.isfile(os.path.join(root, self.path(name)))


def home_of(format_: str, top: str) -> Home:
    """Returns the home in what the settings name."""
    below = FORMATS[format_].below
    return Home(format_, top, f"{top}/{below}" if below else top)


def homes(catalog: str, checkouts: Mapping[str, str]) -> tuple[Home, ...]:
    """Returns the folders of recipes of a workspace, ssds's own first."""
    return (home_of("ssds", catalog), *(home_of(f, top) for f, top in checkouts.items()))


def described(found: Collection[Home]) -> str:
    """Returns one text for the folders of recipes of a workspace."""
    return " ".join(h.folder if h.format == "ssds" else f"{h.format}:{h.folder}" for h in found)


def home_with(root: str, found: Collection[Home], name: str) -> Home | None:
    """Returns the first home that has a recipe called ``name``, or None."""
    return next((home for home in found if home.holds(root, name)), None)
