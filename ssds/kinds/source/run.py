"""Brings a source's bytes into the store."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ssds.core.errors import IntegrityError, InvalidValue
from ssds.core.pins import GitPlace, PinnedFile
from ssds.host import local
from ssds.host.git_fetch import GitFetch
from ssds.kinds.api import Bench, Outcome
from ssds.kinds.source.git import fetch_archive
from ssds.packages.wire import file_from_json
from ssds.store.fetch import fetch_files


def run(bench: Bench) -> Outcome:
    """Fetches the file that the node's slice names by sha256, or makes it from its commit again.

    Raises:
        UnavailableError, IntegrityError: no place gives the bytes.
    """
    node = bench.action.node
    file = file_from_json(node.hints.get("file", {}))
    if str(file.digest) != node.slice.get("sha256"):
        raise InvalidValue(f"{node.id.label}: its hints name another file than its slice")
    place = node.hints.get("git")
    if isinstance(place, Mapping) and not bench.store.blobs.has(file.digest):
        git = GitPlace(
            commit=str(place["commit"]),
            tree=str(place["tree"]),
            folder=str(place["folder"]),
            empty_submodules=place["empty_submodules"] is True,
        )
        _from_commit(bench, file, git)
    else:
        fetch_files(bench.store, (file,), bench.mirrors, bench.say, stopping=bench.stopping)
    return Outcome(outputs={"file": file.digest})


def _from_commit(bench: Bench, file: PinnedFile, place: GitPlace) -> None:
    bench.say(f"fetching commit {place.commit[:12]}")
    folder, path = os.path.join(bench.folder, "git"), os.path.join(bench.folder, "archive")
    local.make_folder(folder)
    found = fetch_archive(place, file.urls, GitFetch(folder, bench.mirrors), path)
    if found != file.digest:
        raise IntegrityError(
            f"the archive of commit {place.commit} is {found}, not the locked {file.digest}",
            code="F044",
            hint="Renew the pin: ssds lock --upgrade sources.",
        )
    bench.store.blobs.adopt(path, found)
