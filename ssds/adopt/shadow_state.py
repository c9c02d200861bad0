"""Keeps what both sides had at the last report, in ``.ssds/shadow.json``.

It is a cache of this workspace: without it the next report has no news, and is the first again.
"""

from __future__ import annotations

import json
import os

from ssds.adopt.shadow import Build, State
from ssds.core.canonical import Json, pretty_bytes
from ssds.host.files import atomic_write
from ssds.host.local import head

STATE_VERSION = 1
_LIMIT_BYTES = 64 << 20


def read_state(path: str, sources: tuple[str, ...]) -> State:
    """Returns the state of the last report of these sources; an empty one where there is none."""
    try:
        document = json.loads(head(path, _LIMIT_BYTES))
        if document["shadow_version"] != STATE_VERSION or document["sources"] != list(sources):
            return State()
        sides = [
            {_build(row[:4]): str(row[4]) for row in document[side]} for side in ("theirs", "ours")
        ]
        listed = frozenset(_build(row) for row in document["listed"])
        return State(at=str(document["at"]), theirs=sides[0], ours=sides[1], listed=listed)
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
        return State()


def keep_state(path: str, sources: tuple[str, ...], state: State) -> None:
    """Writes the state, whole or not at all."""

    def rows(side: dict[Build, str]) -> Json:
        return [[*_words(build), digest] for build, digest in sorted(side.items())]

    document: Json = {
        "shadow_version": STATE_VERSION,
        "at": state.at,
        "sources": list(sources),
        "theirs": rows(dict(state.theirs)),
        "ours": rows(dict(state.ours)),
        "listed": [list(_words(build)) for build in sorted(state.listed)],
    }
    os.makedirs(os.path.dirname(path), exist_ok=True)
    atomic_write(path, pretty_bytes(document), point="shadow.state")


def _build(words: list[str]) -> Build:
    name, version, built, platform = map(str, words)
    return Build(name=name, version=version, built=built, platform=platform)


def _words(build: Build) -> tuple[str, str, str, str]:
    return build.name, build.version, build.built, build.platform
