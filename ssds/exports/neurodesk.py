"""NeuroDesk's lists: ``releases/…``, ``apps.json``, ``applist.json`` and ``log.txt``.

A release is ``<name>_<version>_<YYYYMMDD>`` there; see ``build_date`` for the day. What was adopted
is listed as the lists said it before.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from ssds.core.platform import Platform
from ssds.core.records import dataclass
from ssds.core.versions import version_key
from ssds.exports.offers import Export, Offer, build_date
from ssds.lock.model import Lock, blocked

AMD64 = Platform("linux/amd64")
_SHOWN = {"list": "show_in_applist", "menu": "show_in_menu"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One release in their words.

    Attributes:
        label: for notes.
        applications: (name, command) of windows, beside the application of the release itself.
        shown: their words → whether, where it is said.
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


def export_neurodesk(found: Iterable[Offer], adopted: Iterable[Lock] = ()) -> Export:
    """Returns the lists; their names are split at "_", so releases of ours with one are left out.

    Args:
        adopted: locks, of which what was adopted is listed.
    """
    notes: list[tuple[str, str]] = []
    entries = list(adopted_entries(adopted))
    for offer in found:
        if reason := _unfit(offer):
            notes.append((str(offer.released.id), reason))
        else:
            entries.append(_entry(offer))
    files: dict[str, bytes] = {}
    owners: dict[str, str] = {}
    by_name: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda e: (e.name, version_key(e.tag), e.built)):
        taken = [app for app in entry.apps if owners.get(app, entry.name) != entry.name]
        if taken:
            reason = f"the application {taken[0]!r} is one of {owners[taken[0]]} too"
            notes.append((entry.label, reason))
            continue
        owners.update(dict.fromkeys(entry.apps, entry.name))
        by_name.setdefault(entry.name, []).append(entry)
        files[f"releases/{entry.name}/{entry.tag}.json"] = _json(_document(entry))
    kept = [entry for several in by_name.values() for entry in several]
    apps = {name: _merged(several) for name, several in by_name.items()}
    files["apps.json"] = _json(apps)
    files["applist.json"] = _json(
        {
            "list": [
                {"application": entry.build, "categories": apps[entry.name]["categories"]}
                for entry in kept
                if apps[entry.name].get(_SHOWN["list"], True)
            ]
        }
    )
    files["log.txt"] = "".join(
        f"{entry.build} categories:{''.join(f'{c},' for c in apps[entry.name]['categories'])}\n"
        for entry in kept
    ).encode()
    return Export(files=files, notes=notes)


def adopted_entries(locks: Iterable[Lock]) -> Iterable[Entry]:
    """Gives what was adopted, has a day, and has no build of ours in its place; each once."""
    for lock in locks:
        for variant in (v for v in lock.variants.values() if blocked(v) and not v.withdrawn):
            known = [s.adopted for s in variant.platforms.values() if s.adopted is not None]
            for adoption in [a for a in known if a.about.built][:1]:
                about = adoption.about
                yield Entry(
                    label=f"{lock.name}@{lock.version}",
                    name=lock.name,
                    tag=lock.version,
                    built=about.built,
                    applications=about.applications,
                    arguments=about.arguments,
                    categories=about.categories or ("other",),
                    shown=tuple((_SHOWN[place], False) for place in about.hidden),
                )


def release_document(offer: Offer) -> dict[str, Any]:
    """Returns what ``releases/<name>/<version>.json`` holds for one release."""
    return _document(_entry(offer))


def _document(entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = {"apps": entry.apps, "categories": list(entry.categories)}
    if entry.variant:
        found |= {"variant": entry.variant, "architecture": "x86_64"}
    return found | dict(entry.shown)


def _entry(offer: Offer) -> Entry:
    arguments = offer.part("runtime").get("arguments")
    menu = offer.part("menu")
    words = (("show", _SHOWN["menu"]), ("list", _SHOWN["list"]))
    return Entry(
        label=str(offer.released.id),
        name=offer.name,
        tag=offer.tag,
        built=build_date(offer),
        applications=tuple(
            (str(app.get("name")), str(app.get("command", ""))) for app in offer.entries("gui")
        ),
        arguments=tuple(map(str, arguments)) if isinstance(arguments, list) else (),
        categories=tuple(offer.texts("categories")) or ("other",),
        shown=tuple((theirs, menu[o]) for o, theirs in words if isinstance(menu.get(o), bool)),
        variant=offer.released.id.variant,
    )


def _unfit(offer: Offer) -> str:
    if "_" in offer.name or "_" in offer.tag:
        return "NeuroDesk's lists split names at '_'"
    if not offer.epoch:
        return "its lock has no date of its inputs"
    if AMD64 not in offer.released.platforms:
        return "their lists name images for amd64"
    return ""


def _merged(entries: Sequence[Entry]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry in entries:
        for key, value in entry.shown:
            found[key] = value and found.get(key, True)  # one that hides it hides it
    apps: dict[str, Any] = {}
    categories: set[str] = set()
    for entry in entries:
        apps.update(entry.apps)
        categories.update(entry.categories)
    return {**found, "apps": apps, "categories": sorted(categories)}


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=4, ensure_ascii=False) + "\n").encode()
