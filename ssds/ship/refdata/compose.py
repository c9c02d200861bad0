"""What a generation says of its data sets: links, modules, Galaxy's tables, CVMFS settings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial

from ssds.core.canonical import pretty_bytes
from ssds.core.errors import Refused
from ssds.core.records import replace
from ssds.lock.data import DataLock, data_lock_bytes
from ssds.recipe.data_model import HOME
from ssds.recipe.model import Site
from ssds.recipe.selectors import about, hits
from ssds.ship.generation import Deployed, Generation
from ssds.ship.naming import default_modules, folder_files, openers
from ssds.ship.refdata.choice import older_entries
from ssds.ship.refdata.content import has_set
from ssds.ship.refdata.entry import DataEntry
from ssds.ship.refdata.galaxy import galaxy_files
from ssds.ship.refdata.modules import data_facts, data_module_files, older_modules
from ssds.ship.tree import data_path, site_path

SERVER = "cvmfs/server.conf"
_DEFAULT_LIMIT_MIB = 1024


def add_data(
    made: Generation,
    site: Site,
    sets: Sequence[DataLock],
    before: Deployed,
    folder: str,
) -> None:
    """Adds the data sets of a site to its next generation.

    Args:
        before: what stands there; earlier contents stay loadable while their files are there.
        folder: the tree.

    Raises:
        Refused: D082 a release has the module's name, D083 as ``galaxy_files``.
    """
    taken = {entry.name for entry in made.entries}
    pairs: list[tuple[DataLock, DataEntry]] = []
    for lock in sets:
        if lock.id.name in taken:
            raise Refused(
                f"the data set {lock.id} and a release would both be the module {lock.id.name}",
                hint="Leave one of them out in the site's file.",
                code="D082",
            )
        entry = _entry(site, lock)
        facts = data_facts(site, lock, str(entry.digest))
        entry = replace(entry, folder=facts.place)
        made.own.files |= data_module_files(site, facts, entry)
        made.own.files[f"data/{entry.name}@{entry.version}.json"] = _about(lock, entry)
        made.own.links[f"data/{entry.name}/{entry.version}"] = entry.full
        path = f"locks/data/{lock.id.name}@{lock.id.version}.lock.json"
        made.own.attached[path] = partial(data_lock_bytes, lock)
        pairs.append((lock, entry))
    current = [entry for _, entry in pairs]
    made.data = [*current, *_older(made, sets, before, folder, site)]
    for entry in made.data:
        made.own.links[entry.place] = _way(f"{data_path(entry.digest)}/{HOME}")
    chosen = default_modules(site, current)
    for name, version in chosen.items():
        made.own.links[f"data/{name}/current"] = version
    made.own.files |= folder_files(site, made.data, chosen)
    folders = {e.folder for e in made.entries} | {e.folder for e in made.data}
    made.own.files |= openers(site, folders)
    made.own.files |= galaxy_files(pairs)
    if pairs:
        made.own.files[SERVER] = server_text(max(entry.size_bytes for entry in current))
    made.data.sort(key=lambda e: (e.name, e.version, not e.current, e.digest))


def _entry(site: Site, lock: DataLock) -> DataEntry:
    assert lock.made is not None
    return DataEntry(
        name=lock.id.name,
        version=lock.id.version,
        digest=lock.made.content.digest,
        files=lock.made.files,
        size_bytes=lock.made.size_bytes,
        folder="",
        hidden=hits(site.hidden, lock.id, about(lock.about, {})),
    )


def _way(path: str) -> str:
    """Returns the link from ``data/<set>/`` of a generation to a path of the tree."""
    depth = site_path("x").count("/") + 1 + len(("number", "data", "set"))
    return "../" * depth + path


def _about(lock: DataLock, entry: DataEntry) -> bytes:
    return pretty_bytes(
        {
            "set": entry.name,
            "version": entry.version,
            "digest": str(entry.digest),
            "files": entry.files,
            "size": entry.size_bytes,
            "about": dict(lock.about),
            "environment": dict(lock.environment),
        }
    )


def _older(
    made: Generation, sets: Sequence[DataLock], before: Deployed, folder: str, site: Site
) -> list[DataEntry]:
    root = os.path.join(folder, site_path(site.name), str(before.number))
    kept = []
    for entry in older_entries(sets, before.data):
        if not has_set(folder, entry.digest):
            continue
        found = {}
        for path in older_modules(entry):
            try:
                with open(os.path.join(root, path), "rb") as file:
                    found[path] = file.read()
            except OSError:
                continue
        if found:
            made.own.files |= found
            kept.append(replace(entry, current=False))
    return kept


def server_text(largest_bytes: int) -> bytes:
    """Returns the settings that a CVMFS publisher needs for files that may be so large.

    Source: CernVM-FS documentation, "Server Configuration Parameters".
    """
    mib = max(_DEFAULT_LIMIT_MIB, -(-largest_bytes // (1 << 20)))
    return (
        "# For /etc/cvmfs/repositories.d/REPOSITORY/server.conf of the publisher.\n"
        "CVMFS_USE_FILE_CHUNKING=true\n"
        f"CVMFS_FILE_MBYTE_LIMIT={mib}\n"
        "# Where the repository holds data only, that are compressed already:\n"
        "# CVMFS_COMPRESSION_ALGORITHM=none\n"
    ).encode()
