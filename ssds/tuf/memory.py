"""What a site remembers of a repository: without it nothing tells an older state from a newer."""

from __future__ import annotations

import os

from ssds.core.errors import IntegrityError
from ssds.host.files import atomic_symlink
from ssds.tuf.repository import METADATA_LIMIT_BYTES, newest

ROOTS = "root_history"
_ROOT = "root.json"


def remembers(memory: str) -> bool:
    """Whether a root is trusted; a link to it that a kill took away is made again."""
    place = os.path.join(memory, _ROOT)
    if not os.path.lexists(place):
        number = newest(os.path.join(memory, ROOTS), "root")
        if number:
            atomic_symlink(f"{ROOTS}/{number}.root.json", place, point="tuf.root")
    return os.path.lexists(place)


def check_memory(memory: str) -> None:
    """Refuses a memory with a file that is no metadata, as a loss of power leaves it.

    python-tuf takes such a file for none, and would believe an older state.

    Raises:
        IntegrityError: X068, with all of them.
    """
    from tuf.api.exceptions import RepositoryError
    from tuf.api.metadata import Metadata

    damaged = []
    for folder in ("", ROOTS):
        place = os.path.join(memory, folder)
        for name in sorted(os.listdir(place)) if os.path.isdir(place) else []:
            if not name.endswith(".json"):
                continue
            try:
                with open(os.path.join(place, name), "rb") as file:
                    Metadata.from_bytes(file.read(METADATA_LIMIT_BYTES))
            except (OSError, ValueError, RepositoryError, RecursionError):
                damaged.append(os.path.join(folder, name))
    if damaged:
        raise IntegrityError(
            f"what {memory} remembers is damaged: {', '.join(damaged)}",
            hint="Without it an older state could not be told. Put the folder back from a copy, "
            "or remove it and begin anew with --root.",
            code="X068",
        )
