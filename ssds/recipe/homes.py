"""Where recipes stand, and in which format."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from ssds.core.diagnostics import Collector, Span
from ssds.recipe.codes import diagnostic
from ssds.recipe.yamlmarks import lies_in


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
THEIRS = "/" + FORMATS["neurocontainers"].file
"""How the paths of NeuroDesk's recipes end."""


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


def recipe_folders(root: str, home: Home, collector: Collector) -> list[str]:
    """Returns the sorted names of the folders that hold recipes; warns of those without one."""
    top = os.path.join(root, home.folder)
    try:
        with os.scandir(top) as entries:
            names = sorted(
                e.name
                for e in entries
                if not e.name.startswith(".") and e.name not in home.reserved and e.is_dir()
            )
    except OSError as error:
        facts = (("folder", home.folder), ("reason", os.strerror(error.errno or 0)))
        code = "K010" if home.format == "ssds" else "K011"
        collector.add(diagnostic(code, Span(path=home.top), facts=facts))
        return []
    return folders_with_recipes(root, home, names, collector)


def folders_with_recipes(
    root: str, home: Home, names: Iterable[str], collector: Collector
) -> list[str]:
    """Returns those of ``names`` that hold a recipe of the catalog's own; tells of the others."""
    found = []
    top = os.path.join(root, home.folder)
    for name in names:
        path = os.path.join(root, home.path(name))
        if not os.path.lexists(path):
            if FORMATS[home.format].strict:
                collector.add(diagnostic("R062", Span(path=f"{home.folder}/{name}")))
        elif not _inside(top, os.path.join(top, name), path):
            collector.add(diagnostic("R072", Span(path=home.path(name))))
        else:
            found.append(name)
    return found


def _inside(home: str, folder: str, path: str) -> bool:
    """Whether a recipe file lies in the catalog ``home`` whatever links there are."""
    if not os.path.islink(folder) and not os.path.islink(path):
        return True
    return lies_in(home, path)
