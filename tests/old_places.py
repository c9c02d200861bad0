"""Places of made-up trees: the tree, a checkout with its lists, and a workspace beside them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from old_tree import Old

from ssds.cli import main
from ssds.core.diagnostics import Collector
from ssds.lock.model import Lock
from ssds.lock.read import read_locks


@dataclass(frozen=True)
class Place:
    """An old tree, a checkout with its lists, and an empty workspace."""

    folder: Path
    releases: tuple[Old, ...]

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    @property
    def lists(self) -> Path:
        return self.folder / "checkout"

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    def run(self, *words: str) -> int:
        return main(["-C", str(self.workspace), *words])

    def adopt(self, *words: str) -> int:
        sources = (f"tree={self.tree}", f"lists={self.lists}")
        return self.run("adopt", *sources, *words)

    def locks(self) -> list[Lock]:
        folder = str(self.workspace / "lockfiles")
        return [*read_locks(folder, shown=folder, collector=Collector()).releases.values()]


def new_workspace(folder: Path) -> Path:
    (folder / "catalog").mkdir(parents=True)
    (folder / "lockfiles").mkdir()
    (folder / "ssds.yaml").write_text(f"store: {{path: {folder}/.ssds/store}}\n")
    return folder


def moved(place: Place, built: str, one: Old) -> str:
    """Copies a build under another day; returns its id."""
    new = f"{one.name}_{one.version}_{built}"
    containers = place.tree / "containers"
    shutil.copytree(containers / one.id, containers / new, symlinks=True)
    (containers / new / f"{one.id}.simg").rename(containers / new / f"{new}.simg")
    return new
