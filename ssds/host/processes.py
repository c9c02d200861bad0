"""Which programs run on this machine."""

from __future__ import annotations

import os


def processes_with(*words: str) -> list[int]:
    """Returns the ids of processes whose command line holds each of ``words`` in some argument."""
    wanted = [os.fsencode(word) for word in words]
    found = []
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                arguments = file.read(1 << 16).split(b"\0")
            with open(f"/proc/{name}/stat", "rb") as file:
                ended = file.read(4096).rpartition(b")")[2].split()[:1] in ([b"Z"], [b"X"])
        except OSError:
            continue  # it ended meanwhile, or is not ours to see
        if not ended and all(any(word in argument for argument in arguments) for word in wanted):
            found.append(int(name))
    return found
