"""Parts of a site's folder: all that one software has there, under the name of its content.

::

    .ssds/sites/<site>/parts/<64 hex>/modules/…, wrappers/…   paths as in a generation
    .ssds/sites/<site>/<n>/modules/samtools -> ../../parts/<64 hex>/modules/samtools

A generation links to the parts that it consists of, and shares with the others what did not change:
a deployment writes what differs. The scripts and the site's own facts are a part too. A part's name
is the sha256 of its listing, which stands in it, so that a check needs nothing else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ssds.core.canonical import Json, canonical_bytes
from ssds.core.digest import Digest, sha256_of
from ssds.host import local

PARTS = "parts"
LISTING = "listing.json"
ATTACHED = "locks.json"
"""The digests of what is attached; it changes no name either. A generation's record has its own."""
OWN = "own"
"""What a record calls the generation itself where it names parts."""
NAME = re.compile(r"[0-9a-f]{64}")


@dataclass(slots=True)
class Part:
    """The content of one part, or of a generation.

    Attributes:
        files: path → bytes; programs: those of them that are executable.
        links: path → target.
        folders: folders that are empty.
        attached: path → what gives bytes that lie beside and change no name: copies of locks.
        copies: the digest of their list, once it is written; empty where there are none.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    programs: set[str] = field(default_factory=set)
    links: dict[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    attached: dict[str, Callable[[], bytes]] = field(default_factory=dict)
    copies: str = ""

    def fields(self) -> dict[str, Json]:
        """Returns what a listing says: everything in it but what is attached."""
        return {
            "files": {path: str(sha256_of(data)) for path, data in self.files.items()},
            "programs": sorted(self.programs),
            "links": self.links,
        }

    @property
    def listing(self) -> bytes:
        """The bytes that list everything in it."""
        return canonical_bytes(self.fields())

    @property
    def name(self) -> str:
        """The hex digits of the listing's sha256."""
        return sha256_of(self.listing).hex

    def write(self, folder: str) -> None:
        """Writes everything into ``folder``, which is empty; the caller makes it durable."""
        self.write_content(folder)
        local.write_new(os.path.join(folder, LISTING), self.listing)

    def write_content(self, folder: str) -> None:
        """Writes everything but the listing."""
        parents = {os.path.dirname(path) for path in (*self.files, *self.links, *self.attached)}
        for parent in sorted({*parents, *self.folders} - {""}):
            local.make_folder(os.path.join(folder, parent))
        for path, target in self.links.items():
            os.symlink(target, f"{folder}/{path}")
        for path, data in self.files.items():
            mode = 0o755 if path in self.programs else 0o644
            local.write_new(f"{folder}/{path}", data, mode=mode)
        digests: dict[str, Json] = {}
        for path, give in self.attached.items():
            local.write_new(f"{folder}/{path}", data := give())
            digests[path] = str(sha256_of(data))
        if digests:
            listed = canonical_bytes(digests)
            local.write_new(f"{folder}/{ATTACHED}", listed)
            self.copies = str(sha256_of(listed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Which part a software has.

    Attributes:
        part: its name.
        made_from: digest of what it was composed from; empty where that is not known.
    """

    part: str
    made_from: str = ""

    def to_json(self) -> Json:
        """Returns the JSON form."""
        return [self.part, self.made_from]


def link_to(part: str, path: str) -> str:
    """Returns the text of a generation's link at ``path`` to the same path of a part."""
    return f"{'../' * (path.count('/') + 1)}{PARTS}/{part}/{path}"


def read_shares(value: object) -> Mapping[str, Share]:
    """Returns software → its part, of a record's JSON; raises ValueError, TypeError."""
    if not isinstance(value, dict):
        raise TypeError("its parts are no map")
    found = {str(name): Share(part=part, made_from=text) for name, (part, text) in value.items()}
    if any(not NAME.fullmatch(share.part) for share in found.values()):
        raise ValueError("the name of a part in it is none")
    return found


def read_copies(value: object) -> Mapping[str, str]:
    """Returns part → digest of its list of copies, of a record's JSON; raises ValueError."""
    if not isinstance(value, dict):
        raise TypeError("its copies are no map")
    return {str(part): str(Digest(text)) for part, text in value.items()}


def lacking(folder: str, parts: Iterable[str]) -> list[str]:
    """Returns which parts are not in ``folder``, sorted."""
    return sorted(p for p in set(parts) if not os.path.isdir(os.path.join(folder, p)))
