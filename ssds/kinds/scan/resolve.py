"""An advisory set of the workspace to its pin (C8)."""

from __future__ import annotations

import datetime as dt
import os

from ssds.advisories import pack
from ssds.advisories.osv import AdvisorySet
from ssds.core.errors import IntegrityError, UnavailableError
from ssds.core.pins import AdvisoryPin


def set_bytes(workspace: str, path: str) -> bytes:
    """Returns the bytes of the advisory set at ``path``, relative to the workspace.

    Raises:
        UnavailableError: V003, it cannot be read.
    """
    try:
        with open(os.path.join(workspace, path), "rb") as file:
            return file.read(pack.LIMIT_BYTES + 1)
    except OSError as error:
        raise UnavailableError(
            f"the advisory set {path} cannot be read: {error.strerror}",
            hint="Restore the file from Git, or pin another set with `ssds lock`.",
            code="V003",
        ) from error


def pin_advisories(workspace: str, name: str, path: str) -> AdvisoryPin:
    """Returns the pin of a set at its present bytes, read whole and checked.

    Args:
        workspace: the workspace's folder.
        name: what the catalog calls the set (``debian-12``).
        path: relative to the workspace.

    Raises:
        UnavailableError: V003, it cannot be read.
        IntegrityError: it is no advisory set, or its date is none (V007).
    """
    data = set_bytes(workspace, path)
    found, _ = check_set(path, data)
    return AdvisoryPin(
        name=name, date=found.date, digest=found.digest, size_bytes=len(data), path=path
    )


def check_set(name: str, data: bytes) -> tuple[AdvisorySet, int]:
    """Returns the set in ``data``, read whole, and its pairs of record and package.

    ``name`` is what a message calls it.

    Raises:
        IntegrityError: it is no advisory set, a record of it is damaged or cannot be found by its
            package's name (V020), or its date is none (V007).
    """
    found = pack.read_set(data)
    pairs = pack.verify(found)
    try:
        dt.date.fromisoformat(found.date)
    except ValueError as error:
        raise IntegrityError(
            f"the advisory set {name} has no date: {found.date[:40]!r}",
            hint="Make it again; its date is that of its newest record, or what `--date` says.",
            code="V007",
        ) from error
    return found, pairs
