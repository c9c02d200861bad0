"""An advisory set of the workspace to its pin (C8)."""

from __future__ import annotations

import datetime as dt
import os

from ssds.core.errors import IntegrityError, UnavailableError
from ssds.core.pins import AdvisoryPin
from ssds.kinds.scan.osv import LIMIT_BYTES, read_advisories


def read_set(workspace: str, path: str) -> bytes:
    """Returns the bytes of the advisory set at ``path``, relative to the workspace.

    Raises:
        UnavailableError: V003, it cannot be read.
    """
    try:
        with open(os.path.join(workspace, path), "rb") as file:
            return file.read(LIMIT_BYTES + 1)
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
    data = read_set(workspace, path)
    found = read_advisories(data)
    try:
        dt.date.fromisoformat(found.date)
    except ValueError as error:
        raise IntegrityError(
            f"the advisory set {path} has no date: {found.date[:40]!r}",
            hint="Build it again; its date is that of its newest record, as YYYY-MM-DD.",
            code="V007",
        ) from error
    return AdvisoryPin(
        name=name, date=found.date, digest=found.digest, size_bytes=len(data), path=path
    )
