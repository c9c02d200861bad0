"""A generation: all modules and wrappers of a site as one value, then as one folder.

A generation is written whole and switched to by one link, so that readers see the old one or the
new one and never a mixture.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ssds.core.canonical import Json, canonical_bytes, pretty_bytes
from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import InvalidValue, SsdsError
from ssds.core.model import ReleaseName
from ssds.core.platform import Platform
from ssds.host import local
from ssds.recipe.model import Site
from ssds.recipe.selectors import About, hits
from ssds.ship.collisions import Collision, Offer, owners
from ssds.ship.modules import ModuleFacts
from ssds.ship.naming import (
    default_modules,
    folder_files,
    module_files,
    module_folder,
    runtime_module,
)
from ssds.ship.selector import NAME as SELECTOR
from ssds.ship.selector import selector_text
from ssds.ship.wrappers import FACTS, SUPPORT, script, site_facts

RECORD = "deployment.json"
LISTING = "listing.json"
LMOD_LISTING = "lmod.json"
RECORD_VERSION = 1
ALL_COMMANDS = "bin"
_FOLDER = re.compile(r"(modules|hierarchy)(/[a-z0-9-]+)?/[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One deployed release.

    Attributes:
        module: ``VERSION[-VARIANT]``; ``full`` adds the revision.
        current: whether the public module name points at it.
        images: platform → the config's digest, which names the image's folder; the site's first
            choice first.
        commands: wrapper names.
        folder: the module's, relative to the site's folder.
        found: whether nobody declared the commands.
        hidden: whether the public module is not listed.
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

    @property
    def full(self) -> str:
        """The hidden module's name."""
        return f"{self.module}-r{self.revision}"

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
        }


@dataclass(slots=True)
class Generation:
    """The content of one generation.

    Attributes:
        entries: what is deployed; current ones and older revisions.
        files: path → bytes; programs: those of them that are executable.
        links: path → target.
        lmod: whether Lmod reads its modules.
        attached: path → bytes that lie beside, and make no new generation: copies of the locks.
    """

    site: str
    entries: list[Entry] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    programs: set[str] = field(default_factory=set)
    links: dict[str, str] = field(default_factory=dict)
    collisions: tuple[Collision, ...] = ()
    lmod: bool = False
    attached: dict[str, bytes] = field(default_factory=dict)

    @property
    def listing(self) -> bytes:
        """The bytes that list everything in it; they stand in the folder too, for checks."""
        listing: dict[str, Json] = {
            "entries": [entry.to_dict() for entry in self.entries],
            "files": {path: str(sha256_of(data)) for path, data in self.files.items()},
            "programs": sorted(self.programs),
            "links": self.links,
        }
        return canonical_bytes(listing)

    @property
    def digest(self) -> Digest:
        """The sha256 of the listing."""
        return sha256_of(self.listing)

    def record(self) -> bytes:
        """Returns the bytes of ``deployment.json``."""
        return pretty_bytes(
            {
                "deployment_version": RECORD_VERSION,
                "site": self.site,
                "content": str(self.digest),
                "releases": [entry.to_dict() for entry in self.entries],
                "collisions": [collision.to_dict() for collision in self.collisions],
            }
        )

    def write(self, folder: str) -> None:
        """Writes everything below ``folder``, a staging folder; the caller makes it durable."""
        os.makedirs(os.path.join(folder, "wrappers", SUPPORT, "root"))
        os.makedirs(os.path.join(folder, "modules"))
        made = set()
        for path in sorted({*self.files, *self.links}):
            place = os.path.join(folder, path)
            parent = os.path.dirname(place)
            if parent not in made:
                os.makedirs(parent, exist_ok=True)
                made.add(parent)
            if path in self.links:
                local.symlink(self.links[path], place)
            else:
                mode = 0o755 if path in self.programs else 0o644
                local.write(place, self.files[path], mode=mode)
        for path, data in self.attached.items():
            local.make_folder(os.path.dirname(os.path.join(folder, path)))
            local.write(os.path.join(folder, path), data)
        local.write(os.path.join(folder, LISTING), self.listing)
        local.write(os.path.join(folder, RECORD), self.record())


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """A release that a site gets now.

    Attributes:
        entry: for the record.
        facts: what its module says; its folder is set here.
        wrapper: the wrappers' facts file.
        about: what the site's selectors look at.
    """

    entry: Entry
    facts: ModuleFacts
    wrapper: bytes
    about: About = field(default_factory=About)


@dataclass(frozen=True, slots=True, kw_only=True)
class Older:
    """An earlier revision that stays loadable: its files as they were, by path."""

    entry: Entry
    modules: Mapping[str, bytes]
    wrapper: bytes


def compose(site: Site, releases: Sequence[Current], older: Sequence[Older] = ()) -> Generation:
    """Returns a generation: modules, wrappers, and one folder with all commands of the site."""
    made = Generation(site=site.name, lmod=site.modules != "tcl")
    support = f"wrappers/{SUPPORT}"
    made.files[f"{support}/wrapper"] = script("wrapper")
    made.programs.add(f"{support}/wrapper")
    made.files[f"{support}/plain"] = script("plain")
    made.files[f"{support}/site"] = site_facts(site)
    platforms = {Platform(name) for c in releases for name in c.entry.images}
    platforms |= {Platform(name) for old in older for name in old.entry.images}
    made.files[f"{support}/{SELECTOR}"] = selector_text(platforms)
    current = [_placed(site, item) for item in releases]
    for item in current:
        made.files.update(module_files(site, item.facts, hidden=False))
        made.files.update(module_files(site, item.facts, hidden=True))
        made.links[f"wrappers/{item.entry.name}/{item.entry.module}"] = item.entry.full
        _add(made, item.entry, item.wrapper)
    for old in older:
        made.files.update(old.modules)
        _add(made, old.entry, old.wrapper)
    chosen = default_modules(site, [item.entry for item in current])
    made.files.update(folder_files(site, made.entries, chosen))
    _all_commands(made, site, [c for c in current if chosen[c.entry.name] == c.entry.module])
    made.entries.sort(key=lambda e: (e.name, e.module, e.revision))
    return made


def _placed(site: Site, item: Current) -> Current:
    """Returns a release with the folder of its modules, and whether it is listed."""
    facts = replace(item.facts, folder=module_folder(site, item.facts), needs=runtime_module(site))
    released = ReleaseName(item.entry.name, item.entry.version, item.entry.variant)
    hidden = hits(site.hidden, released, item.about)
    entry = replace(item.entry, folder=facts.place, hidden=hidden)
    return replace(item, entry=entry, facts=facts)


def _add(made: Generation, entry: Entry, wrapper: bytes) -> None:
    made.entries.append(entry)
    folder = f"wrappers/{entry.name}/{entry.full}"
    made.files[f"{folder}/{FACTS}"] = wrapper
    for command in entry.commands:
        made.links[f"{folder}/bin/{command}"] = f"../../../{SUPPORT}/wrapper"


def _all_commands(made: Generation, site: Site, current: Sequence[Current]) -> None:
    offers = [
        Offer(
            release=ReleaseName(c.entry.name, c.entry.version, c.entry.variant),
            full=c.entry.full,
            commands=c.entry.commands,
            found=c.entry.found,
            facts=c.about,
        )
        for c in current
    ]
    won, made.collisions = owners(site, offers)
    for command, offer in won.items():
        target = f"../wrappers/{offer.release.name}/{offer.full}/bin/{command}"
        made.links[f"{ALL_COMMANDS}/{command}"] = target


def lmod_files(folder: str) -> dict[str, str]:
    """Returns path → digest of a generation's spider cache, which every user's Lmod runs."""
    from ssds.host.spider import FOLDER

    found = {}
    for base, _, names in os.walk(os.path.join(folder, FOLDER)):
        for name in names:
            place = os.path.join(base, name)
            with open(place, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            found[os.path.relpath(place, folder)] = f"sha256:{digest}"
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What a tree says about itself.

    Attributes:
        number: of the current generation, 0 where there is none.
        content: digest of its content, or the empty string.
    """

    number: int = 0
    content: str = ""
    entries: tuple[Entry, ...] = ()


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
        )
    except (ValueError, KeyError, TypeError, RecursionError, SsdsError) as error:
        raise InvalidValue(
            f"the record of generation {number} is damaged: {error}",
            hint="Deploy into a new folder, or restore .ssds of the tree from a backup.",
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
    if not _FOLDER.fullmatch(folder):
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
    )
