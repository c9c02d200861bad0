"""The same shape for others: a ninja build over the same files, the list of paths, a C loop.

ninja gets four chained edges for each recipe and platform. Its rules are ``generator`` rules, so
that it needs no log of commands; with a log it would read one more file and be slower.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import catalog_texts as texts

from ssds.lock.model import lock_file_name

EDGES = ("build", "test", "scan", "publish")
_RULES = """\
ninja_required_version = 1.10
rule step
  command = touch $out
  generator = 1
"""


def write_ninja(workspace: Path, folder: Path, count: int) -> None:
    """Writes ``build.ninja`` and its outputs, all newer than the recipes; once per folder."""
    mark = folder / "made.txt"
    wanted = f"{workspace.stat().st_ino} {os.stat(workspace / 'made.json').st_mtime_ns} {count}\n"
    if mark.exists() and mark.read_text() == wanted:
        return
    if mark.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text("")
    with open(folder / "build.ninja", "w", encoding="utf-8") as file:
        file.write(_RULES)
        for number in range(count):
            name = texts.name_of(number)
            (folder / "out" / name).mkdir(parents=True)
            source = workspace / "catalog" / name
            for platform in texts.PLATFORMS:
                before = f"{source}/recipe.yaml {source}/settings.conf"
                for edge in EDGES:
                    after = f"out/{name}/{platform.partition('/')[2]}.{edge}"
                    file.write(f"build {after}: step {before}\n")
                    (folder / after).touch()
                    before = after
    mark.write_text(wanted)


def write_paths(workspace: Path, path: Path, count: int) -> int:
    """Writes the paths of all files that a plan rests on, one a line; returns how many."""
    paths = [workspace / name for name in texts.SHARED]
    paths.append(workspace / "lockfiles/catalog.lock.json")
    for number in range(count):
        name, version = texts.name_of(number), texts.version_of(number)
        folder = workspace / "catalog" / name
        lock = workspace / "lockfiles" / lock_file_name(name, version)
        paths += [folder / "recipe.yaml", folder / "settings.conf", lock]
    path.write_text("".join(f"{p}\n" for p in paths))
    return len(paths)


def c_loop(folder: Path) -> Path | None:
    """Returns the compiled ``lstat.c``, or None where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    source = Path(__file__).resolve().parent / "lstat.c"
    program = folder / "lstat"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        subprocess.run([compiler, "-O2", "-o", str(program), str(source)], check=True)
    return program


def beside_python(name: str) -> str | None:
    """Returns a program that was installed with this Python, or one of the PATH, or None."""
    own = Path(sys.executable).parent / name
    return str(own) if os.access(own, os.X_OK) else shutil.which(name)


class Edit:
    """Changes a build step of one recipe, in another way each time, and puts it back."""

    def __init__(self, workspace: Path, count: int) -> None:
        name = texts.name_of(count // 2)
        self._path = workspace / "catalog" / name / "recipe.yaml"
        self._beside = workspace / "catalog" / name / "settings.conf"
        self._original = texts.recipe_text(count // 2)

    def make(self, unique: int) -> None:
        """Puts a text there that was never there before."""
        line = f"        make install ROUND={unique}"
        self._path.write_text(self._original.replace("        make install", line, 1))

    def undo(self) -> None:
        """Puts the first text back, with the time of its neighbour: ninja goes by that alone."""
        if self._path.read_text() != self._original:
            self._path.write_text(self._original)
            times = self._beside.stat()
            os.utime(self._path, ns=(times.st_atime_ns, times.st_mtime_ns))
