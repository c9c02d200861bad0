"""Workspaces for end-to-end tests: the real command line in processes of its own.

A *warm start* is a workspace whose base the product itself has locked and bootstrapped, and whose
first recipe it has released; it is made once per test run and copied for each test.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = "store: {path: ../store}\njobs: 1\n"
BASES = """\
debian-12:
  suite: bookworm
  components: [main]
  platforms: [linux/amd64]
"""
POLICIES = "default: {fail_on: [], unscanned: pass}\n"
_RECIPE = """\
name: %NAME%
version: "1.0"
summary: A tiny tool for tests.
licenses: [MIT]
platforms: {linux/amd64: required}
base: debian-12
build:
  - file: {path: /opt/%NAME%/words, content: "one\\n%NAME%\\n"}
  - env: {TINY_HOME: /opt/%NAME%}
  - run: |
      wc -l < /opt/%NAME%/words > /opt/%NAME%/count
      printf '#!/bin/sh\\nexec cat "$TINY_HOME/words"\\n' > /usr/local/bin/%NAME%
      chmod 755 /usr/local/bin/%NAME%
deploy:
  commands: [%NAME%]
tests:
  - name: prints its words
    run: %NAME%
    stdout_equals: "one\\n%NAME%"
    time_limit_s: 60
"""


def recipe(name: str) -> str:
    """Returns a recipe of two small layers, one environment step and one test; no network."""
    return _RECIPE.replace("%NAME%", name)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended; a negative code is a signal."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


@dataclass
class Site:
    """A workspace and its store in one folder."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def write(self, name: str, text: str) -> None:
        path = self.workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.workspace / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def recipe(self, name: str, old: str = "", new: str = "") -> None:
        """Writes the recipe ``name``, with one piece replaced."""
        text = recipe(name)
        assert old in text
        self.write(f"catalog/{name}/recipe.yaml", text.replace(old, new) if old else text)

    def _arguments(self, arguments: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "ssds", "-C", str(self.workspace), *arguments]

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SSDS_")}
        own = {"PYTHONPATH": str(ROOT), "SSDS_USER_SETTINGS": os.devnull}
        return {**kept, **own, **self.environment, **more}

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Starts ``ssds`` in a session of its own."""
        return subprocess.Popen(
            self._arguments(arguments),
            env=self._environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            cwd="/",
            preexec_fn=_with_usual_signals,
        )

    def run(self, *arguments: str, timeout_s: float = 120, **environment: str) -> Ended:
        process = self.start(*arguments, **environment)
        return finish(process, timeout_s)

    def good(self, *arguments: str, timeout_s: float = 120, **environment: str) -> Ended:
        """Runs ``ssds``, which must exit with 0."""
        ended = self.run(*arguments, timeout_s=timeout_s, **environment)
        assert ended.code == 0, f"ssds {' '.join(arguments)}: {ended.code}\n{ended.text}"
        return ended

    def plan(self, *arguments: str) -> dict[str, tuple[str, str]]:
        """Returns node → (verb, reason) of everything that is not reused."""
        ended = self.run("plan", "--json", *arguments)
        assert ended.code == 0, ended.text
        return {s["node"]: (s["verb"], s["reason"]) for s in json.loads(ended.out)["steps"]}

    def executed(self) -> set[str]:
        """Returns the nodes that the last apply ran to a result."""
        return {node for node, state in self.states().items() if state == "done"}

    def states(self) -> dict[str, str]:
        """Returns node → state of the last apply."""
        data = json.loads((self.workspace / ".ssds/last-apply.json").read_bytes())
        return {entry["node"]: entry["state"] for entry in data["nodes"]}

    def locks(self) -> dict[str, bytes]:
        """Returns the bytes of every lock file."""
        return {p.name: p.read_bytes() for p in sorted((self.workspace / "lockfiles").iterdir())}

    def lock(self, name: str) -> dict:
        """Returns the parsed lock of a recipe's version 1.0."""
        return json.loads((self.workspace / f"lockfiles/{name}@1.0.lock.json").read_bytes())

    def blob(self, digest: str) -> Path:
        return self.store / "blobs/sha256" / digest.partition(":")[2]

    def leftovers(self) -> list[str]:
        """Returns what killed writers left in the store."""
        places = [self.store / "scratch", *self.store.glob("trees/*/changes")]
        found = [str(p) for place in places for p in place.iterdir()]
        found += [str(p) for p in self.store.rglob(".ssds-tmp-*")]
        return found + [str(p) for p in self.store.glob("trees/*/*.new")]

    def processes(self) -> list[str]:
        """Returns the command lines of processes that name this folder and still run."""
        found = []
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                line = Path(entry.path, "cmdline").read_bytes().replace(b"\0", b" ")
                mounts = Path(entry.path, "mountinfo").read_bytes()
                here = os.fsencode(self.folder)
                if here in line or (here in mounts and mounts != _own_mounts()):
                    found.append(f"{entry.name} {line.decode(errors='replace')[:200]}")
        return found

    def await_quiet(self, timeout_s: float = 10.0) -> list[str]:
        """Waits until none of its processes is left; returns those that stay."""
        deadline = time.monotonic() + timeout_s
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def copy(self, target: Path, *, apart: bool = False) -> Site:
        """Copies cheaply: what is never changed in place is linked, all else copied.

        Args:
            apart: blobs are copied too: no other test's copy or removal makes them look young.
        """
        target.mkdir(parents=True)
        shutil.copytree(self.workspace, target / "workspace", symlinks=True)
        self.copy_store(target / "store", linked=("trees",) if apart else ("blobs", "trees"))
        for name in target.glob("workspace/.ssds/last-apply.json"):
            name.unlink()
        return Site(target, dict(self.environment))

    def copy_store(self, target: Path, linked: tuple[str, ...] = ()) -> None:
        """Copies the store as it rests, while other tests may run commands of its images."""
        target.mkdir()
        if os.stat(target).st_dev != os.stat(self.store).st_dev:
            linked = ()  # a hard link does not reach another disk
        for entry in sorted(self.store.iterdir()):
            if entry.name in ("scratch", "probe"):  # others may be at work in them
                (target / entry.name).mkdir()
            elif not entry.name.startswith("claims.sqlite"):
                options = "-al" if entry.name in linked else "-a"
                subprocess.run(["cp", options, str(entry), str(target)], check=True)
        with (
            contextlib.closing(sqlite3.connect(self.store / "claims.sqlite")) as known,
            contextlib.closing(sqlite3.connect(target / "claims.sqlite")) as own,
        ):
            known.backup(own)


def _with_usual_signals() -> None:
    """Undoes what ``nohup`` or a background job did: ssds heeds the signals that it was given."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _own_mounts() -> bytes:
    return Path("/proc/self/mountinfo").read_bytes()


def finish(process: subprocess.Popen[str], timeout_s: float = 120) -> Ended:
    """Waits for a command; one that does not end is killed and fails the test."""
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"it did not end within {timeout_s} s\n{out}{err}") from None
    return Ended(code=process.returncode, out=out, err=err)


def kill(process: subprocess.Popen[str], number: int = signal.SIGKILL) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)


def assert_no_traceback(ended: Ended) -> None:
    assert "Traceback" not in ended.text, ended.text
    assert "fault of ssds" not in ended.text, ended.text


def check_error(ended: Ended, *words: str, code: int = 1) -> None:
    """Asserts a clear error: the exit code, no traceback, a code, the words, and what to do."""
    assert_no_traceback(ended)
    assert ended.code == code, ended.text
    assert re.search(r"error\[[A-Z]\d{3}\]: \S", ended.err), ended.text
    for word in words:
        assert word in ended.text, f"{word!r} is not in\n{ended.text}"
    assert re.search(r"error\[[A-Z]\d{3}\]: [^\n]+(\n {4,}[^\n]+)*\n {2}\S", ended.err), (
        f"no hint in\n{ended.err}"
    )


def make_site(folder: Path) -> Site:
    """Makes a workspace with no recipe and an empty store."""
    site = Site(folder)
    site.write("ssds.yaml", SETTINGS)
    site.write("catalog/bases.yaml", BASES)
    site.write("catalog/policies.yaml", POLICIES)
    (site.workspace / "lockfiles").mkdir()
    return site


def make_warm(folder: Path) -> Site:
    """Makes the warm start: ``ground`` is released, ``tiny`` is locked only."""
    site = make_site(folder)
    site.recipe("ground")
    site.recipe("tiny")
    site.good("lock", timeout_s=600)
    site.good("apply", "--yes", "ground", timeout_s=300)
    return site


@contextlib.contextmanager
def once(folder: Path) -> Iterator[bool]:
    """Gives True to the first of several processes, False to later ones, one after another."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="utf-8") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        mark = folder / "done"
        first = not mark.exists()
        yield first
        mark.touch()
