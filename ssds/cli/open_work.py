"""Work on channels that could not be done: kept in ``.ssds/open/`` until it is, and shown."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from ssds.core.canonical import pretty_bytes
from ssds.core.records import dataclass
from ssds.host.files import atomic_write, remove_file
from ssds.workspace import Workspace

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenWork:
    """What a channel still lacks.

    Attributes:
        at: when it was tried, seconds since the Unix epoch.
        reason: why the channel as a whole could not be reached, or the empty string.
        releases: release → why it was left out.
    """

    channel: str
    at: int
    reason: str
    releases: Mapping[str, str]


def note(workspace: Workspace, work: OpenWork) -> None:
    """Keeps what is left to do on a channel; nothing left removes the note."""
    path = os.path.join(workspace.state_folder, "open", f"{work.channel}.json")
    if not work.reason and not work.releases:
        remove_file(path, point="open")
        return
    document = {
        "open_version": _VERSION,
        "at": work.at,
        "reason": work.reason,
        "releases": dict(work.releases),
    }
    atomic_write(path, pretty_bytes(document), point="open")


def read_all(workspace: Workspace) -> list[OpenWork]:
    """Returns what is left to do, by channel; notes that cannot be read count as none."""
    folder = os.path.join(workspace.state_folder, "open")
    try:
        names = sorted(n for n in os.listdir(folder) if n.endswith(".json"))
    except OSError:
        return []
    found = []
    for name in names:
        try:
            with open(os.path.join(folder, name), "rb") as file:
                document = json.loads(file.read(16 * 1024 * 1024))
            if document["open_version"] != _VERSION:
                continue
            found.append(
                OpenWork(
                    channel=name.removesuffix(".json"),
                    at=int(document["at"]),
                    reason=str(document["reason"]),
                    releases={str(k): str(v) for k, v in document["releases"].items()},
                )
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
    return found
