"""Locks of other machines: git calls ``ssds lock merge``, or folders of locks are joined."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys

from ssds.core.errors import EnvironmentProblem, Refused, UsageError
from ssds.host.files import atomic_write, locked, remove_file
from ssds.host.git import READ_S, in_checkout, run_git
from ssds.lock.merge import merge_files
from ssds.lock.read import DATA_FOLDER
from ssds.workspace import LOCK_FOLDER, Workspace

ATTRIBUTE = f"{LOCK_FOLDER}/*.lock.json merge=ssds-lock"
DATA_ATTRIBUTE = f"{LOCK_FOLDER}/{DATA_FOLDER}/*.lock.json merge=ssds-lock"
SUFFIX = ".lock.json"
_ATTRIBUTES = ".gitattributes"


def install(workspace: Workspace) -> list[str]:
    """Returns what was changed; nothing where all was as it should be.

    Raises:
        UsageError: E225, the workspace is in no git checkout.
        EnvironmentProblem: E226, git refuses.
    """
    if not in_checkout(workspace.root):
        raise UsageError(
            f"{workspace.root} is in no git checkout", hint="Run `git init` first.", code="E225"
        )
    done = []
    path = os.path.join(workspace.root, _ATTRIBUTES)
    text = ""
    if os.path.exists(path):
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
    for line in (ATTRIBUTE, *([DATA_ATTRIBUTE] if workspace.has_data else [])):
        if line not in text.splitlines():
            text += ("" if not text or text.endswith("\n") else "\n") + line + "\n"
            atomic_write(path, text.encode("utf-8", "surrogateescape"), point="attributes")
            done.append(f"{_ATTRIBUTES}: {line}")
    ssds = shutil.which("ssds")
    program = "ssds" if ssds else f"{shlex.quote(sys.executable)} -m ssds"
    for key, value in (
        ("merge.ssds-lock.name", "ssds locks"),
        ("merge.ssds-lock.driver", f"{program} lock merge %O %A %B --name %P"),
    ):
        known = run_git(workspace.root, "config", "--local", "--get", key, timeout_s=READ_S)
        if known.stdout.decode(errors="replace").rstrip("\n") == value:
            continue
        told = run_git(workspace.root, "config", "--local", key, value, timeout_s=READ_S)
        if told.returncode:
            raise EnvironmentProblem(
                f"git cannot note {key} in the configuration of this clone",
                hint="Check the clone's owner.",
                code="E226",
            )
        done.append(f"git config {key} {value!r}")
    return done


def join(workspace: Workspace, folders: tuple[str, ...]) -> list[str]:
    """Joins lock files that other machines made of this checkout's; returns what changed.

    The checkout's own file, as it is now, is the common ancestor of all; what an apply writes
    into it meanwhile is joined too (C20).

    Raises:
        UsageError: E227, a folder holds no lock file.
        Refused: two machines changed one thing in two ways; nothing was written then.
        InputError: a file is no sound lock.
    """
    found: dict[str, list[str]] = {}
    for folder in folders:
        names = _lock_files(folder)
        if not names:
            raise UsageError(
                f"{folder} holds no lock file", hint="Name folders with *.lock.json.", code="E227"
            )
        for name in names:
            found.setdefault(name, []).append(os.path.join(folder, name))
    own = {name: os.path.join(workspace.lock_folder, name) for name in sorted(found)}
    bases = {name: _bytes(path) for name, path in own.items()}
    changed = []
    with contextlib.ExitStack() as guards:
        for name in own:
            guards.enter_context(locked(workspace.guard(name.replace("/", "-"))))
        results = {n: _joined(workspace, n, bases[n], found[n]) for n in own}
        for name, data in results.items():
            if data != _bytes(own[name]):
                atomic_write(own[name], data, point="lock-join")
                changed.append(f"{LOCK_FOLDER}/{name}")
    workspace.forget_locks()
    return changed


def _lock_files(folder: str) -> list[str]:
    """Returns the lock files in a folder, and those of data sets below it, by their paths in it."""
    found = []
    for inner in ("", f"{DATA_FOLDER}/"):
        place = os.path.join(folder, inner)
        names = sorted(os.listdir(place)) if os.path.isdir(place) else []
        found += [inner + name for name in names if name.endswith(SUFFIX)]
    return found


def _joined(workspace: Workspace, name: str, base: bytes, paths: list[str]) -> bytes:
    """Returns one lock file joined with its states elsewhere, each against ``base``."""
    folder = os.path.join(workspace.state_folder, "joining")
    sofar, before = os.path.join(folder, name), os.path.join(folder, f"{name}.base")
    own = _bytes(os.path.join(workspace.lock_folder, name))
    try:
        atomic_write(before, base, point="lock-joining")
        atomic_write(sofar, own or _bytes(paths[0]), point="lock-joining")
        for path in paths:
            try:
                start = before if base else os.devnull
                data = merge_files(start, sofar, path, name=f"{LOCK_FOLDER}/{name}")
            except Refused as error:
                error.args = (f"{path}: {error.message}",)
                raise
            atomic_write(sofar, data, point="lock-joining")
        return _bytes(sofar)
    finally:
        for path in (sofar, before):
            remove_file(path, point="lock-joining")


def _bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""
