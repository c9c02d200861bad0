"""Made catalogs in git repositories, and clones of them, for tests of carried plan indexes."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssds.cli.app import run

ROOT = Path(__file__).resolve().parent.parent
COUNT = 10
WHO = {
    "GIT_AUTHOR_NAME": "Ann",
    "GIT_AUTHOR_EMAIL": "ann@example.org",
    "GIT_COMMITTER_NAME": "Ann",
    "GIT_COMMITTER_EMAIL": "ann@example.org",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}
RECIPE = "catalog/bam-sort-000000/recipe.yaml"
OTHER = "catalog/vcf-count-000001/recipe.yaml"


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def ssds(folder: Path, *arguments: str) -> Ended:
    """Runs the command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(["-C", str(folder), *arguments])
    return Ended(code=code, out=out.getvalue(), err=err.getvalue())


def good(folder: Path, *arguments: str) -> Ended:
    """Runs a command that must exit with 0."""
    ended = ssds(folder, *arguments)
    assert ended.code == 0, ended
    return ended


def git(folder: Path, *words: str, **more: str) -> str:
    """Runs git as Ann, without anybody's settings."""
    done = subprocess.run(
        ["git", *words],
        cwd=folder,
        env={**os.environ, **WHO, **more},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"git {' '.join(words)}: {done.stderr}"
    return done.stdout.strip()


def make(folder: Path, count: int = COUNT, *, objects: str = "sha1") -> Path:
    """Makes a released catalog in a repository of its own; its store is not committed."""
    program = ROOT / "benchmarks/make_catalog.py"
    subprocess.run(
        [sys.executable, str(program), str(count), str(folder)], capture_output=True, check=True
    )
    (folder / ".gitignore").write_text(".ssds/\nstore/\n")
    git(folder, "init", "-q", "-b", "main", f"--object-format={objects}")
    commit(folder, "start")
    return folder


def commit(folder: Path, message: str) -> None:
    """Commits everything."""
    git(folder, "add", "--all")
    git(folder, "commit", "-q", "-m", message)


def clone(source: Path, folder: Path, *options: str) -> Path:
    """Returns a fresh clone."""
    git(source.parent, "clone", "-q", *options, str(source), str(folder))
    return folder


def import_json(folder: Path, source: Path, *options: str) -> dict[str, Any]:
    """Imports, and returns what was found."""
    found: dict[str, Any] = json.loads(
        good(folder, "index", "import", str(source), "--json", *options).out
    )
    return found


def check_law(folder: Path, arguments: Sequence[str] = ()) -> str:
    """Checks that the plan with the index is that without it, twice; returns it."""
    plain = ssds(folder, "plan", "--no-index", *arguments)
    for _ in range(2):
        planned = ssds(folder, "plan", *arguments)
        assert (planned.code, planned.out) == (plain.code, plain.out)
    return plain.out


def swap(path: Path, old: str, new: str) -> None:
    """Replaces text in a file by other text of the same length, in place."""
    assert len(old) == len(new)
    data = path.read_bytes()
    assert old.encode() in data
    path.write_bytes(data.replace(old.encode(), new.encode()))


def restore_times(path: Path, before: os.stat_result) -> None:
    """Gives a file the modification time that it had."""
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
