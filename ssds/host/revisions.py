"""A workspace as it was at a revision: read out of git into a folder of its own.

The user's index, tree and hooks are not touched: a private index is filled, and its files are
written elsewhere, with the line ends and filters that a checkout would give them. No network.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ssds.core.errors import Refused, UnavailableError, UsageError
from ssds.core.text import shown
from ssds.host.git import git_environment
from ssds.host.local import remove_folder
from ssds.host.process import run

TIMEOUT_S = 600.0
_YOUNG_S = 60.0
FILES_LIMIT = 2_000_000
SIZE_LIMIT_BYTES = 8 << 30
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ENTRY = re.compile(rb"(\d{6}) (\w+) ([0-9a-f]+) +(\d+|-)\t(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A commit of the checkout that a workspace is in.

    Attributes:
        name: as the user wrote it.
        commit: the full id.
        top: the checkout's top folder.
        prefix: the workspace below it, with a slash at the end, or the empty string.
    """

    name: str
    commit: str
    top: str
    prefix: str


def find_revision(folder: str, name: str) -> Revision:
    """Returns the commit that ``name`` means in the checkout around ``folder``.

    ``A...B`` is where B left A (git's merge base); ``A...`` is where the present HEAD left it.

    Raises:
        UsageError: E130 no checkout; E131 no such revision.
        UnavailableError: git is not installed, or does not answer; E133 git refuses.
    """
    code, text = _git(folder, "rev-parse", "--show-toplevel", "--show-prefix")
    lines = text.decode("utf-8", "surrogateescape").split("\n")
    if code or len(lines) < 2 or not lines[0]:
        why = shown(lines[0])
        if "not a git repository" in why or not why:
            raise UsageError(
                f"{folder} is not in a git checkout",
                hint="--since compares revisions of git: run `git init` and commit, or clone.",
                code="E130",
            )
        raise _refused(why)
    ours, dots, theirs = name.partition("...")
    commit = _commit(folder, ours)
    if dots:
        commit = _merge_base(folder, commit, _commit(folder, theirs or "HEAD"), name)
    return Revision(name=name, commit=commit, top=lines[0], prefix=lines[1])


def _commit(folder: str, name: str) -> str:
    code, text = 1, b""
    if name and "\0" not in name:
        words = ("--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        code, text = _git(folder, "rev-parse", *words)
    commit = text.decode("ascii", "replace").strip()
    if code or not _COMMIT.fullmatch(commit):
        _, answer = _git(folder, "rev-parse", "--is-shallow-repository")
        shallow = answer.strip() == b"true"
        raise UsageError(
            f"git knows no revision {shown(name)!r} here",
            hint="This clone is shallow: fetch more of its history (`git fetch --unshallow`), and "
            "the branch that is meant."
            if shallow
            else "`git log --oneline` and `git branch --all` list what there is.",
            code="E131",
        )
    return commit


def _merge_base(folder: str, ours: str, theirs: str, name: str) -> str:
    _, text = _git(folder, "merge-base", ours, theirs)
    commit = text.decode("ascii", "replace").strip()
    if not _COMMIT.fullmatch(commit):
        raise UsageError(
            f"the two sides of {shown(name)!r} have no common history here",
            hint="Fetch more of it (`git fetch --unshallow`), or compare with `A..B`.",
            code="E131",
        )
    return commit


def read_file_at(revision: Revision, name: str, limit_bytes: int) -> bytes | None:
    """Returns a file of the workspace at a revision; None where it has none, or one too large."""
    found = next(_list(revision, (name,)), None)
    if found is None or found.size_bytes > limit_bytes:
        return None
    code, data = _git(revision.top, "cat-file", "blob", found.blob)
    return None if code else data


def write_out(revision: Revision, names: Iterable[str], folder: str) -> str:
    """Writes files and folders of the workspace at a revision below ``folder``.

    Args:
        names: relative to the workspace; what is not there is left out.
        folder: an empty folder.

    Returns:
        The workspace's folder below ``folder``.

    Raises:
        Refused: E134, too many files or bytes.
        UnavailableError: E133, git refuses or lacks an object.
    """
    paths, size_bytes = [], 0
    for entry in _list(revision, tuple(names)):
        paths.append(entry.path)
        size_bytes += entry.size_bytes
        if len(paths) > FILES_LIMIT or size_bytes > SIZE_LIMIT_BYTES:
            raise Refused(
                f"the catalog at {shown(revision.name)} is too large to be compared",
                hint=f"Limits: {FILES_LIMIT} files, {SIZE_LIMIT_BYTES >> 30} GiB.",
                code="E134",
            )
    out = os.path.join(folder, "tree")
    os.makedirs(os.path.join(out, revision.prefix), exist_ok=True)
    index = os.path.join(folder, "index")
    _good(revision.top, "read-tree", "--no-sparse-checkout", revision.commit, index=index)
    words = ("checkout-index", "--force", "-z", "--stdin", f"--prefix={out}/")
    _good(revision.top, *words, index=index, stdin=b"\0".join(paths))
    return os.path.normpath(os.path.join(out, revision.prefix))


@contextlib.contextmanager
def scratch(folder: str) -> Iterator[str]:
    """Gives an empty folder below ``folder``, or below the system's where that cannot be written.

    It is removed at the end; what killed runs left beside it is removed at the beginning.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        _sweep(folder)
        own = tempfile.mkdtemp(dir=folder)
    except OSError:
        own = tempfile.mkdtemp(prefix="ssds-since-")
    handle = os.open(own, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # there may be no locks here
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield own
    finally:
        remove_folder(own)
        os.close(handle)


def _sweep(folder: str) -> None:
    """Removes what nobody holds; one that was made this minute may not be held yet."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if time.time() - os.fstat(handle).st_ctime > _YOUNG_S:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    remove_folder(path)
            finally:
                os.close(handle)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    path: bytes
    blob: str
    size_bytes: int


def _list(revision: Revision, names: Sequence[str]) -> Iterator[_Entry]:
    """Gives the files and links below the named paths; what another repository holds is none."""
    paths = [f"{revision.prefix}{name}" for name in names]
    words = ("ls-tree", "-r", "-l", "-z", "--full-tree", revision.commit, "--", *paths)
    for line in _good(revision.top, *words).split(b"\0"):
        match = _ENTRY.fullmatch(line)
        if match and match[2] == b"blob":
            size = int(match[4]) if match[4].isdigit() else 0
            yield _Entry(path=match[5], blob=match[3].decode("ascii"), size_bytes=size)


def _good(folder: str, *words: str, index: str = "", stdin: bytes = b"") -> bytes:
    code, data = _git(folder, *words, index=index, stdin=stdin)
    if code:
        raise _refused(shown(data.decode("utf-8", "replace").split("\n")[0][:300]))
    return data


def _refused(why: str) -> UnavailableError:
    return UnavailableError(
        f"git refuses: {why}",
        hint="Run `git fsck` and `git status` there. A partial clone lacks files of old revisions: "
        "fetch them first.",
        code="E133",
    )


def _git(
    folder: str, *words: str, index: str = "", stdin: bytes = b"", timeout_s: float = TIMEOUT_S
) -> tuple[int, bytes]:
    """Runs git; returns its exit code, and its output or, where it failed, what it complains of."""
    complaints = bytearray()
    done = run(
        (
            "git",
            "--no-pager",
            *("-c", "core.fsmonitor=false"),
            *("-c", "core.hooksPath=/dev/null"),
            *("-c", "core.quotePath=false"),
            *words,
        ),
        cwd=folder,
        env={**git_environment(), **({"GIT_INDEX_FILE": index} if index else {})},
        stdin=stdin,
        timeout_s=timeout_s,
        log=lambda data: complaints.extend(data[: 65536 - len(complaints)]),
        merge_errors=False,
    )
    if done.timed_out:
        raise UnavailableError(
            f"git did not answer within {timeout_s:.0f} s", hint="Try again; check the disk."
        )
    if done.returncode:
        return done.returncode, done.stdout + bytes(complaints)
    return 0, done.stdout
