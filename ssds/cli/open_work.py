"""Work on channels that could not be done: kept in ``.ssds/open/`` until it is, and shown."""

from __future__ import annotations

import json
import os
from collections.abc import Container, Mapping

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
    path = _path(workspace, work.channel)
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


def forget_others(workspace: Workspace, channels: Container[str]) -> None:
    """Removes the notes on channels that are gone: nobody will ever sync those again."""
    for channel in _noted(workspace):
        if channel not in channels:
            remove_file(_path(workspace, channel), point="open")


def _noted(workspace: Workspace) -> list[str]:
    try:
        names = os.listdir(os.path.join(workspace.state_folder, "open"))
    except OSError:
        return []
    return sorted(n.removesuffix(".json") for n in names if n.endswith(".json"))


def _path(workspace: Workspace, channel: str) -> str:
    return os.path.join(workspace.state_folder, "open", f"{channel}.json")


def read_all(workspace: Workspace, channels: Container[str]) -> list[OpenWork]:
    """Returns what is left to do on these channels; notes that cannot be read count as none."""
    names = [name for name in _noted(workspace) if name in channels]
    return [work for name in names if (work := read(workspace, name)) is not None]


def read(workspace: Workspace, channel: str) -> OpenWork | None:
    """Returns what is left to do on a channel; None where nothing is noted that can be read."""
    try:
        with open(_path(workspace, channel), "rb") as file:
            document = json.loads(file.read(16 * 1024 * 1024))
        if document["open_version"] != _VERSION:
            return None
        return OpenWork(
            channel=channel,
            at=int(document["at"]),
            reason=str(document["reason"]),
            releases={str(k): str(v) for k, v in document["releases"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
