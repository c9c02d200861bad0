"""One release as NeuroDesk's lists name it: ``<name>_<version>_<YYYYMMDD>``; see ``build_date``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ssds.core.platform import Platform
from ssds.core.records import dataclass, replace
from ssds.exports.offers import Icon, Offer, build_date
from ssds.lock.model import AdoptedAbout, Lock, blocked
from ssds.ship.old_layout import ARM64_SUFFIX

AMD64, ARM64 = Platform("linux/amd64"), Platform("linux/arm64")
SHOWN = {"list": "show_in_applist", "menu": "show_in_menu"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One release in their words.

    Attributes:
        label: for notes.
        applications: (name, command) of windows, beside the application of the release itself.
        shown: their words → whether, where it is said.
        variant: of the software's; ``arm64`` of images for arm64 without one. The names of all that
            are for arm64 end in ``_arm64``.
        icons: (name of a window, its icon); the empty string for the software's own.
    """

    label: str
    name: str
    tag: str
    built: str
    applications: tuple[tuple[str, str], ...]
    arguments: tuple[str, ...]
    categories: tuple[str, ...]
    shown: tuple[tuple[str, bool], ...]
    variant: str = ""
    architecture: str = "x86_64"
    icons: tuple[tuple[str, Icon], ...] = ()

    @property
    def apps(self) -> dict[str, Any]:
        """Their ``apps``: by label."""
        more = {"apptainer_args": list(self.arguments)}
        found = {f"{self.name} {self.tag}": {"version": self.built, "exec": "", **more}}
        for name, command in self.applications:
            label = f"{name}-{self.name} {self.tag}"
            found[label] = {"version": self.built, "exec": command, **more}
        return found

    @property
    def build(self) -> str:
        """``<name>_<version>_<YYYYMMDD>``."""
        return f"{self.name}_{self.tag}_{self.built}"


def adopted_entries(locks: Iterable[Lock]) -> Iterator[Entry]:
    """Gives what was adopted, has a day, and has no build of ours in its place; each once."""
    for lock, abouts in adopted_abouts(locks):
        for about in [a for a in abouts if a.built][:1]:
            yield Entry(
                label=f"{lock.name}@{lock.version}",
                name=lock.name,
                tag=lock.version,
                built=about.built,
                applications=about.applications,
                arguments=about.arguments,
                categories=about.categories or ("other",),
                shown=tuple((SHOWN[place], False) for place in about.hidden),
            )


def adopted_abouts(locks: Iterable[Lock]) -> Iterator[tuple[Lock, list[AdoptedAbout]]]:
    """Gives what the lists said of adopted variants that no build of ours replaces, by platform."""
    for lock in locks:
        for variant in (v for v in lock.variants.values() if blocked(v) and not v.withdrawn):
            yield lock, [s.adopted.about for s in variant.platforms.values() if s.adopted]


def entries_of(offer: Offer) -> Iterator[Entry]:
    """Gives a release of ours in their words, for amd64 and for arm64."""
    arguments = offer.part("runtime").get("arguments")
    menu = offer.part("menu")
    words = (("show", SHOWN["menu"]), ("list", SHOWN["list"]))
    windows = [(str(a.get("name")), str(a.get("command", ""))) for a in offer.entries("gui")]
    roles = {"": "icon", **{name: f"gui[{n}].icon" for n, (name, _) in enumerate(windows)}}
    plain = Entry(
        label=str(offer.released.id),
        name=offer.name,
        tag=offer.tag,
        built=build_date(offer),
        applications=tuple(windows),
        arguments=tuple(map(str, arguments)) if isinstance(arguments, list) else (),
        categories=tuple(offer.texts("categories")) or ("other",),
        shown=tuple((theirs, menu[o]) for o, theirs in words if isinstance(menu.get(o), bool)),
        variant=offer.released.id.variant,
        icons=tuple((name, icon) for name, r in roles.items() if (icon := offer.icon(r))),
    )
    if AMD64 in offer.released.platforms:
        yield plain
    if ARM64 in offer.released.platforms:
        name = f"{offer.name}{ARM64_SUFFIX}"
        variant = plain.variant or "arm64"
        yield replace(plain, name=name, variant=variant, architecture="aarch64")


def unfit(offer: Offer) -> str:
    """Returns why their lists cannot name a release, or the empty string."""
    if "_" in offer.name or "_" in offer.tag:
        return "NeuroDesk's lists split names at '_'"
    if not offer.epoch:
        return "its lock has no date of its inputs"
    if not {AMD64, ARM64} & offer.released.platforms.keys():
        return "their lists name images for amd64 and arm64"
    return ""
