"""A generation: all modules and wrappers of a site as one value, then as one folder.

A generation is written whole and switched to by one link, so that readers see the old one or the
new one and never a mixture.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ssds.core.canonical import Json, canonical_bytes, pretty_bytes
from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import InvalidValue, SsdsError
from ssds.host import local
from ssds.recipe.model import Site
from ssds.ship.modules import ModuleFacts, module_text, modulerc_text
from ssds.ship.wrappers import FACTS, SUPPORT, script, site_facts

RECORD = "deployment.json"
LISTING = "listing.json"
RECORD_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One deployed release.

    Attributes:
        module: ``VERSION[-VARIANT]``; ``full`` adds the revision.
        current: whether the public module name points at it.
        image: the config's digest, which names the image's folder.
        commands: wrapper names.
    """

    name: str
    version: str
    variant: str
    revision: int
    platform: str
    module: str
    image: Digest
    commands: tuple[str, ...]
    current: bool = True

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
            "platform": self.platform,
            "module": self.module,
            "image": str(self.image),
            "commands": list(self.commands),
            "current": self.current,
        }


@dataclass(slots=True)
class Generation:
    """The content of one generation.

    Attributes:
        entries: what is deployed; current ones and older revisions.
        files: path → bytes; programs: those of them that are executable.
        links: path → target.
    """

    site: str
    entries: list[Entry] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    programs: set[str] = field(default_factory=set)
    links: dict[str, str] = field(default_factory=dict)

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

    def record(self, catalog_version: str) -> bytes:
        """Returns the bytes of ``deployment.json``."""
        return pretty_bytes(
            {
                "deployment_version": RECORD_VERSION,
                "site": self.site,
                "catalog_version": catalog_version,
                "content": str(self.digest),
                "releases": [entry.to_dict() for entry in self.entries],
            }
        )

    def write(self, folder: str, catalog_version: str) -> None:
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
        local.write(os.path.join(folder, LISTING), self.listing)
        local.write(os.path.join(folder, RECORD), self.record(catalog_version))


def compose(
    site: Site,
    releases: Sequence[tuple[Entry, ModuleFacts, bytes]],
    older: Sequence[tuple[Entry, bytes, bytes]],
) -> Generation:
    """Returns a generation.

    Args:
        site: gives runtimes and binds.
        releases: the current ones: entry, what the module says, the wrapper's facts file.
        older: earlier revisions that stay loadable: entry, hidden module's bytes, facts file.
    """
    made = Generation(site=site.name)
    made.files[f"wrappers/{SUPPORT}/wrapper"] = script("wrapper")
    made.programs.add(f"wrappers/{SUPPORT}/wrapper")
    made.files[f"wrappers/{SUPPORT}/plain"] = script("plain")
    made.files[f"wrappers/{SUPPORT}/site"] = site_facts(site)
    hidden: dict[str, list[str]] = {}
    for entry, facts, wrapper in releases:
        module = f"modules/{entry.name}/{entry.module}.lua"
        made.files[module] = module_text(facts, hidden=False)
        made.links[f"wrappers/{entry.name}/{entry.module}"] = entry.full
        _add(made, entry, module_text(facts, hidden=True), wrapper)
        hidden.setdefault(entry.name, []).append(entry.full)
    for entry, module_bytes, wrapper in older:
        _add(made, entry, module_bytes, wrapper)
        hidden.setdefault(entry.name, []).append(entry.full)
    for name, versions in hidden.items():
        made.files[f"modules/{name}/.modulerc.lua"] = modulerc_text(versions, name)
    made.entries.sort(key=lambda e: (e.name, e.module, e.revision))
    return made


def _add(made: Generation, entry: Entry, module: bytes, wrapper: bytes) -> None:
    made.entries.append(entry)
    made.files[f"modules/{entry.name}/{entry.full}.lua"] = module
    folder = f"wrappers/{entry.name}/{entry.full}"
    made.files[f"{folder}/{FACTS}"] = wrapper
    for command in entry.commands:
        made.links[f"{folder}/bin/{command}"] = f"../../../{SUPPORT}/wrapper"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What a tree says about itself.

    Attributes:
        number: of the current generation, 0 where there is none.
        content: digest of its content, or the empty string.
    """

    number: int = 0
    site: str = ""
    content: str = ""
    catalog_version: str = ""
    entries: tuple[Entry, ...] = ()


def read_record(data: bytes, number: int) -> Deployed:
    """Returns what a ``deployment.json`` says; raises InvalidValue (D012) where it is damaged."""
    try:
        record = json.loads(data)
        if record["deployment_version"] != RECORD_VERSION:
            raise InvalidValue(f"deployment_version {record['deployment_version']!r}")
        return Deployed(
            number=number,
            site=str(record["site"]),
            content=str(record["content"]),
            catalog_version=str(record["catalog_version"]),
            entries=tuple(_entry(item) for item in record["releases"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError, SsdsError) as error:
        raise InvalidValue(
            f"the record of generation {number} is damaged: {error}",
            hint="Deploy into a new folder, or restore .ssds of the tree from a backup.",
            code="D012",
        ) from error


def _entry(item: Mapping[str, object]) -> Entry:
    commands = item["commands"]
    revision = item["revision"]
    texts = [str(item[key]) for key in ("name", "version", "variant", "platform", "module")]
    if not isinstance(commands, list) or not isinstance(revision, int):
        raise InvalidValue("a release in it has the wrong types")
    if any("/" in text or text.startswith(".") for text in (texts[0], texts[4], *commands)):
        raise InvalidValue("a name in it is not a plain file name")
    return Entry(
        name=texts[0],
        version=texts[1],
        variant=texts[2],
        platform=texts[3],
        module=texts[4],
        revision=revision,
        image=Digest(str(item["image"])),
        commands=tuple(str(command) for command in commands),
        current=item["current"] is True,
    )
