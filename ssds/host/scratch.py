"""A scratch copy of a workspace that may be edited at will, for ``ssds selfcheck``.

Nothing outside of the copy is written: links are copied as links and never written through.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from random import Random

from ssds.core.errors import EnvironmentProblem
from ssds.host.files import explained, locked

RECIPE = "recipe.yaml"
LOCK_SUFFIX = ".lock.json"
MAX_BYTES = 1 << 20

_WITHOUT = "`ssds selfcheck --edits 0` needs no scratch copy."
_WAYS = ("in place", "in place with the old mtime", "replaced", "replaced with the old mtime")

Edit = Callable[["Editing"], str]
"""Edits something and returns what it did; the empty string where there is nothing to edit."""


@contextlib.contextmanager
def scratch(state_folder: str) -> Iterator[str]:
    """Gives an empty folder in a workspace's state folder; it is removed afterwards.

    Raises:
        EnvironmentProblem: E160, nothing can be written there; E161, another process has one.
    """
    folder = os.path.join(state_folder, "selfcheck")
    try:
        with locked(os.path.join(state_folder, "guards", "selfcheck.lock"), wait=False) as mine:
            if not mine:
                raise EnvironmentProblem(
                    "another selfcheck of this workspace is at work",
                    hint="Wait until it has ended.",
                    code="E161",
                )
            _remove(folder)
            with explained(folder):
                os.mkdir(folder, 0o700)
            try:
                yield folder
            finally:
                _remove(folder)
    except EnvironmentProblem as problem:
        if problem.code == EnvironmentProblem.code:
            problem.code = "E160"
            problem.hint += f" {_WITHOUT}"
        raise
    except OSError as error:
        raise EnvironmentProblem(
            f"the scratch copy in {state_folder} fails: {os.strerror(error.errno or 0)}",
            hint=f"Look at {error.filename or state_folder}. {_WITHOUT}",
            code="E160",
        ) from error


def copy_workspace(root: str, target: str, names: tuple[str, ...]) -> None:
    """Copies these files and folders of a workspace, links as links, times kept.

    A name that is a link itself is copied as what it leads to.

    Raises:
        EnvironmentProblem: something cannot be read, or the disk is full.
    """
    try:
        with explained(target):
            for name in names:
                _copy(os.path.realpath(os.path.join(root, name)), os.path.join(target, name))
    except shutil.Error as error:
        first = error.args[0][0]
        raise EnvironmentProblem(
            f"{first[0]} cannot be copied: {first[2]}",
            hint="Check that it can be read, and the space on the disk.",
            code="E160",
        ) from error


def _copy(source: str, place: str) -> None:
    os.makedirs(os.path.dirname(place), exist_ok=True)
    if os.path.isdir(source):
        shutil.copytree(source, place, symlinks=True, copy_function=_copy_file)
    elif os.path.isfile(source):
        _copy_file(source, place)


def _copy_file(source: str, target: str) -> None:
    """Copies a regular file or a link; what is neither is left out."""
    if os.path.islink(source) or os.path.isfile(source):
        shutil.copy2(source, target, follow_symlinks=False)


def _remove(path: str) -> None:
    if os.path.islink(path) or os.path.isfile(path):
        os.unlink(path)
    elif os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


class Editing:
    """Edits a copy of a workspace; the random numbers give every choice.

    Attributes:
        root: the copy.
        catalog, locks: its folders of recipes and of locks, absolute.
    """

    def __init__(self, root: str, catalog: str, locks: str, random: Random) -> None:
        self.root = root
        self.catalog = os.path.join(root, catalog)
        self.locks = os.path.join(root, locks)
        self.random = random
        self._kept = f"{root}.kept"
        self._place = ""
        self._made: list[str] = []
        self._count = 0

    def step(self, edits: Sequence[Edit]) -> str:
        """Does one of the edits; returns what it did, or the empty string where none fits."""
        for _ in range(40):
            self._place, self._made = "", []
            told = self.random.choice(edits)(self)
            if told:
                return told
        return ""

    def undo(self) -> None:
        """Undoes the last edit; what it replaced gets new times."""
        for path in self._made:
            _remove(path)
        if self._place:
            _remove(self._place)
            if os.path.isdir(self._kept):
                shutil.copytree(self._kept, self._place, symlinks=True)
            else:
                shutil.copy2(self._kept, self._place, follow_symlinks=False)

    # -- choosing ------------------------------------------------------------------------------

    def recipe(self) -> str:
        """Returns the folder of one recipe, which can be undone; or the empty string."""
        with contextlib.suppress(OSError):
            names = sorted(os.listdir(self.catalog))
            for _ in range(20):
                folder = os.path.join(self.catalog, self.random.choice(names))
                if os.path.isfile(os.path.join(folder, RECIPE)) and not os.path.islink(folder):
                    return self.keep(folder)
        return ""

    def recipe_file(self) -> str:
        """Returns the recipe.yaml of one recipe; or the empty string."""
        folder = self.recipe()
        path = os.path.join(folder, RECIPE)
        return path if folder and not os.path.islink(path) else ""

    def local_file(self) -> str:
        """Returns a regular file beside a recipe; or the empty string."""
        folder = self.recipe()
        found = [path for path in files_below(folder) if os.path.basename(path) != RECIPE]
        return self.random.choice(found) if found else ""

    def lock(self) -> str:
        """Returns a lock file; or the empty string."""
        with contextlib.suppress(OSError):
            names = [n for n in sorted(os.listdir(self.locks)) if n.endswith(LOCK_SUFFIX)]
            path = os.path.join(self.locks, self.random.choice(names)) if names else ""
            if os.path.isfile(path) and not os.path.islink(path):
                return self.keep(path)
        return ""

    def any_file(self) -> str:
        """Returns a recipe, a lock, a local file or something shared; or the empty string."""
        choice = self.random.randrange(4)
        if choice < 3:
            return (self.recipe_file, self.lock, self.local_file)[choice]()
        found = [os.path.join(self.root, "ssds.yaml")]
        with contextlib.suppress(OSError):
            found += [e.path for e in os.scandir(self.catalog) if e.is_file(follow_symlinks=False)]
        return self.keep(self.random.choice(sorted(found)))

    def keep(self, path: str) -> str:
        """Keeps a file or folder as it is, for ``undo``; returns its path."""
        _remove(self._kept)
        self._place = path
        if os.path.isdir(path):
            shutil.copytree(path, self._kept, symlinks=True)
        else:
            shutil.copy2(path, self._kept, follow_symlinks=False)
        return path

    def new(self, path: str) -> str:
        """Returns the path of what this edit makes; ``undo`` removes it."""
        self._made.append(path)
        return path

    def number(self) -> int:
        """Returns a number that no edit had before."""
        self._count += 1
        return self._count

    # -- writing -------------------------------------------------------------------------------

    def put(self, path: str, data: bytes) -> str:
        """Writes a file in one of the ways of programs; returns which."""
        before = os.stat(path)
        times = (before.st_atime_ns, before.st_mtime_ns)
        way = self.random.choice(_WAYS)
        if way.startswith("in place"):
            with open(path, "r+b") as file:
                file.write(data)
                file.truncate()
        else:
            fresh = f"{path}.fresh"
            with open(fresh, "wb") as file:
                file.write(data)
            os.chmod(fresh, before.st_mode & 0o7777)
            os.replace(fresh, path)
        if "old mtime" in way:
            os.utime(path, ns=times)
        return f"{self.name(path)}, {way}"

    def name(self, path: str) -> str:
        """Returns a path as people see it."""
        return os.path.relpath(path, self.root)


def files_below(folder: str) -> list[str]:
    """Returns the regular files below a folder; links are not followed."""
    found = []
    for place, _, names in os.walk(folder) if folder else ():
        found += [os.path.join(place, name) for name in sorted(names)]
    return [path for path in found if not os.path.islink(path) and os.path.isfile(path)]


def read(path: str) -> bytes:
    """Returns the bytes of a file, at most MAX_BYTES."""
    with open(path, "rb") as file:
        return file.read(MAX_BYTES)
