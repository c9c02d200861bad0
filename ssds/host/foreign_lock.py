"""Lock files of other programs, such as the ``ISRUNNING.lock`` of NeuroDesk's cron job.

Such a program looks whether a file is there, makes it, and removes it when it is done. We do the
same, so that each stays out while the other works. What a killed run of ours left is known by its
text and taken over; what others left is theirs to remove.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable, Iterator

from ssds.core.errors import Refused
from ssds.core.text import shown
from ssds.host.files import explained, remove_file
from ssds.host.local import head

_TEXT_BYTES = 4096


@contextlib.contextmanager
def holding(paths: Iterable[str]) -> Iterator[None]:
    """Holds the lock files while the block runs.

    Raises:
        Refused: D048, another program works: its lock file is there.
    """
    with contextlib.ExitStack() as held:
        for path in dict.fromkeys(os.path.abspath(p) for p in paths):
            _take(path)
            held.callback(_free, path)
        yield


def _own() -> bytes:
    return f"ssds {socket.gethostname()} {os.getpid()}\n".encode()


def _take(path: str) -> None:
    for _ in range(2):
        try:
            with explained(path):
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                handle = os.open(path, flags, 0o644)
        except FileExistsError:
            if not _left_behind(path):
                break
            remove_file(path, point="foreign-lock")
            continue
        try:
            os.write(handle, _own())
        finally:
            os.close(handle)
        return
    raise Refused(
        f"another program works there: {shown(path)} exists",
        hint="Wait until it is done; where it died, remove the file as its owner would.",
        code="D048",
    )


def _left_behind(path: str) -> bool:
    """Whether a run of ours on this machine made it and is dead."""
    words = head(path, _TEXT_BYTES).decode("ascii", "replace").split()
    if len(words) != 3 or words[:2] != ["ssds", socket.gethostname()] or not words[2].isdecimal():
        return False
    try:
        os.kill(int(words[2]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _free(path: str) -> None:
    """Removes our file; not one that others put in its place."""
    if head(path, _TEXT_BYTES).startswith(_own()):
        remove_file(path, point="foreign-lock")
