"""Composes a site's next generation from the facts of its releases: a pure function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from ssds.core.model import ReleaseName
from ssds.core.platform import Platform
from ssds.recipe.model import Site
from ssds.recipe.selectors import About, hits
from ssds.ship.adopted import Guest
from ssds.ship.collisions import Offer, owners
from ssds.ship.generation import Entry, Generation
from ssds.ship.modules import ModuleFacts
from ssds.ship.naming import (
    default_modules,
    folder_files,
    module_files,
    module_folder,
    openers,
    runtime_module,
)
from ssds.ship.parts import Part, Share, link_to
from ssds.ship.selector import NAME as SELECTOR
from ssds.ship.selector import selector_text
from ssds.ship.withdrawing import judged
from ssds.ship.wrappers import FACTS, SUPPORT, script, site_facts

ALL_COMMANDS = "bin"
SUPPORT_PATH = f"wrappers/{SUPPORT}"
_NO_TEXTS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """A release that a site gets now.

    Attributes:
        entry: for the record.
        facts: what its module says; its folder is set here.
        wrapper: the wrappers' facts file.
        about: what the site's selectors look at.
        withdrawn: why its modules refuse to load, or the empty string.
    """

    entry: Entry
    facts: ModuleFacts
    wrapper: bytes
    about: About = field(default_factory=About)
    withdrawn: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Older:
    """An earlier revision that stays loadable: its files as they were, by path."""

    entry: Entry
    modules: Mapping[str, bytes]
    wrapper: bytes
    withdrawn: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A software whose part stays as it is.

    Attributes:
        entries: its releases, current ones and older revisions.
        abouts: full version → what the site's selectors look at.
    """

    share: Share
    entries: tuple[Entry, ...]
    abouts: Mapping[str, About] = field(default_factory=dict)


def compose(
    site: Site,
    releases: Sequence[Current],
    older: Sequence[Older] = (),
    *,
    kept: Sequence[Kept] = (),
    guests: Sequence[Guest] = (),
    made_from: Mapping[str, str] = _NO_TEXTS,
) -> Generation:
    """Returns a generation: modules, wrappers, and one folder with all commands of the site.

    Args:
        kept: software that is in neither ``releases`` nor ``older`` nor ``guests``.
        made_from: software → digest of what it is composed from, for the record.
    """
    made = Generation(site=site.name, lmod=site.modules != "tcl", flat=site.naming == "flat")
    current = [_placed(site, item) for item in releases]
    staying = [entry for item in kept for entry in item.entries]
    made.entries = [item.entry for several in (current, older, guests) for item in several]
    made.entries += staying
    made.entries.sort(key=lambda entry: (entry.name, entry.module, entry.revision))
    support = support_part(site, platforms_of(made.entries))
    _hold(made, SUPPORT, support, ())
    chosen = default_modules(site, [entry for entry in made.entries if entry.current])
    olds: dict[str, list[Older]] = {}
    for old in older:
        olds.setdefault(old.entry.name, []).append(old)
    news: dict[str, list[Current]] = {}
    for item in current:
        news.setdefault(item.entry.name, []).append(item)
    invited: dict[str, list[Guest]] = {}
    for guest in guests:
        invited.setdefault(guest.entry.name, []).append(guest)
        news.setdefault(guest.entry.name, [])
    for name, items in news.items():
        several = (items, olds.get(name, ()), invited.get(name, ()))
        part, folders = _software(site, *several, chosen, support.name)
        _hold(made, name, part, folders, made_from.get(name, ""))
    for same in kept:
        _link(made, same.entries[0].name, same.share, {entry.folder for entry in same.entries})
    made.files.update(openers(site, {entry.folder for entry in made.entries}))
    abouts = {(item.entry.name, item.entry.full): item.about for item in current}
    abouts |= {(k.entries[0].name, full): about for k in kept for full, about in k.abouts.items()}
    ours = (e for e in made.entries if e.current and not e.adopted)
    shown = (e for e in ours if chosen.get(e.name) == e.module)
    _all_commands(made, site, [_offer(e, abouts.get((e.name, e.full), About())) for e in shown])
    return made


def platforms_of(entries: Iterable[Entry]) -> frozenset[Platform]:
    """Returns the platforms of all images of a site."""
    names = {platform for entry in entries for platform in entry.images}
    return frozenset(map(Platform, names))


def support_part(site: Site, platforms: Iterable[Platform]) -> Part:
    """Returns the part of the scripts, and of what they know of the site."""
    return Part(
        files={
            f"{SUPPORT_PATH}/wrapper": script("wrapper"),
            f"{SUPPORT_PATH}/plain": script("plain"),
            f"{SUPPORT_PATH}/site": site_facts(site),
            f"{SUPPORT_PATH}/{SELECTOR}": selector_text(platforms),
        },
        programs={f"{SUPPORT_PATH}/wrapper"},
        folders=(f"{SUPPORT_PATH}/root",),
    )


def _software(
    site: Site,
    current: Sequence[Current],
    older: Sequence[Older],
    guests: Sequence[Guest],
    chosen: Mapping[str, str],
    support: str,
) -> tuple[Part, set[str]]:
    """Returns the part of one software, and the folders of its modules."""
    part = Part()
    for item in current:
        for hidden in (False, True):
            part.files.update(judged(module_files(site, item.facts, hidden=hidden), item.withdrawn))
        part.links[f"wrappers/{item.entry.name}/{item.entry.module}"] = item.entry.full
        _add(part, item.entry, item.wrapper)
    for old in older:
        part.files.update(judged(old.modules, old.withdrawn))
        _add(part, old.entry, old.wrapper)
    for guest in guests:
        part.files.update(guest.files)
        part.links.update(guest.links)
    entries = [item.entry for several in (current, older, guests) for item in several]
    part.files.update(folder_files(site, entries, chosen))
    part.links[SUPPORT_PATH] = f"../../{support}/{SUPPORT_PATH}"
    return part, {entry.folder for entry in entries}


def _hold(
    made: Generation, name: str, part: Part, folders: Iterable[str], made_from: str = ""
) -> None:
    share = Share(part=part.name, made_from=made_from)
    made.parts[share.part] = part
    _link(made, name, share, folders)


def _link(made: Generation, name: str, share: Share, folders: Iterable[str]) -> None:
    made.shares[name] = share
    for path in (f"wrappers/{name}", *folders):
        made.own.links[path] = link_to(share.part, path)


def _placed(site: Site, item: Current) -> Current:
    """Returns a release with the folder of its modules, and whether it is listed."""
    facts = replace(item.facts, folder=module_folder(site, item.facts), needs=runtime_module(site))
    released = ReleaseName(item.entry.name, item.entry.version, item.entry.variant)
    hidden = hits(site.hidden, released, item.about)
    entry = replace(item.entry, folder=facts.place, hidden=hidden)
    return replace(item, entry=entry, facts=facts)


def _add(part: Part, entry: Entry, wrapper: bytes) -> None:
    folder = f"wrappers/{entry.name}/{entry.full}"
    part.files[f"{folder}/{FACTS}"] = wrapper
    for command in () if entry.withdrawn else entry.commands:
        part.links[f"{folder}/bin/{command}"] = f"../../../{SUPPORT}/wrapper"


def _offer(entry: Entry, about: About) -> Offer:
    return Offer(
        release=ReleaseName(entry.name, entry.version, entry.variant),
        full=entry.full,
        commands=entry.commands,
        found=entry.found,
        facts=about,
    )


def _all_commands(made: Generation, site: Site, offers: Sequence[Offer]) -> None:
    won, made.collisions = owners(site, offers)
    for command, offer in won.items():
        target = f"../wrappers/{offer.release.name}/{offer.full}/bin/{command}"
        made.own.links[f"{ALL_COMMANDS}/{command}"] = target
