"""What is installed in a folder: ``.ssds/installed/<release>.json`` for each release."""

from __future__ import annotations

import os

from ssds.core.canonical import pretty_bytes
from ssds.core.errors import IntegrityError
from ssds.core.platform import Platform
from ssds.core.records import dataclass
from ssds.host.files import atomic_write, remove_file
from ssds.lock.model import Released
from ssds.oci.blobs import Blobs
from ssds.oci.document import DOCUMENT_LIMIT_BYTES, load_document
from ssds.ship.record import parse_record, record_fields
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
    root = os.path.join(folder, FOLDER)
    names = sorted(os.listdir(root)) if os.path.isdir(root) else []
    found = []
    for name in names:
        path = os.path.join(root, name)
        if not name.endswith(".json") or name.startswith(".") or not os.path.isfile(path):
            continue
        try:
            with open(path, "rb") as file:
                root_place = load_document(file.read(DOCUMENT_LIMIT_BYTES + 1), path)
            root_place.integer("installed_version", low=1, high=1)
            released = parse_record(root_place.child("release"))
            platform = Platform(root_place.text("platform"))
            entry = Installed(
                released=released, platform=platform, source=root_place.text("source")
            )
            if platform not in released.platforms or entry.file != name:
                root_place.fail("says something else than its name")
        except (IntegrityError, ValueError) as error:
            raise IntegrityError(
                f"{path} is damaged: {error}",
                hint="Remove that file, then install the release again.",
                code="I010",
            ) from None
        found.append(entry)
    return found


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
