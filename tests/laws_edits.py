"""Random edits of a workspace on disk, among them those that deceive whoever trusts time stamps.

An edit may break the catalog; what undoes that is kept and happens a few edits later. The clock is
set back by ``utime`` only: a file's ctime stays true, as it does for everybody.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from laws_catalogs import dump

Edit = Callable[["Editor"], str | None]
EDITS: dict[str, Edit] = {}
"""Every edit by name; it returns what it did, or None where there is nothing to edit. Those of
recipes are in ``laws_edits_catalog``, of what they share and of locks in ``laws_edits_shared``."""
PAST_NS = 1_500_000_000 * 10**9


def edit(function: Edit) -> Edit:
    """Puts an edit into the table."""
    EDITS[function.__name__] = function
    return function


class Editor:
    """Edits one workspace; ``random`` gives every choice."""

    def __init__(self, root: Path, random: Random) -> None:
        self.root = root
        self.random = random
        self.repairs: list[tuple[str, Callable[[], None]]] = []
        self.counter = 0

    def step(self, names: list[str] | None = None) -> str:
        """Does one edit, or undoes what an earlier one broke; returns what it did."""
        if self.repairs and self.random.random() < 0.5:
            return self.repair()
        for _ in range(50):
            name = self.random.choice(names or sorted(EDITS))
            done = self.do(name)
            if done:
                return done
        return "nothing"

    def do(self, name: str) -> str | None:
        """Does the edit of that name."""
        done = EDITS[name](self)
        return f"{name}: {done}" if done else None

    def repair(self) -> str:
        """Undoes the newest break."""
        told, undo = self.repairs.pop()
        undo()
        return f"repaired: {told}"

    def new(self) -> int:
        """Returns a number that no edit had before."""
        self.counter += 1
        return self.counter

    def recipes(self) -> list[Path]:
        """Returns the recipe files that can be read."""
        return [
            path
            for path in sorted((self.root / "catalog").glob("[a-z]*/recipe.yaml"))
            if path.is_file() and not self.broken(path)
        ]

    def broken(self, path: Path) -> bool:
        """Whether a break that is not undone yet concerns the file's folder."""
        folder = str(path.parent.relative_to(self.root))
        return any(told.split(" ")[0].startswith(folder) for told, _ in self.repairs)

    def recipe(self) -> Path | None:
        """Returns one recipe file."""
        found = self.recipes()
        return self.random.choice(found) if found else None

    def files(self, *patterns: str) -> list[Path]:
        """Returns the regular files that a plan may read."""
        found = [p for pattern in patterns for p in self.root.glob(pattern)]
        return sorted(p for p in found if p.is_file() and not p.is_symlink())

    def file(self, *patterns: str) -> Path | None:
        """Returns one of them; all inputs of a plan by default."""
        found = self.files(*(patterns or ("ssds.yaml", "catalog/**/*", "lockfiles/*.json")))
        return self.random.choice(found) if found else None

    def put(self, path: Path, data: bytes) -> str:
        """Writes a file in one of the ways in which programs do; returns which."""
        way = self.random.choice(("in place", "in place, mtime kept", "replaced", "mtime past"))
        before = path.stat() if path.exists() else None
        if way == "replaced" or before is None:
            fresh = path.with_name(f".{path.name}.new")
            fresh.write_bytes(data)
            if before is not None:
                os.chmod(fresh, before.st_mode & 0o7777)
                if self.random.random() < 0.5:
                    way = "replaced, mtime kept"
                    os.utime(fresh, ns=(before.st_atime_ns, before.st_mtime_ns))
            os.replace(fresh, path)
        else:
            with open(path, "r+b") as file:
                file.write(data)
                file.truncate()
            if way != "in place":
                moment = before.st_mtime_ns if way.endswith("kept") else PAST_NS
                os.utime(path, ns=(before.st_atime_ns, moment))
        return f"{path.relative_to(self.root)} {way}"

    def put_yaml(self, path: Path, value: object) -> str:
        """Writes YAML in one of those ways."""
        scratch = self.root / ".scratch.yaml"
        dump(scratch, value)
        data = scratch.read_bytes()
        scratch.unlink()
        return self.put(path, data)

    def breaks(self, path: Path, why: str, break_it: Callable[[], None]) -> str:
        """Breaks something and keeps what the file or folder was."""
        kept = self.root.parent / f"kept-{self.new()}"
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, kept, symlinks=True)
        else:
            shutil.copy2(path, kept, follow_symlinks=False)

        def undo() -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            remove(path)
            os.replace(kept, path)

        break_it()
        told = f"{path.relative_to(self.root)} {why}"
        self.repairs.append((told, undo))
        return told


def remove(path: Path) -> None:
    """Removes whatever is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


# What changes no meaning.


@edit
def touched(editor: Editor) -> str | None:
    path = editor.file()
    if path is None:
        return None
    moment = editor.random.choice((time.time_ns(), PAST_NS, 2 * PAST_NS))
    os.utime(path, ns=(moment, moment))
    return f"{path.relative_to(editor.root)} at {moment}"


@edit
def written_again(editor: Editor) -> str | None:
    path = editor.file()
    return editor.put(path, path.read_bytes()) if path else None


@edit
def line_ends(editor: Editor) -> str | None:
    path = editor.file("ssds.yaml", "catalog/*.yaml", "catalog/[a-z]*/recipe.yaml")
    if path is None:
        return None
    data = path.read_bytes()
    lf = data.replace(b"\r\n", b"\n")
    return editor.put(path, lf.replace(b"\n", b"\r\n") if lf == data else lf)


@edit
def comment(editor: Editor) -> str | None:
    path = editor.file("ssds.yaml", "catalog/*.yaml", "catalog/[a-z]*/recipe.yaml")
    if path is None:
        return None
    return editor.put(path, path.read_bytes() + f"# note {editor.new()}\n".encode())


@edit
def another_layout(editor: Editor) -> str | None:
    path = editor.file("lockfiles/*.json")
    if path is None:
        return None
    with contextlib.suppress(ValueError):
        value = json.loads(path.read_bytes())
        indent = editor.random.choice((None, 2, 4))
        return editor.put(path, json.dumps(value, indent=indent, ensure_ascii=True).encode())
    return None


@edit
def rights(editor: Editor) -> str | None:
    path = editor.file("catalog/**/*.yaml", "lockfiles/*.json")
    if path is None:
        return None
    os.chmod(path, editor.random.choice((0o600, 0o640, 0o644)))
    return str(path.relative_to(editor.root))


@edit
def checked_out_anew(editor: Editor) -> str | None:
    folder = editor.root / editor.random.choice(("catalog", "lockfiles"))
    aside = editor.root / ".aside"
    copy = editor.random.choice((shutil.copy, shutil.copy2))
    shutil.copytree(folder, aside, symlinks=True, copy_function=copy)
    shutil.rmtree(folder)
    os.replace(aside, folder)
    return f"{folder.name}, {'times kept' if copy is shutil.copy2 else 'new times'}"


# Files beside a recipe.


@edit
def data_of_equal_size(editor: Editor) -> str | None:
    path = editor.file("catalog/[a-z]*/files/**/data", "catalog/[a-z]*/*.conf")
    if path is None:
        return None
    data = bytearray(path.read_bytes())
    editor.random.shuffle(data)
    return editor.put(path, bytes(data))


@edit
def two_files_swapped(editor: Editor) -> str | None:
    recipe = editor.recipe()
    if recipe is None:
        return None
    found = editor.files(f"{recipe.parent.relative_to(editor.root)}/files/**/*")
    if len(found) < 2:
        return None
    one, two = editor.random.sample(found, 2)
    aside = one.with_name(".aside")
    os.replace(one, aside)
    os.replace(two, one)
    os.replace(aside, two)
    return f"{one.relative_to(editor.root)} and {two.relative_to(editor.root)}"


@edit
def execute_bit(editor: Editor) -> str | None:
    path = editor.file("catalog/[a-z]*/files/**/*", "catalog/[a-z]*/one.conf")
    if path is None:
        return None
    os.chmod(path, path.stat().st_mode ^ 0o111)
    return str(path.relative_to(editor.root))


@edit
def entry_added(editor: Editor) -> str | None:
    recipe = editor.recipe()
    deep = recipe.parent / "files/deep/er" if recipe else None
    if deep is None or not deep.is_dir():
        return None
    new = deep / f"new-{editor.new()}"
    choice = editor.random.choice(("file", "folder", "link", "hard link", "same times"))
    if choice == "folder":
        new.mkdir()
    elif choice == "link":
        new.symlink_to("data")
    elif choice == "hard link" and (recipe.parent / "one.conf").is_file():
        os.link(recipe.parent / "one.conf", new)
    else:
        before = deep.stat()
        new.write_bytes(b"new")
        if choice == "same times":
            os.utime(deep, ns=(before.st_atime_ns, before.st_mtime_ns))
    return f"{new.relative_to(editor.root)} {choice}"


@edit
def entry_removed(editor: Editor) -> str | None:
    found = sorted(editor.root.glob("catalog/[a-z]*/files/deep/er/new-*"))
    if not found:
        return None
    path = editor.random.choice(found)
    remove(path)
    return str(path.relative_to(editor.root))


@edit
def entry_renamed(editor: Editor) -> str | None:
    path = editor.file("catalog/[a-z]*/files/deep/er/*")
    if path is None:
        return None
    os.replace(path, path.with_name(f"new-{editor.new()}"))
    return str(path.relative_to(editor.root))


@edit
def link_turned(editor: Editor) -> str | None:
    found = [p for p in editor.root.glob("catalog/[a-z]*/files/link") if p.is_symlink()]
    if not found:
        return None
    path = editor.random.choice(sorted(found))
    target = editor.random.choice(["plain.txt", "tool.sh", "deep/er/data", "missing"])
    path.unlink()
    path.symlink_to(target)
    return f"{path.relative_to(editor.root)} -> {target}"


@edit
def file_becomes_link(editor: Editor) -> str | None:
    recipe = editor.recipe()
    if recipe is None:
        return None
    path = recipe.parent / "one.conf"
    if path.is_symlink():
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data)
    elif path.is_file():
        os.replace(path, path.with_name("real.conf"))
        path.symlink_to("real.conf")
    else:
        return None
    return str(path.relative_to(editor.root))


@edit
def link_target_edited(editor: Editor) -> str | None:
    path = editor.file("catalog/[a-z]*/real.conf")
    return editor.put(path, f"a = {editor.new() % 10}\n".encode()) if path else None


@edit
def copied_folder_becomes_link(editor: Editor) -> str | None:
    recipe = editor.recipe()
    if recipe is None:
        return None
    path = recipe.parent / "files/deep"
    other = recipe.parent / "deep-elsewhere"
    if path.is_symlink():
        path.unlink()
        os.replace(other, path)
    elif path.is_dir() and not other.exists():
        os.replace(path, other)
        path.symlink_to("../deep-elsewhere")
    else:
        return None
    return str(path.relative_to(editor.root))
