"""The newest revisions that were verified here: an older signed one is told from the current.

A signature has no clock: who may replace a file can put back an older one, which was signed too.
What was once verified is therefore remembered, per user, and a lower revision is refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from ssds.core.canonical import Json, pretty_bytes
from ssds.core.digest import Digest
from ssds.core.records import dataclass, field
from ssds.host.files import atomic_write, locked

if TYPE_CHECKING:
    from ssds.trust.keys import PublicKey

LIMIT_BYTES = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A revision of a release, and the index that it is."""

    revision: int
    index: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Who signed it and release (``slot``) → the newest revision that was verified."""

    seen: Mapping[str, Seen] = field(default_factory=dict)

    def why_not(self, key: PublicKey, release: str, found: Seen, *, asked: bool = False) -> str:
        """Returns why a release is older or another than what was verified; else nothing.

        Args:
            asked: just this revision was asked for: it may be an older one.
        """
        known = self.seen.get(slot(key, release))
        if known is None or found.revision > known.revision:
            return ""
        if found.revision < known.revision:
            if asked:
                return ""
            return (
                f"{release} is at r{found.revision} here, and r{known.revision} was verified "
                "before: somebody put an older one in its place, or took the newer one back "
                "(--allow-older accepts it)"
            )
        if found.index != known.index:
            return (
                f"{release} r{found.revision} names another index than the one that was verified "
                "before: a revision is one set of bytes for ever (--allow-older accepts it)"
            )
        return ""

    def why_older(self, key: PublicKey, pin: str, day: int) -> str:
        """Returns why a pin of the catalog's lock is older than was verified; else nothing.

        Args:
            day: of the pin, as the number YYYYMMDD.
        """
        known = self.seen.get(pin_slot(key, pin))
        if known is None or day >= known.revision:
            return ""
        return (
            f"its pin {pin} is of {_day(day)}, and one of {_day(known.revision)} was verified "
            "before: somebody put an older lock in its place, or took the newer pin back "
            "(--allow-older accepts it)"
        )

    def lacking(self, key: PublicKey, name: str, found: Collection[str]) -> list[str]:
        """Returns why a lock of ``name@version`` that names only some releases is older."""
        start = slot(key, name)
        lost = [
            (entry.partition(" ")[2], seen)
            for entry, seen in sorted(self.seen.items())
            if entry == start or entry.startswith(f"{start}+")
        ]
        return [
            f"it names no release of {release}, and r{seen.revision} was verified before: somebody "
            "put an older lock in its place, or took the release back (--allow-older accepts it)"
            for release, seen in lost
            if release not in found
        ]

    def lacking_pins(self, key: PublicKey, found: Collection[str]) -> list[str]:
        """Returns why a lock of the catalog that names only some of the pins is older."""
        start = pin_slot(key, "")
        lost = [
            (entry.removeprefix(start), seen)
            for entry, seen in sorted(self.seen.items())
            if entry.startswith(start)
        ]
        return [
            f"it has no current pin {name} with a day, and one of {_day(seen.revision)} was "
            "verified before: somebody put an older lock in its place, or took the pin back "
            "(--allow-older accepts it)"
            for name, seen in lost
            if name not in found
        ]


def _day(number: int) -> str:
    text = f"{number:08d}"
    return f"{text[:4]}-{text[4:6]}-{text[6:]}"


def pin_slot(key: PublicKey, name: str) -> str:
    """Returns under what a current pin of the catalog's lock is remembered."""
    return f"{key.id} catalog.lock.json:{name}"


def slot(key: PublicKey, release: str) -> str:
    """Returns under what a release is remembered: others may sign one of the same name."""
    return f"{key.id} {release}"


def default_path(environment: Mapping[str, str]) -> str:
    """Returns ``$XDG_STATE_HOME/ssds/verified.json``."""
    folder = environment.get("XDG_STATE_HOME", "")
    if not folder.startswith("/"):
        home = environment.get("HOME", "") or os.path.expanduser("~")
        folder = os.path.join(home, ".local", "state")
    return os.path.join(folder, "ssds", "verified.json")


def read_memory(path: str) -> Memory:
    """Returns what is remembered; a file that is damaged or not there is an empty memory."""
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read(LIMIT_BYTES))
        return Memory(
            seen={
                str(release): Seen(revision=int(entry["revision"]), index=Digest(entry["index"]))
                for release, entry in found["releases"].items()
            }
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Memory()


def remember(path: str, found: Mapping[str, Seen], *, older: bool = False, anew: str = "") -> None:
    """Adds what was verified; of two processes at once neither loses its part.

    Args:
        older: a lower revision, or another index, takes the place of what is remembered.
        anew: entries that begin so are forgotten first; none where it is empty.

    Raises:
        OSError: nothing can be written there.
    """
    if not found and not anew:
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with locked(f"{path}.lock"):
        seen = read_memory(path).seen.items()
        known = {entry: old for entry, old in seen if not (anew and entry.startswith(anew))}
        for entry, new in found.items():
            if older or entry not in known or new.revision > known[entry].revision:
                known[entry] = new
        document: dict[str, Json] = {
            "memory_version": 2,
            "releases": {
                release: {"revision": seen.revision, "index": str(seen.index)}
                for release, seen in known.items()
            },
        }
        atomic_write(path, pretty_bytes(document), point="verified")
