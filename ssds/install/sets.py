"""Installs a reference data set for one person: its files by digest, a module that names them."""

from __future__ import annotations

import os

from ssds.core.records import dataclass
from ssds.host.folders import scratch_folder
from ssds.install.install import Say, both, check_folder, ours, place_all
from ssds.install.records import (
    FOLDER,
    InstalledSet,
    read_installed,
    read_installed_sets,
    remove_installed_set,
    small_blobs,
    write_installed_set,
)
from ssds.install.source import Source
from ssds.oci.blobs import Blobs
from ssds.ship.refdata.content import has_set, needed_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DoneSet:
    """What an installation did.

    Attributes:
        fetched_bytes: what came over the network or was copied.
        written: False where it was installed already.
    """

    entry: InstalledSet
    fetched_bytes: int
    written: bool


def install_set(
    folder: str, name: str, version: str, source: Source, *, say: Say = lambda _: None
) -> DoneSet:
    """Makes a data set (``data/<set>``) of ``source`` usable below ``folder``.

    Raises:
        UsageError, UnavailableError, IntegrityError: it cannot be had, or is not what it should be.
        Refused: the folder is not ours; D082, a tool has the set's name.
    """
    folder = os.path.abspath(folder)
    check_folder(folder)
    lock, place = source.data_set(name, version)
    made = lock.made
    assert made is not None  # who reads a record says so
    with ours(folder):
        known = {entry.lock.id: entry for entry in read_installed_sets(folder)}
        with scratch_folder(os.path.join(folder, FOLDER)) as scratch:
            brought = Blobs(os.path.join(scratch, "blobs"), name="the download")
            fetched = 0
            if not has_set(folder, needed_bytes(lock)[0]):
                for number, blob in enumerate((made.content, *made.layers)):
                    what = f"layer {number} of {len(made.layers)}" if number else "the list"
                    say(f"fetching {what}, {blob.size_bytes / 2**20:.1f} MiB")
                    with brought.writer(expected=blob.digest, size_bytes=blob.size_bytes) as sink:
                        place.fetch(blob.digest, blob.size_bytes, sink)
                    fetched += blob.size_bytes
            entry = InstalledSet(lock=lock, source=source.text)
            write_installed_set(folder, entry)
            try:
                tools = read_installed(folder)
                written = place_all(folder, tools, both(small_blobs(folder), brought), say)
            except Exception:
                if lock.id in known:
                    write_installed_set(folder, known[lock.id])
                else:
                    remove_installed_set(folder, entry)
                raise
    return DoneSet(entry=entry, fetched_bytes=fetched, written=written)
