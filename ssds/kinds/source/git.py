"""A commit as an archive in one form of our own: the same tree is the same bytes, always.

Names, contents, execute bits and links are in it; commit, times and owners are not, and none of
git's attributes is obeyed. So the digest depends on no version of git, and a new commit with the
same files changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace

from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError, InvalidValue, UnavailableError
from ssds.core.pins import GitPlace
from ssds.core.text import shown
from ssds.host.git_fetch import GitEntry, GitFetch
from ssds.host.mirrors import redacted
from ssds.oci.tarwriter import FOLDER, REGULAR, SYMLINK, Member, TarWriter

MTIME = 315_619_200
"""1980-01-02: zip files begin in 1980, and equal times make nothing look out of date."""
_LINK, _SUBMODULE = "120000", "160000"
_MODES = ("100644", "100664", "100755", _LINK)
_LINK_BYTES, _PATH_BYTES, _DEPTH = 4095, 1024, 64
_DAY_S = 86_400


def find(git: GitFetch, url: str, ref: str, place: GitPlace) -> tuple[GitPlace, int]:
    """Fetches what ``ref`` names now; returns where it is, and the commit's date in seconds.

    A date that lies in the future is 0: it may not become the image's time.
    """
    commit = git.find(url, ref)
    git.fetch(url, commit)
    date = git.date(commit)
    found = replace(place, commit=commit, tree=git.tree(commit))
    return found, date if date <= time.time() + _DAY_S else 0


def write_archive(git: GitFetch, url: str, place: GitPlace, path: str) -> tuple[Digest, int]:
    """Writes the archive of a fetched commit; returns its digest and size in bytes.

    Raises:
        UnavailableError: F057, the folder is not there.
        IntegrityError: F041, a name or link that no archive may hold; F045, a submodule.
    """
    entries = _below(git.entries(place.commit), place, url)
    submodules = [e for e in entries if e.mode == _SUBMODULE]
    if submodules and not place.empty_submodules:
        names = ", ".join(shown(e.path.decode("utf-8", "replace")) for e in submodules[:8])
        raise IntegrityError(
            f"{redacted(url)} has submodules, which are not fetched: {names}",
            code="F045",
            hint="Name each as a source of its own and write 'submodules: empty' here; "
            "or take a 'folder' without them.",
        )
    files = sorted((e for e in entries if e.mode != _SUBMODULE), key=lambda e: e.path)
    folders = {parent for e in entries for parent in _parents(e.path)}
    folders |= {e.path for e in submodules}
    _check(files, folders)
    with open(path, "wb") as stream:
        tar = TarWriter(stream)
        for folder in sorted(folders):
            tar.add(Member(name=folder, kind=FOLDER, mode=0o755, mtime=MTIME))
        for entry, content in zip(files, git.contents(files), strict=True):
            if entry.mode == _LINK:
                target = b"".join(content)
                _check_link(entry.path, target)
                tar.add(Member(name=entry.path, kind=SYMLINK, mode=0o777, mtime=MTIME, link=target))
                continue
            mode, size = (0o755 if entry.mode == "100755" else 0o644), entry.size_bytes
            member = Member(name=entry.path, kind=REGULAR, mode=mode, mtime=MTIME, size_bytes=size)
            tar.add(member, content)
        digest = tar.finish()
    return digest, tar.size_bytes


def fetch_archive(place: GitPlace, urls: Sequence[str], git: GitFetch, path: str) -> Digest:
    """Writes the archive of a pinned commit to ``path``; returns its digest.

    Raises:
        UnavailableError: no address has the commit.
        IntegrityError: F044, the commit has another tree than the pinned one.
    """
    if not urls:
        raise InvalidValue("a pinned commit names no repository")
    url = urls[0]
    git.fetch(url, place.commit)
    tree = git.tree(place.commit)
    if tree != place.tree:
        raise IntegrityError(
            f"commit {place.commit} of {redacted(url)} has tree {tree}, not {place.tree}",
            code="F044",
            hint="Never accept it blindly: check with upstream; then renew the pin: ssds lock.",
        )
    return write_archive(git, url, place, path)[0]


def _below(entries: Iterable[GitEntry], place: GitPlace, url: str) -> list[GitEntry]:
    """Returns the entries of the chosen folder, with paths from there."""
    if not place.folder:
        return list(entries)
    prefix = place.folder.encode() + b"/"
    found = [replace(e, path=e.path[len(prefix) :]) for e in entries if e.path.startswith(prefix)]
    if not found:
        raise UnavailableError(
            f"{redacted(url)} has no folder {place.folder!r} in commit {place.commit}",
            code="F057",
            hint="Correct 'folder'; it is relative to the top of the repository.",
        )
    return found


def _parents(path: bytes) -> Iterator[bytes]:
    while b"/" in path:
        path = path.rpartition(b"/")[0]
        yield path


def _check(files: Sequence[GitEntry], folders: Container[bytes]) -> None:
    """Raises IntegrityError for what could not be unpacked, or not as it stands there."""
    before = b""
    for entry in files:
        path = entry.path
        parts = path.split(b"/")
        why = ""
        if any(p in (b"", b".", b"..") or p.lower() == b".git" for p in parts):
            why = "is no plain path"
        elif b"\\" in path or not _is_text(path):
            why = "holds a backslash, a control character or is not UTF-8"
        elif len(path) > _PATH_BYTES or len(parts) > _DEPTH or any(len(p) > 255 for p in parts):
            why = "is too long a path"
        elif path == before or path in folders:
            why = "is there twice"
        elif entry.mode not in _MODES:
            why = f"has the mode {entry.mode}"
        elif entry.mode == _LINK and entry.size_bytes > _LINK_BYTES:
            why = "is no usable link"
        if why:
            raise _refused(path, why)
        before = path


def _is_text(path: bytes) -> bool:
    try:
        return path.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _check_link(path: bytes, target: bytes) -> None:
    depth = path.count(b"/")
    for part in target.split(b"/"):
        depth += -1 if part == b".." else part not in (b"", b".")
        if depth < 0:
            break
    if not target or b"\0" in target or target.startswith(b"/") or depth < 0:
        raise _refused(path, "is a link out of the tree")


def _refused(path: bytes, why: str) -> IntegrityError:
    return IntegrityError(
        f"{shown(path.decode('utf-8', 'replace'))[:200]!r} {why}",
        code="F041",
        hint="The repository cannot be a source as it stands; take a 'folder' without this name.",
    )
