"""NeuroDesk's lists: ``releases/<name>/<version>.json``, ``apps.json`` and ``log.txt``.

A release is ``<name>_<version>_<YYYYMMDD>`` there; see ``build_date`` for the day.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from ssds.core.platform import Platform
from ssds.exports.offers import Export, Offer, build_date, by_name

AMD64 = Platform("linux/amd64")


def export_neurodesk(found: Iterable[Offer]) -> Export:
    """Returns the three lists; their names are split at "_", so names with one are left out."""
    files: dict[str, bytes] = {}
    apps: dict[str, Any] = {}
    lines: list[str] = []
    notes: list[tuple[str, str]] = []
    owners: dict[str, str] = {}
    for name, releases in sorted(by_name(found).items()):
        fit = []
        for offer in releases:
            reason = _unfit(offer, owners)
            if reason:
                notes.append((str(offer.released.id), reason))
            else:
                fit.append(offer)
                owners.update(dict.fromkeys(_apps(offer), name))
        if not fit:
            continue
        for offer in fit:
            files[f"releases/{name}/{offer.tag}.json"] = _json(release_document(offer))
        apps[name] = _merged(fit)
        lines += [_line(offer) for offer in fit]
    files["apps.json"] = _json(apps)
    files["log.txt"] = "".join(f"{line}\n" for line in lines).encode()
    return Export(files=files, notes=notes)


def release_document(offer: Offer) -> dict[str, Any]:
    """Returns what ``releases/<name>/<version>.json`` holds for one release."""
    found: dict[str, Any] = {"apps": _apps(offer), "categories": _categories(offer)}
    variant = offer.released.id.variant
    if variant:
        found |= {"variant": variant, "architecture": "x86_64"}
    return found | _shown(offer)


def _unfit(offer: Offer, owners: dict[str, str]) -> str:
    if "_" in offer.name or "_" in offer.tag:
        return "NeuroDesk's lists split names at '_'"
    if not offer.epoch:
        return "its lock has no date of its inputs"
    if AMD64 not in offer.released.platforms:
        return "their lists name images for amd64"
    taken = [app for app in _apps(offer) if owners.get(app, offer.name) != offer.name]
    if taken:
        return f"the application {taken[0]!r} is one of {owners[taken[0]]} too"
    return ""


def _apps(offer: Offer) -> dict[str, Any]:
    arguments = offer.part("runtime").get("arguments")
    more = {"apptainer_args": list(arguments) if isinstance(arguments, list) else []}
    date = build_date(offer)
    found: dict[str, Any] = {f"{offer.name} {offer.tag}": {"version": date, "exec": "", **more}}
    for app in offer.entries("gui"):
        label = f"{app.get('name')}-{offer.name} {offer.tag}"
        found[label] = {"version": date, "exec": str(app.get("command", "")), **more}
    return found


def _categories(offer: Offer) -> list[str]:
    return offer.texts("categories") or ["other"]


def _shown(offer: Offer) -> dict[str, Any]:
    menu = offer.part("menu")
    words = (("show", "show_in_menu"), ("list", "show_in_applist"))
    return {theirs: menu[ours] for ours, theirs in words if isinstance(menu.get(ours), bool)}


def _merged(releases: Sequence[Offer]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for offer in releases:
        for key, value in _shown(offer).items():
            found[key] = value and found.get(key, True)  # one that hides it hides it
    apps: dict[str, Any] = {}
    categories: set[str] = set()
    for offer in releases:
        apps.update(_apps(offer))
        categories.update(_categories(offer))
    return {**found, "apps": apps, "categories": sorted(categories)}


def _line(offer: Offer) -> str:
    categories = "".join(f"{category}," for category in _categories(offer))
    return f"{offer.name}_{offer.tag}_{build_date(offer)} categories:{categories}"


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=4, ensure_ascii=False) + "\n").encode()
