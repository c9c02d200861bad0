"""A small released workspace for tests of the plan index, and the law that they all end with.

The command line runs in this process, so that the shortest way (``cli/fast.py``) is tried too. All
is real but the machine's ability to build, which a plan without work does not ask for.
"""

from __future__ import annotations

import contextlib
import difflib
import gc
import io
import json
import os
import shutil
import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import laws_bench
from laws_catalogs import AMD64, ARM64, dump, write_files, write_shared

from ssds.cli import indexed, main, planning
from ssds.graph.index import hot, rows
from ssds.graph.index.changes import Changes
from ssds.graph.index.groups import Groups
from ssds.graph.index.layout import FILE_NAME, open_index
from ssds.workspace import Workspace

CALM_S = 0.07
"""After so long a file's times are trusted (``rows._FINE_NS``)."""
RANDOM_FREE = {"summary": "words", "licenses": ["MIT"], "platforms": {AMD64: "required"}}


class _First:
    """Chooses the first of everything; ``write_files`` asks for a choice."""

    def choice(self, found: Any) -> Any:
        return found[0]


RECIPES: dict[str, dict[str, Any]] = {
    "ants": {
        "versions": {"1.0": {}, "2.0": {"deploy": {"environment": {"SECOND": "yes"}}}},
        "platforms": {AMD64: "required", ARM64: "optional"},
        "base": "deb",
        "sources": {"ants-0": {"deb-src": "ants/1.0-1"}},
        "build": [
            {"copy": {"local": "files", "to": "/o/"}},
            {"run": {"script": "true", "sources": ["ants-0"]}},
        ],
        "icon": "icon.svg",
        "publish": ["local"],
    },
    "bwa": {
        "version": "1.0",
        "base": {"recipe": "ants", "version": ">=1.0"},
        "build": [{"run": {"script": "make"}}],
    },
    "cat12": {
        "version": "1.0",
        "base": "slim",
        "build": [{"copy": {"local": "one.conf", "to": "/etc/"}}],
        "scan": {
            "policy": "strict",
            "waivers": [
                {"id": "CVE-2023-1000", "package": "dash", "reason": "not reached",
                 "owner": "alpha", "until": "2036-06-30"}
            ],
        },
    },
    "dcm": {
        "version": "1.0",
        "base": "deb",
        "build": [
            {
                "copy": {
                    "recipe": "cat12",
                    "version": "1.0",
                    "paths": ["/usr/bin/cat12"],
                    "to": "/b/",
                }
            },
            {"copy": {"local": "files/deep", "to": "/d/"}},
        ],
    },
}  # fmt: skip


def recipe(name: str) -> dict[str, Any]:
    """Returns the document of one of the recipes, or of a further one."""
    own = RECIPES.get(name, {"version": "1.0", "base": "deb", "build": [{"run": "true"}]})
    tests = [{"name": "t", "run": "echo x", "stdout": ["x"]}]
    deploy = {"commands": [name]}
    return {"name": name, **RANDOM_FREE, **own, "deploy": deploy, "tests": tests}


def make(folder: Path, *, released: bool = True) -> None:
    """Makes the workspace ``folder/workspace`` and its store, locked and applied."""
    root = folder / "workspace"
    write_shared(root)
    for name in RECIPES:
        write_files(root / "catalog" / name, _First())  # type: ignore[arg-type]
        (root / "catalog" / name / "files/link").unlink()  # what has links is read every time
        dump(root / "catalog" / name / "recipe.yaml", recipe(name))
    laws_bench.lock(root)
    if released:
        laws_bench.apply_plan(root)


@dataclass(frozen=True)
class Said:
    """What a plan said: exit code, the JSON value (None after an error), and the other stream."""

    code: int
    plan: Any
    err: str
    out: str = field(compare=False, default="")

    @property
    def warnings(self) -> list[str]:
        return [line for line in self.err.splitlines() if "plan index" in line]

    @property
    def without_warnings(self) -> Said:
        """The same without what is said of the index itself."""
        rest = [line for line in self.err.splitlines() if "plan index" not in line]
        return Said(code=self.code, plan=self.plan, err="\n".join(rest), out=self.out)


def run(*arguments: str) -> Said:
    """Runs ``ssds`` here."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(arguments))
        gc.collect()  # closes the store, as the end of a process does
    text = out.getvalue()
    value = None
    with contextlib.suppress(ValueError):
        value = json.loads(text)
    return Said(code=code, plan=value, err=err.getvalue(), out=text)


class Bench:
    """One workspace and its index."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "workspace"
        self.index = self.root / ".ssds" / FILE_NAME

    def path(self, name: str) -> Path:
        return self.root / name

    def plan(self, *more: str) -> Said:
        """Plans with the index."""
        return run("-C", str(self.root), "plan", "--json", "--detailed-exitcode", *more)

    def whole(self, *more: str) -> Said:
        """Plans without it."""
        return self.plan("--no-index", *more)

    def text(self, *more: str) -> Said:
        return run("-C", str(self.root), "plan", *more)

    def is_hot(self) -> bool:
        """Whether the shortest way answers: the index knows all and trusts all of it."""
        return hot.printed(str(self.root), str(self.index), as_json=True) is not None

    def warm(self) -> Bench:
        """Makes an index in which every file's times are trusted."""
        time.sleep(CALM_S)
        self.plan()
        return self

    def check(self) -> Said:
        """The law: with the index the plan is what it is without; twice, and once it is calm."""
        first = self.plan()
        wanted = self.whole()
        expect(first.without_warnings, wanted.without_warnings, "with the index")
        again = self.plan()
        expect(again, wanted, "with the index that this plan wrote")
        expect(self.text(), self.text("--no-index"), "as text")
        assert_no_traceback(first, again)
        return first

    def check_calm(self) -> Said:
        """The law, and again after a while, when no time stamp is young any more."""
        first = self.check()
        time.sleep(CALM_S)
        self.check()
        return first


def keep_index(root: Path) -> None:
    """Plans and keeps an index in which every file's times are trusted."""
    time.sleep(CALM_S)
    indexed.deliver(Workspace.open(str(root)), planning.Asked())


def looked(root: Path) -> Changes:
    """Returns what a look finds changed since ``keep_index``."""
    session = indexed.Session(Workspace.open(str(root)), planning.Asked())
    assert session.open()
    changes = session.look()
    assert changes is not None
    return changes


def expect(found: Said, wanted: Said, when: str) -> None:
    """Asserts that two plans say the same, and tells the lines that differ."""
    if found == wanted and found.out == wanted.out:
        return
    lines = [
        list(difflib.unified_diff(b.splitlines(), a.splitlines(), lineterm="", n=0))
        for a, b in ((found.out, wanted.out), (found.err, wanted.err))
    ]
    raise AssertionError(f"{when}: exit {found.code} for {wanted.code}; {lines}")


def assert_no_traceback(*said: Said) -> None:
    for one in said:
        assert "Traceback" not in one.err
        assert "E001" not in one.err, one.err


def copy(template: Path, target: Path) -> Bench:
    """Copies a workspace and its store; the index comes along, and none of its rows is true."""
    target.mkdir(parents=True, exist_ok=True)
    shutil.copytree(template / "workspace", target / "workspace", symlinks=True)
    (target / "store").mkdir()
    for entry in (template / "store").iterdir():
        if entry.name.startswith("claims.sqlite"):
            continue
        place = target / "store" / entry.name
        if entry.is_dir():
            shutil.copytree(entry, place, symlinks=True, copy_function=os.link)
        else:
            shutil.copy2(entry, place)
    with (
        contextlib.closing(sqlite3.connect(template / "store/claims.sqlite")) as known,
        contextlib.closing(sqlite3.connect(target / "store/claims.sqlite")) as own,
    ):
        known.backup(own)
    return Bench(target)


def untrue_rows(bench: Bench) -> list[str]:
    """Returns the paths whose rows in the index are not what is on the disk, for messages."""
    file = open_index(str(bench.index))
    if file is None:
        return ["no index"]
    groups = Groups.load(file)
    found = [f"flags {file.head[3]}"]
    for base, paths, known in zip(groups.bases, groups.paths, groups.rows, strict=True):
        for at, _ in rows.changed(os.path.join(bench.root, base), paths, known):
            found.append(f"{base}: {paths[at]!r}")
    return found
