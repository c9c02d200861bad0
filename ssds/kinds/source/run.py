"""Brings a source's bytes into the store."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace

from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError, InvalidValue
from ssds.core.model import Node
from ssds.core.pins import GitPlace, PinnedFile
from ssds.host import local
from ssds.host.git_fetch import GitFetch
from ssds.host.mirrors import Mirrors
from ssds.kinds.api import Bench, Outcome
from ssds.kinds.source.git import fetch_archive
from ssds.oci.blobs import Blobs
from ssds.packages.wire import file_from_json
from ssds.store.fetch import fetch_files, fetch_what_can_be_had, no_stop
from ssds.store.store import Store


def run(bench: Bench) -> Outcome:
    """Fetches the file that the node's slice names by sha256, or makes it from its commit again.

    Raises:
        UnavailableError, IntegrityError: no place gives the bytes.
    """
    node = bench.action.node
    digest = bring(
        node, bench.store, bench.mirrors, bench.folder, bench.say, stopping=bench.stopping
    )
    return Outcome(outputs={"file": digest})


def bring(
    node: Node,
    store: Store,
    mirrors: Mirrors,
    folder: str,
    say: Callable[[str], None],
    *,
    stopping: Callable[[], bool] = no_stop,
) -> Digest:
    """Brings the file of a source node into the store; returns its digest.

    Args:
        folder: an empty one, for a repository.

    Raises:
        UnavailableError, IntegrityError: no place gives the bytes.
    """
    file = file_from_json(node.hints.get("file", {}))
    if str(file.digest) != node.slice.get("sha256"):
        raise InvalidValue(f"{node.id.label}: its hints name another file than its slice")
    place = node.hints.get("git")
    if not isinstance(place, Mapping):
        fetch_files(store, (file,), mirrors, say, stopping=stopping)
    elif not _from_mirrors(store, file, mirrors, say, stopping):
        git = GitPlace(
            commit=str(place["commit"]),
            tree=str(place["tree"]),
            folder=str(place["folder"]),
            empty_submodules=place["empty_submodules"] is True,
        )
        say(f"fetching commit {git.commit[:12]}")
        make_from_commit(store.blobs, file, git, mirrors, folder)
    return file.digest


def _from_mirrors(
    store: Store,
    file: PinnedFile,
    mirrors: Mirrors,
    say: Callable[[str], None],
    stopping: Callable[[], bool],
) -> bool:
    """Whether the archive of a commit is here, or a blob mirror gave it."""
    if not mirrors.blobs:
        return store.blobs.has(file.digest)
    known = replace(file, urls=())  # they name the repository, not the archive
    failed = fetch_what_can_be_had(store, (known,), mirrors, say, stopping=stopping)
    for error in failed.values():
        if error.code == "F044":
            say(f"warning: {error.message}")
    return not failed


def make_from_commit(
    blobs: Blobs, file: PinnedFile, place: GitPlace, mirrors: Mirrors, folder: str
) -> None:
    """Makes the archive of a pinned commit again; it is in ``blobs`` then.

    Raises:
        UnavailableError, IntegrityError: no address has the commit, or it gives other bytes.
    """
    repository, path = os.path.join(folder, "git"), os.path.join(folder, "archive")
    local.make_folder(repository)
    found = fetch_archive(place, file.urls, GitFetch(repository, mirrors), path)
    if found != file.digest:
        raise IntegrityError(
            f"the archive of commit {place.commit} is {found}, not the locked {file.digest}",
            code="F044",
            hint="Renew the pin: ssds lock --upgrade sources.",
        )
    blobs.adopt(path, found)
