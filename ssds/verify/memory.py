"""The newest revisions that were verified here: an older signed one is told from the current.

A signature has no clock: who may replace a file can put back an older one, which was signed too.
What was once verified is therefore remembered, per user, and a lower revision is refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from ssds.core.canonical import Json, pretty_bytes
from ssds.core.digest import Digest
from ssds.core.records import dataclass, field
from ssds.host.files import atomic_write, locked

LIMIT_BYTES = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A revision of a release, and the index that it is."""

    revision: int
    index: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Release (``name@version[+variant]``) → the newest revision that was verified."""

    seen: Mapping[str, Seen] = field(default_factory=dict)

    def why_not(self, release: str, found: Seen) -> str:
        """Returns why a release is older or another than what was verified; else nothing."""
        known = self.seen.get(release)
        if known is None or found.revision > known.revision:
            return ""
        if found.revision < known.revision:
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


def remember(path: str, found: Mapping[str, Seen]) -> None:
    """Adds what was verified; of two processes at once neither loses its part."""
    if not found:
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with locked(f"{path}.lock"):
        known = {**read_memory(path).seen, **found}
        document: dict[str, Json] = {
            "memory_version": 1,
            "releases": {
                release: {"revision": seen.revision, "index": str(seen.index)}
                for release, seen in known.items()
            },
        }
        atomic_write(path, pretty_bytes(document), point="verified")
