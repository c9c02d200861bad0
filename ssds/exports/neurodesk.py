"""NeuroDesk's lists and menus: ``releases/…``, ``apps.json``, ``applist.json``, ``log.txt``, ….

A release is ``<name>_<version>_<YYYYMMDD>`` there; see ``build_date`` for the day. What was adopted
is listed as the lists said it before.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ssds.core.versions import version_key
from ssds.exports.entries import SHOWN, Entry, adopted_entries, entries_of, unfit
from ssds.exports.menus import menu_files
from ssds.exports.offers import Export, Offer
from ssds.exports.webapps import webapp_files
from ssds.lock.model import Lock


def export_neurodesk(
    found: Sequence[Offer], adopted: Sequence[Lock] = (), *, place: str = "/opt/neurodesk"
) -> Export:
    """Returns the lists; their names are split at "_", so releases of ours with one are left out.

    Args:
        adopted: locks, of which what was adopted is listed.
        place: absolute path of the folder where menus will be: their entries name it.
    """
    notes: list[tuple[str, str]] = []
    entries = list(adopted_entries(adopted))
    fit: list[Offer] = []
    for offer in found:
        if reason := unfit(offer):
            notes.append((str(offer.released.id), reason))
        else:
            fit.append(offer)
            entries += entries_of(offer)
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
                if apps[entry.name].get(SHOWN["list"], True)
            ]
        }
    )
    files["log.txt"] = "".join(
        f"{entry.build} categories:{''.join(f'{c},' for c in apps[entry.name]['categories'])}\n"
        for entry in kept
    ).encode()
    hidden = [name for name in apps if not apps[name].get(SHOWN["menu"], True)]
    files |= menu_files(kept, hidden, place)
    files |= webapp_files(fit, adopted)
    return Export(files=files, notes=notes)


def release_document(offer: Offer) -> dict[str, Any]:
    """Returns what ``releases/<name>/<version>.json`` holds for one release, first for amd64."""
    return _document(next(entries_of(offer)))


def _document(entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = {"apps": entry.apps, "categories": list(entry.categories)}
    if entry.variant:
        found |= {"variant": entry.variant, "architecture": entry.architecture}
    return found | dict(entry.shown)


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
