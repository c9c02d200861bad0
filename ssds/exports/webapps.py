"""NeuroDesk's list of what serves pages to a browser: ``webapps.json``, form 1.0."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ssds.core.versions import version_key
from ssds.exports.entries import adopted_abouts
from ssds.exports.offers import Offer
from ssds.lock.model import Lock

WEBAPPS = "webapps.json"
_WORDS = {
    "title": "title",
    "command": "startup_command",
    "start_page": "start_page",
    "startup_timeout_s": "startup_timeout",
    "description": "description",
    "port": "port",
    "category": "category",
    "proxies": "additional_proxies",
}


def webapp_files(found: Iterable[Offer], adopted: Iterable[Lock]) -> dict[str, bytes]:
    """Returns the list and its icons: of each software the newest version that has a page.

    What was adopted is listed as the lists said it.
    """
    pages: dict[str, tuple[str, dict[str, Any]]] = {}
    files: dict[str, bytes] = {}
    for lock, abouts in adopted_abouts(adopted):
        for text in [about.webapp for about in abouts if about.webapp][:1]:
            _offer(pages, lock.name, lock.version, json.loads(text))
    for offer in found:
        page = offer.part("webapp")
        if page.get("title"):
            named = {theirs: page[ours] for ours, theirs in _WORDS.items() if ours in page}
            icon = offer.icon("webapp.icon")
            if icon is not None:
                path = f"icons/webapps/{offer.name}{icon.suffix}"
                files[path] = icon.data
                named["icon"] = path
            _offer(pages, offer.name, offer.tag, named)
    listed = {
        name: {**page, "module": name, "version": version}
        for name, (version, page) in sorted(pages.items())
    }
    wanted = {page.get("icon") for page in listed.values()}
    files = {path: data for path, data in files.items() if path in wanted}
    text = json.dumps({"version": "1.0", "webapps": listed}, indent=2, ensure_ascii=False)
    return {WEBAPPS: f"{text}\n".encode(), **files}


def _offer(
    pages: dict[str, tuple[str, dict[str, Any]]], name: str, version: str, page: dict[str, Any]
) -> None:
    if name not in pages or version_key(pages[name][0]) <= version_key(version):
        pages[name] = version, page
