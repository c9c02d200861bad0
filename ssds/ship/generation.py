"""A generation: all modules and wrappers of a site as one value, then as one folder.

A generation is written whole and switched to by one link, so that readers see the old one or the
new one and never a mixture.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ssds.core.canonical import Json, canonical_bytes, canonical_text
from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import InvalidValue, SsdsError
from ssds.core.platform import Platform
from ssds.host import local
from ssds.ship.collisions import Collision
from ssds.ship.parts import LISTING, OWN, Part, Share, read_copies, read_shares
from ssds.ship.refdata.entry import MODULE_FOLDER, DataEntry, data_entry

RECORD = "deployment.json"
RECORD_SIGNATURE = f"{RECORD}.sigstore.json"
LMOD_LISTING = "lmod.json"
RECORD_VERSION = 1
RECORD_REMEDY = (
    "Restore it from a backup, or let `ssds deploy --repair` write the next generation; earlier "
    "revisions that only this one lists are then not loadable."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One deployed release.

    Attributes:
        module: ``VERSION[-VARIANT]``; ``full`` adds the revision.
        current: whether the public module name points at it.
        images: platform → the config's digest, which names the image's folder; the site's first
            choice first. None of what was adopted: its revision is 0.
        commands: wrapper names.
        folder: the module's, relative to the site's folder.
        found: whether nobody declared the commands.
        hidden: whether the public module is not listed.
        withdrawn: whether its modules refuse to load; its wrappers are on no PATH.
    """

    name: str
    version: str
    variant: str
    revision: int
    module: str
    images: Mapping[str, Digest]
    commands: tuple[str, ...]
    folder: str = ""
    current: bool = True
    found: bool = False
    hidden: bool = False
    withdrawn: bool = False

    @property
    def full(self) -> str:
        """The hidden module's name."""
        return f"{self.module}-r{self.revision}"

    @property
    def adopted(self) -> bool:
        """Whether others deployed it: ``r0``."""
        return self.revision == 0

    @property
    def release(self) -> tuple[str, str]:
        """Name and public module name: what stays the same over revisions."""
        return (self.name, self.module)

    def to_dict(self) -> dict[str, Json]:
        """Returns the JSON form."""
        return {
            "name": self.name,
            "version": self.version,
            "variant": self.variant,
            "revision": self.revision,
            "module": self.module,
            "images": [[platform, str(image)] for platform, image in self.images.items()],
            "commands": list(self.commands),
            "folder": self.folder,
            "current": self.current,
            "found": self.found,
            "hidden": self.hidden,
            **({"withdrawn": True} if self.withdrawn else {}),
        }


@dataclass(slots=True)
class Generation:
    """The content of one generation.

    Attributes:
        entries: what is deployed; current ones and older revisions.
        data: data sets; current ones and older contents.
        own: what only this generation has.
        parts: name → part; of those that it links to, all that were composed anew.
        shares: software → its part, also of those that stay as they are.
        copies: part → digest of its list of copies of locks, of parts that stay as they are.
        lmod: whether Lmod reads its modules; flat: whether its folder of modules has a folder for
            each software and nothing else.
        seal: gives a signature over the record, which then stands beside it.
    """

    site: str
    entries: list[Entry] = field(default_factory=list)
    data: list[DataEntry] = field(default_factory=list)
    own: Part = field(default_factory=Part)
    parts: dict[str, Part] = field(default_factory=dict)
    shares: dict[str, Share] = field(default_factory=dict)
    copies: Mapping[str, str] = field(default_factory=dict)
    collisions: tuple[Collision, ...] = ()
    lmod: bool = False
    flat: bool = False
    seal: Callable[[bytes], bytes] | None = None

    @property
    def files(self) -> dict[str, bytes]:
        """Path → bytes of what only this generation has."""
        return self.own.files

    @property
    def listing(self) -> bytes:
        """The bytes that list everything in it; they stand in the folder too, for checks."""
        found: dict[str, Json] = {"entries": [entry.to_dict() for entry in self.entries]}
        if self.data:
            found["data"] = [entry.to_dict() for entry in self.data]
        return canonical_bytes({**found, **self.own.fields()})

    @property
    def digest(self) -> Digest:
        """The sha256 of the listing, which names all parts by their content."""
        return sha256_of(self.listing)

    def record(self, content: Digest) -> bytes:
        """Returns the bytes of ``deployment.json``: a line for each release."""
        told: dict[str, Json] = {
            "deployment_version": RECORD_VERSION,
            "site": self.site,
            "content": str(content),
            "parts": {name: share.to_json() for name, share in self.shares.items()},
            "collisions": [collision.to_dict() for collision in self.collisions],
        }
        if copies := self._copies():
            told["copies"] = {**copies}
        if self.data:
            told["data"] = [entry.to_dict() for entry in self.data]
        rows = ",\n".join(canonical_text(entry.to_dict()) for entry in self.entries)
        return f'{canonical_text(told)[:-1]},\n"releases":[\n{rows}]}}\n'.encode()

    def _copies(self) -> dict[str, str]:
        """Returns part → digest of its list of copies; parts that were written just now win."""
        written = {name: part.copies for name, part in self.parts.items() if part.copies}
        known = {**self.copies, **written}
        found = {s.part: known[s.part] for s in self.shares.values() if s.part in known}
        return {**found, OWN: self.own.copies} if self.own.copies else found

    def write(self, folder: str) -> None:
        """Writes its own files and links below ``folder``; the caller makes it durable."""
        local.make_folder(os.path.join(folder, "modules"))
        self.own.write_content(folder)
        listing = self.listing
        local.write_new(os.path.join(folder, LISTING), listing)
        record = self.record(sha256_of(listing))
        local.write_new(os.path.join(folder, RECORD), record)
        if self.seal is not None:
            local.write_new(os.path.join(folder, RECORD_SIGNATURE), self.seal(record))


def lmod_files(folder: str) -> dict[str, str]:
    """Returns path → digest of a generation's spider cache, which every user's Lmod runs."""
    from ssds.host.spider import FOLDER

    found = {}
    for base, _, names in os.walk(os.path.join(folder, FOLDER)):
        for name in names:
            place = os.path.join(base, name)
            with local.open_regular(place) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            found[os.path.relpath(place, folder)] = f"sha256:{digest}"
    return found


def lmod_listing(folder: str) -> Mapping[str, str]:
    """Returns what ``lmod_files`` gave when it was deployed; raises OSError, ValueError."""
    try:
        with local.open_regular(os.path.join(folder, LMOD_LISTING)) as file:
            found = json.loads(file.read())
    except FileNotFoundError:
        return {}  # there was no Lmod where it was deployed
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("it is no object")
    return found


def lmod_stands(folder: str) -> bool:
    """Whether a generation has a spider cache, as it was deployed."""
    try:
        found = lmod_files(folder)
        return bool(found) and found == lmod_listing(folder)
    except (OSError, ValueError):
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What a tree says about itself.

    Attributes:
        number: of the current generation, 0 where there is none.
        content: digest of its content, or the empty string.
        shares: software → its part; none in a generation of an earlier ssds.
        copies: part, or OWN, → digest of its list of copies of locks, where that was noted.
    """

    number: int = 0
    content: str = ""
    entries: tuple[Entry, ...] = ()
    shares: Mapping[str, Share] = field(default_factory=dict)
    data: tuple[DataEntry, ...] = ()
    copies: Mapping[str, str] = field(default_factory=dict)

    @property
    def images(self) -> set[Digest]:
        """The images that it needs."""
        return {image for entry in self.entries for image in entry.images.values()}

    @property
    def sets(self) -> set[Digest]:
        """The data sets that it needs."""
        return {entry.digest for entry in self.data if entry.current}


def read_record(data: bytes, number: int) -> Deployed:
    """Returns what a ``deployment.json`` says; raises InvalidValue (D012) where it is damaged."""
    try:
        record = json.loads(data)
        if record["deployment_version"] != RECORD_VERSION:
            raise InvalidValue(f"deployment_version {record['deployment_version']!r}")
        return Deployed(
            number=number,
            content=str(record["content"]),
            entries=tuple(_entry(item) for item in record["releases"]),
            shares=read_shares(record.get("parts", {})),
            data=tuple(data_entry(item) for item in record.get("data", ())),
            copies=read_copies(record.get("copies", {})),
        )
    except (ValueError, KeyError, TypeError, RecursionError, SsdsError) as error:
        raise InvalidValue(
            f"the record of generation {number} is damaged: {error}",
            hint=RECORD_REMEDY,
            code="D012",
        ) from error


def _entry(item: Mapping[str, object]) -> Entry:
    commands, revision, images = item["commands"], item["revision"], item["images"]
    name, version, variant, module, folder = (
        str(item[key]) for key in ("name", "version", "variant", "module", "folder")
    )
    if not isinstance(commands, list) or not isinstance(revision, int):
        raise InvalidValue("a release in it has the wrong types")
    if any("/" in text or text.startswith(".") for text in (name, module, *commands)):
        raise InvalidValue("a name in it is not a plain file name")
    if not MODULE_FOLDER.fullmatch(folder):
        raise InvalidValue("a folder in it is not one of modules")
    return Entry(
        name=name,
        version=version,
        variant=variant,
        module=module,
        revision=revision,
        images={str(Platform(p)): Digest(d) for p, d in images},  # type: ignore[attr-defined]
        commands=tuple(str(command) for command in commands),
        folder=folder,
        current=item["current"] is True,
        found=item["found"] is True,
        hidden=item["hidden"] is True,
        withdrawn=item.get("withdrawn") is True,
    )
