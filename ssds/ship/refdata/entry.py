"""A deployed data set as the record of a generation has it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ssds.core.canonical import Json
from ssds.core.digest import Digest
from ssds.core.errors import InvalidValue
from ssds.core.records import dataclass

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
MODULE_FOLDER = re.compile(r"(modules|hierarchy)(/[a-z0-9-]+)?/[A-Za-z0-9][A-Za-z0-9._-]*")
"""The folder of a software's modules in a record: nothing outside of modules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataEntry:
    """One deployed data set.

    Attributes:
        digest: of the list of its files; it names the folder.
        files: how many; size_bytes: of their content.
        folder: the module's, relative to the site's folder.
        current: whether the public names point at it; only then it keeps its files alive.
        hidden: whether the public module is not listed.
    """

    name: str
    version: str
    digest: Digest
    files: int
    size_bytes: int
    folder: str
    current: bool = True
    hidden: bool = False

    @property
    def withdrawn(self) -> bool:
        """Never: what is withdrawn are releases."""
        return False

    @property
    def variant(self) -> str:
        """Empty: a data set has none."""
        return ""

    @property
    def module(self) -> str:
        """The public module's last part."""
        return self.version

    @property
    def full(self) -> str:
        """The hidden module's last part, which names the content too."""
        return full_version(self.version, self.digest)

    @property
    def place(self) -> str:
        """The link to its files, relative to the site's folder."""
        return f"data/{self.name}/{self.full}"

    def to_dict(self) -> dict[str, Json]:
        """Returns the JSON form."""
        return {
            "name": self.name,
            "version": self.version,
            "digest": str(self.digest),
            "files": self.files,
            "size": self.size_bytes,
            "folder": self.folder,
            "current": self.current,
            "hidden": self.hidden,
        }


def full_version(version: str, digest: Digest) -> str:
    """Returns the version with the first 12 digits of the set's digest."""
    return f"{version}-{digest.hex[:12]}"


def data_entry(item: Mapping[str, object]) -> DataEntry:
    """Returns what a record says of a data set; raises InvalidValue, KeyError or ValueError."""
    name, version, folder = (str(item[key]) for key in ("name", "version", "folder"))
    if not all(map(_NAME.fullmatch, (name, version))) or not MODULE_FOLDER.fullmatch(folder):
        raise InvalidValue("a name of a data set in it is not a plain file name")
    return DataEntry(
        name=name,
        version=version,
        digest=Digest(str(item["digest"])),
        files=int(str(item["files"])),
        size_bytes=int(str(item["size"])),
        folder=folder,
        current=item["current"] is True,
        hidden=item["hidden"] is True,
    )
