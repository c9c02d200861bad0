"""What is installed in a folder: ``.ssds/installed/<release>.json`` for each release."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from ssds.core.canonical import Json, pretty_bytes
from ssds.core.errors import IntegrityError
from ssds.core.platform import Platform
from ssds.core.records import dataclass
from ssds.host.files import atomic_write, remove_file
from ssds.lock.data import DataLock
from ssds.lock.model import Released
from ssds.oci.blobs import Blobs
from ssds.oci.document import DOCUMENT_LIMIT_BYTES, Place, load_document
from ssds.ship.record import parse_record, record_fields
from ssds.ship.refdata.artefact import PREFIX, data_record, read_data_record
from ssds.ship.sites import Pick

FOLDER = ".ssds/installed"
SITE = "local"
"""The name of the one site of such a folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """One installed release: where it came from and for which platform."""

    released: Released
    platform: Platform
    source: str

    @property
    def file(self) -> str:
        """The record's file name: a release has one tag, which is fit for a file."""
        return f"{self.released.id.name}@{self.released.tag}.json"

    @property
    def pick(self) -> Pick:
        """The release as a site takes it."""
        half = self.released.platforms[self.platform]
        return Pick(released=self.released, images={self.platform: half})


def small_blobs(folder: str) -> Blobs:
    """Returns the configs, manifests and descriptions that modules and wrappers are made from."""
    return Blobs(os.path.join(folder, FOLDER, "blobs"), name=f"the records of {folder}")


def read_installed(folder: str) -> list[Installed]:
    """Returns the records, by name.

    Raises:
        IntegrityError: I010, a record is damaged.
    """
    found = []
    for name, path in _records(os.path.join(folder, FOLDER)):
        try:
            root_place = _record(path)
            released = parse_record(root_place.child("release"))
            platform = Platform(root_place.text("platform"))
            entry = Installed(
                released=released, platform=platform, source=root_place.text("source")
            )
            if platform not in released.platforms or entry.file != name:
                root_place.fail("says something else than its name")
        except (IntegrityError, ValueError) as error:
            raise _damaged(path, error, "release") from None
        found.append(entry)
    return found


def _records(root: str) -> Iterator[tuple[str, str]]:
    """Gives name and path of each record in a folder, by name."""
    for name in sorted(os.listdir(root)) if os.path.isdir(root) else []:
        path = os.path.join(root, name)
        if name.endswith(".json") and not name.startswith(".") and os.path.isfile(path):
            yield name, path


def _record(path: str) -> Place:
    """Returns what a record says; raises IntegrityError where it is none of this version."""
    with open(path, "rb") as file:
        place = load_document(file.read(DOCUMENT_LIMIT_BYTES + 1), path)
    place.integer("installed_version", low=1, high=1)
    return place


def _damaged(path: str, error: Exception, what: str) -> IntegrityError:
    return IntegrityError(
        f"{path} is damaged: {error}",
        hint=f"Remove that file, then install the {what} again.",
        code="I010",
    )


def write_installed(folder: str, entry: Installed) -> None:
    """Keeps a record."""
    data = pretty_bytes(
        {
            "installed_version": 1,
            "source": entry.source,
            "platform": str(entry.platform),
            "release": record_fields(entry.released),
        }
    )
    atomic_write(os.path.join(folder, FOLDER, entry.file), data, point="install.record")


def remove_installed(folder: str, entry: Installed) -> None:
    """Forgets a record."""
    remove_file(os.path.join(folder, FOLDER, entry.file), point="install.forget")


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledSet:
    """One installed reference data set: what its lock says, and where it came from."""

    lock: DataLock
    source: str

    @property
    def label(self) -> str:
        """What people call it: ``data/<set>/<version>``."""
        return f"{PREFIX}{self.lock.id.name}/{self.lock.id.version}"

    @property
    def path(self) -> str:
        """The record's path, relative to the folder of tools."""
        return f"{FOLDER}/data/{self.lock.id}.json"


def read_installed_sets(folder: str) -> list[InstalledSet]:
    """Returns the records of data sets, by name; raises IntegrityError (I010)."""
    found = []
    for file, path in _records(os.path.join(folder, FOLDER, "data")):
        name, _, version = file.removesuffix(".json").partition("@")
        try:
            place = _record(path)
            source = place.text("source")
            said = json.dumps(place.child("lock").value).encode()
            lock = read_data_record(said, name, version)
        except (IntegrityError, ValueError) as error:
            raise _damaged(path, error, "data set") from None
        found.append(InstalledSet(lock=lock, source=source))
    return found


def write_installed_set(folder: str, entry: InstalledSet) -> None:
    """Keeps a record."""
    lock: Json = json.loads(data_record(entry.lock))
    data = pretty_bytes({"installed_version": 1, "source": entry.source, "lock": lock})
    path = os.path.join(folder, entry.path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    atomic_write(path, data, point="install.record")


def remove_installed_set(folder: str, entry: InstalledSet) -> None:
    """Forgets a record."""
    remove_file(os.path.join(folder, entry.path), point="install.forget")
