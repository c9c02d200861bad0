"""Which files of a work tree git vouches for: their content is that of a blob, byte for byte.

git's word is taken only where it can be trusted. It compares a file's times, size and inode with
what it noted when it wrote the file; it does not where it was told not to look (assume-unchanged,
skip-worktree), and a blob is not what stands on the disk where something converts content on the
way (filters, ``ident``, encodings, replaced objects). Conversions of line ends change the size:
compare it with the blob's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ssds.core.errors import SsdsError
from ssds.host.git import READ_S, in_checkout, run_git
from ssds.host.process import Completed

DEFAULT_OBJECTS = "sha1"
_STRICT = (
    *("-c", "core.trustctime=true"),
    *("-c", "core.checkStat=default"),
    *("-c", "core.fileMode=true"),
)
_CONVERTING = ("filter", "ident", "working-tree-encoding")
_ATTRIBUTES = b".gitattributes"
_SECOND_NS = 1_000_000_000
_ENTRY = re.compile(
    rb"(.) (\d{6}) ([0-9a-f]{40}|[0-9a-f]{64}) (\d)\t([^\0]+)\0"
    rb"  ctime: (\d{1,10}):(\d{1,9})\n  mtime: (\d{1,10}):(\d{1,9})\n"
    rb"  dev: \d+\tino: \d+\n  uid: \d+\tgid: \d+\n  size: \d+\tflags: [0-9a-f]+\n"
)
_PLAIN = (b"100644", b"100755")
_TREE = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Blob(NamedTuple):
    """A file's content by git, and its times when git looked: they must be those of now.

    git itself compares whole seconds.
    """

    id: bytes
    modified_ns: int
    changed_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouched:
    """What git vouches for.

    Attributes:
        objects: how it names blobs: ``sha1`` or ``sha256``.
        blobs: path (relative to the folder that was asked for) → its blob.
        reason: why it vouches for nothing, or the empty string.
    """

    objects: str = DEFAULT_OBJECTS
    blobs: Mapping[bytes, Blob] = field(default_factory=dict)
    reason: str = ""


class _Silent(Exception):
    """git does not vouch; the text says why."""


def object_format(folder: str) -> str:
    """Returns how git names blobs in the checkout around ``folder``: ``sha1`` where unknown."""
    try:
        return _format(folder)[0]
    except (_Silent, SsdsError):
        return DEFAULT_OBJECTS


def tree_id(folder: str, path: str) -> str:
    """Returns the id of a folder's tree in the commit that is checked out, or ""."""
    if not in_checkout(folder):
        return ""
    words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"HEAD:./{path}")
    try:
        done = run_git(folder, *words, timeout_s=READ_S)
    except SsdsError:
        return ""
    text = done.text.strip()
    return text if not done.returncode and _TREE.fullmatch(text) else ""


def vouched_files(folder: str, names: Sequence[str]) -> Vouched:
    """Returns the files below ``names`` whose content on the disk git vouches for.

    A file that is not among them may be as it should or not: read it. Whoever compares a blob's
    id must also compare the file's size with the blob's, and its execute bit.

    Args:
        folder: any folder of a checkout.
        names: folders and files relative to it.
    """
    try:
        objects, prefix = _format(folder)
        return Vouched(objects=objects, blobs=_vouched(folder, prefix, names))
    except _Silent as silent:
        return Vouched(reason=str(silent))
    except SsdsError as error:
        return Vouched(reason=error.message)


def _format(folder: str) -> tuple[str, bytes]:
    """Returns the format of object names, and the folder below the checkout's top with a slash."""
    if not in_checkout(folder):
        raise _Silent("not a git checkout")
    words = ("rev-parse", "--is-inside-work-tree", "--show-object-format", "--show-prefix")
    lines = _good(run_git(folder, *words, timeout_s=READ_S)).split(b"\n")
    if len(lines) < 3 or lines[0] != b"true" or lines[1] not in (b"sha1", b"sha256"):
        raise _Silent("git does not know this folder as a checkout")
    return lines[1].decode(), lines[2]


def _vouched(folder: str, prefix: bytes, names: Sequence[str]) -> dict[bytes, Blob]:
    if _good(run_git(folder, "for-each-ref", "--count=1", "refs/replace/", timeout_s=READ_S)):
        raise _Silent("objects of this repository are replaced by others")
    places = [f":(literal){name}" for name in names]

    def ask(*words: str) -> bytes:
        return _good(run_git(folder, *_STRICT, *words, timeout_s=READ_S, literal=False))

    found = _listed(ask("ls-files", "-s", "-v", "-z", "--debug", "--", *places))
    words = ("--name-only", "-z", "--ignore-submodules=none", "--no-ext-diff")
    changed = ask("diff-files", *words, "--", *places, f":(top,glob)**/{_ATTRIBUTES.decode()}")
    for path in changed.split(b"\0"):
        if path.rpartition(b"/")[2] == _ATTRIBUTES:
            raise _Silent("attributes of files were changed and not committed")
        if path.startswith(prefix):
            found.pop(path[len(prefix) :], None)
    for path in _converted(folder, found):
        found.pop(path, None)
    return found


def _listed(text: bytes) -> dict[bytes, Blob]:
    """Returns the plain files that git looks after, of what ``ls-files`` says."""
    found: dict[bytes, Blob] = {}
    at = 0
    while entry := _ENTRY.match(text, at):
        at = entry.end()
        mark, mode, blob, stage, path, *times = entry.groups()
        if mark == b"H" and mode in _PLAIN and stage == b"0":
            changed_s, changed_ns, modified_s, modified_ns = map(int, times)
            found[path] = Blob(
                bytes.fromhex(blob.decode()),
                modified_s * _SECOND_NS + modified_ns,
                changed_s * _SECOND_NS + changed_ns,
            )
    if at != len(text):
        raise _Silent("this git describes files in another way")
    return found


def _converted(folder: str, paths: Collection[bytes]) -> list[bytes]:
    """Returns the paths that have, or ever say they have not, an attribute that converts."""
    if not paths:
        return []
    words = ("check-attr", "-z", "--stdin", *_CONVERTING)
    stdin = b"".join(path + b"\0" for path in paths)
    said = _good(run_git(folder, *words, timeout_s=READ_S, stdin=stdin)).split(b"\0")
    if len(said) != 3 * len(_CONVERTING) * len(paths) + 1:
        raise _Silent("git does not say how it converts files")
    if set(said[2::3]) == {b"unspecified"}:
        return []
    return [p for p, value in zip(said[::3], said[2::3], strict=False) if value != b"unspecified"]


def _good(done: Completed) -> bytes:
    if done.timed_out:
        raise _Silent(f"git did not answer within {READ_S:.0f} s")
    if done.returncode:
        raise _Silent("git refuses to look at this checkout")
    return done.stdout
