"""What git knows of a checkout: who wrote a line, and files as they were at a revision.

Read-only, bounded in time, and without network: a partial clone fetches nothing here. What cannot
be known (no git, no checkout, another owner's folder, a shallow history) is simply not said.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ssds.core.errors import SsdsError, UnavailableError, UsageError
from ssds.core.patterns import pattern
from ssds.core.records import dataclass
from ssds.core.text import shown

if TYPE_CHECKING:
    from ssds.host.process import Completed

BLAME_S = 10.0
READ_S = 60.0
_SHORT = 7
_SUBJECT = 60
_AUTHOR = 40
_HEAD = pattern(r"([0-9a-f]{40}|[0-9a-f]{64}) \d+ \d+")
_ELSEWHERE = frozenset(
    {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_DIR",
        "GIT_GRAFT_FILE",
        "GIT_INDEX_FILE",
        "GIT_NAMESPACE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
    }
)
"""Variables that name another checkout; a hook of git sets them."""
_ID = pattern(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SIZE = pattern(r"[0-9]{1,15}\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class LineOrigin:
    """The commit that last changed a line; all texts are safe to show.

    Attributes:
        commit: the full commit id, or the empty string for a change that is not committed.
        author: the author's name, shortened.
        date: the author's date, ISO, UTC; empty where it is no date.
        subject: the first line of the message, shortened.
    """

    commit: str = ""
    author: str = ""
    date: str = ""
    subject: str = ""

    @property
    def short(self) -> str:
        """The abbreviated commit id, 7 characters."""
        return self.commit[:_SHORT]

    def __str__(self) -> str:
        if not self.commit:
            return "not committed yet"
        return f'{self.short}, {self.date}, {self.author}: "{self.subject}"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What is checked out.

    Attributes:
        commit: the full commit id, or the empty string where git knows none.
        dirty: some of the files that were asked for have changes that are not committed.
    """

    commit: str = ""
    dirty: bool = False


def in_checkout(folder: str) -> bool:
    """Whether ``folder`` or one above it holds ``.git``; starts no program.

    As git does it looks into none of ``GIT_CEILING_DIRECTORIES``.
    """
    folder = os.path.realpath(folder)
    ceilings = os.environ.get("GIT_CEILING_DIRECTORIES", "").split(os.pathsep)
    while not os.path.lexists(os.path.join(folder, ".git")):
        above = os.path.dirname(folder)
        if above in (folder, *(os.path.realpath(path) for path in ceilings if path)):
            return False
        folder = above
    return True


def line_origin(path: str, line: int, *, timeout_s: float = BLAME_S) -> LineOrigin | None:
    """Returns who last changed a line of a file in the working tree, or None where unknown.

    Args:
        path: the file's absolute path.
        line: from 1.
    """
    folder, name = os.path.split(path)
    if not in_checkout(folder):
        return None
    words = ("blame", "--porcelain", "--no-textconv", "--encoding=UTF-8", f"-L{line},{line}")
    try:
        done = run_git(folder, *words, "--", name, timeout_s=timeout_s)
        origin, boundary = _parse(done)
        if boundary and _is_shallow(folder, timeout_s):
            return None  # the true commit is not here
    except SsdsError:
        return None
    return origin


def _parse(done: Completed) -> tuple[LineOrigin | None, bool]:
    """Returns what ``git blame --porcelain`` says, and whether history ends there."""
    lines = done.text.split("\n")
    head = _HEAD.fullmatch(" ".join(lines[0].split(" ")[:3]))
    if done.returncode or done.timed_out or head is None:
        return None, False
    fields: dict[str, str] = {}
    for line in lines[1:]:
        if line.startswith("\t"):
            break
        name, _, value = line.partition(" ")
        fields.setdefault(name, value)
    if not head[1].strip("0"):
        return LineOrigin(), False
    origin = LineOrigin(
        commit=head[1],
        author=_cut(fields.get("author", ""), _AUTHOR),
        date=_date(fields.get("author-time", "")),
        subject=_cut(fields.get("summary", ""), _SUBJECT),
    )
    return origin, "boundary" in fields


def _cut(text: str, limit: int) -> str:
    text = shown(" ".join(text[: 4 * limit].split()))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _date(seconds: str) -> str:
    try:
        return dt.datetime.fromtimestamp(int(seconds[:20]), dt.UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return ""


def _is_shallow(folder: str, timeout_s: float) -> bool:
    done = run_git(folder, "rev-parse", "--is-shallow-repository", timeout_s=timeout_s)
    return done.text.strip() != "false"


def head_of(folder: str, paths: Sequence[str]) -> Head:
    """Returns the commit of the checkout that ``folder`` is in, and whether ``paths`` differ.

    Args:
        paths: files and folders, relative to ``folder``; new files in them count as changes.
    """
    if not in_checkout(folder):
        return Head()
    try:
        done = run_git(folder, "rev-parse", "--verify", "--quiet", "HEAD", timeout_s=READ_S)
        commit = done.text.strip()
        if done.returncode or not _ID.fullmatch(commit):
            return Head()
        words = ("status", "--porcelain", "--untracked-files=normal", "--", *paths)
        changed = run_git(folder, *words, timeout_s=READ_S)
    except SsdsError:
        return Head()
    return Head(commit=commit, dirty=bool(changed.returncode or changed.stdout))


def resolve_revision(folder: str, revision: str) -> str:
    """Returns the full id of the commit (or tree) that ``revision`` names.

    Raises:
        UsageError: E140 where ``folder`` is in no checkout, E141 for an unknown revision.
        UnavailableError: git is not installed, or did not answer.
    """
    if not in_checkout(folder):
        raise UsageError(
            f"{folder} is in no git checkout, so it has no revision {shown(revision)!r}",
            hint="Compare two files instead, or work in a clone.",
            code="E140",
        )
    name = revision.replace("\0", " ")  # a space is in no name of a revision
    words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{tree}}")
    done = _answered(run_git(folder, *words, timeout_s=READ_S))
    found = done.text.strip()
    if done.returncode or not _ID.fullmatch(found):
        raise UsageError(
            f"git knows no revision {shown(revision)!r} here",
            hint="Name a commit, a branch or a tag: `git log --oneline` lists commits. git also "
            "refuses a checkout that belongs to another user.",
            code="E141",
        )
    return found


def read_at(folder: str, tree: str, path: str, *, limit_bytes: int) -> bytes | None:
    """Returns a file's bytes in a tree; None where it has no such file.

    At most ``limit_bytes`` and one more are given, so that the caller sees that it is too large.

    Args:
        folder: any folder of the checkout; a ``path`` that begins with ``./`` is relative to it,
            others to the checkout's top.
        tree: what ``resolve_revision`` gave.
    """
    name = f"{tree}:{path}"
    if "\0" in name:
        return None
    size = _answered(run_git(folder, "cat-file", "-s", name, timeout_s=READ_S))
    if size.returncode or not _SIZE.fullmatch(size.text):
        return None
    if int(size.text) > limit_bytes:
        return b" " * (limit_bytes + 1)
    done = _answered(run_git(folder, "cat-file", "blob", name, timeout_s=READ_S))
    return None if done.returncode else done.stdout


def list_at(folder: str, tree: str, below: str) -> dict[str, str]:
    """Returns the files in a folder of a tree: name → git's id of its content, sorted by name.

    ``below`` is relative to ``folder``; where it is not there, there are no files.
    """
    done = _answered(run_git(folder, "ls-tree", "-z", f"{tree}:./{below}", timeout_s=READ_S))
    if done.returncode:
        return {}
    found = {}
    for entry in done.text.split("\0"):
        head, tab, name = entry.partition("\t")
        words = head.split(" ")
        if tab and len(words) == 3 and words[1] == "blob":
            found[name] = words[2]
    return dict(sorted(found.items()))


def is_content(data: bytes, identity: str) -> bool:
    """Whether git's id of a file's content is that of ``data``, as it stands."""
    import hashlib

    algorithm = hashlib.sha1 if len(identity) == 40 else hashlib.sha256
    found = algorithm(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
    return found == identity


def _answered(done: Completed) -> Completed:
    if done.timed_out:
        raise UnavailableError(
            f"git did not answer within {READ_S:.0f} s", hint="Try again; check the disk."
        )
    return done


def run_git(
    folder: str, *words: str, timeout_s: float, stdin: bytes = b"", literal: bool = True
) -> Completed:
    """Runs git on the checkout that ``folder`` is in, whatever the environment says of another.

    ``literal`` takes paths as they stand; without it git's pathspecs have their magic.
    """
    options = ("-c", "core.fsmonitor=false", "-c", "blame.showRoot=false")
    argv = ("git", "--no-pager", *options, *words)
    environment = git_environment()
    if not literal:
        del environment["GIT_LITERAL_PATHSPECS"]
    from ssds.host.process import run  # subprocess, where git is asked at all

    return run(
        argv, cwd=folder, env=environment, stdin=stdin, timeout_s=timeout_s, merge_errors=False
    )


def git_environment() -> dict[str, str]:
    """Returns the environment in which git knows no other checkout, no network and no questions."""
    kept = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    return {
        **kept,
        "LC_ALL": "C",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
    }
