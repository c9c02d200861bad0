"""What a repository's folder says so far, believed only where a key of the repository signed it.

Whoever can write the folder has no key: what he puts there is refused by name, never signed on.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from ssds.core.errors import IntegrityError, Refused
from ssds.tuf import repository as disk

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

    T = TypeVar("T", Root, Timestamp, Snapshot, Targets)
    Judge = Metadata[Root] | Metadata[Targets]

SOON_DAYS = 30
_DRIVEN_UP = 10**8
"""No honest timestamp comes this far; one of a key that counts no more was driven up."""


def standing(
    folder: str, name: str, role: str, kind: type[T], judges: Iterable[Judge]
) -> Metadata[T] | None:
    """Returns a file of a role if today's keys signed it, None if only keys of before did.

    Args:
        judges: who named the role's keys: today's first, then those before.

    Raises:
        IntegrityError: X051, or X052: no key that the role ever had signed it.
    """
    found = disk.read_metadata(folder, name, kind)
    for at, judge in enumerate(judges):
        if _signed(judge, role, found):
            return None if at else found
    raise IntegrityError(
        f"{os.path.join(folder, name)} is signed by no key that the role {role} ever had",
        hint="Somebody without a key wrote it. Nothing was signed: take the folder's metadata from "
        "a copy that is whole, and remove what is newer there.",
        code="X052",
    )


def _signed(judge: Judge, role: str, found: Metadata[T]) -> bool:
    try:
        disk.check(judge, role, found, role)
    except IntegrityError:
        return False
    return True


def standing_site(
    folder: str, role: str, targets: Metadata[Targets], roots: Sequence[Metadata[Root]]
) -> Metadata[Targets] | None:
    """Returns the newest file of a site; as ``standing``."""
    from tuf.api.metadata import Targets

    number = disk.newest(folder, role)
    if not number:
        return None
    judges = chain([targets], _targets_before(folder, roots))  # those before: only if need be
    return standing(folder, f"{number}.{role}.json", role, Targets, judges)


def _targets_before(folder: str, roots: Sequence[Metadata[Root]]) -> Iterable[Metadata[Targets]]:
    from tuf.api.metadata import Targets

    for number in range(disk.newest(folder, "targets"), 0, -1):
        try:
            found = disk.read_metadata(folder, f"{number}.targets.json", Targets)
        except IntegrityError:
            continue
        if any(_signed(root, "targets", found) for root in roots):
            yield found


def standing_version(folder: str, roots: Sequence[Metadata[Root]], snapshot: int) -> int:
    """Returns the version of the timestamp that is there, or 0.

    Args:
        snapshot: the newest one that is there.

    Raises:
        IntegrityError: X051, X052, or X079: the snapshot that it names is not there.
    """
    from tuf.api.metadata import Timestamp

    if not os.path.lexists(os.path.join(folder, disk.TIMESTAMP)):
        return 0
    found = standing(folder, disk.TIMESTAMP, "timestamp", Timestamp, roots[::-1])
    if found is None:
        version = disk.read_metadata(folder, disk.TIMESTAMP, Timestamp).signed.version
        return version if version < _DRIVEN_UP else 0
    lacking(folder, "snapshot", found.signed.snapshot_meta.version, snapshot)
    return found.signed.version


def lacking(folder: str, role: str, said: int, there: int) -> None:
    """Refuses a folder from which the newest file of a role was taken (X079)."""
    if said > there:
        raise IntegrityError(
            f"{os.path.join(folder, f'{said}.{role}.json')} is lacking, which was published",
            hint="Sites that saw it refuse what is older. Put it back from a copy of the folder.",
            code="X079",
        )


def ending(
    root: Metadata[Root],
    targets: Metadata[Targets],
    sites: Iterable[tuple[str, Metadata[Targets]]],
    now: datetime,
) -> tuple[str, ...]:
    """Returns what ends soon, and who renews it.

    Raises:
        Refused: X081, the root or the targets ended: no site takes what a timestamp would renew.
    """
    notes = []
    soon = now + timedelta(days=SOON_DAYS)
    for name, found, remedy in (
        ("root", root, "`ssds tuf roles FOLDER`, and its keepers sign"),
        ("targets", targets, "`ssds tuf publish` with the key of the role targets"),
    ):
        end = found.signed.expires
        if end <= now:
            raise Refused(
                f"the role {name} ended on {end:%Y-%m-%d}: every site refuses this repository",
                hint=f"Renew it first: {remedy}.",
                code="X081",
            )
        if end < soon:
            notes.append(f"{name} ends on {end:%Y-%m-%d}: {remedy}")
    for name, site in sites:
        end = site.signed.expires
        if end < soon:
            ends = "ended" if end <= now else "ends"
            notes.append(f"{name} {ends} on {end:%Y-%m-%d}: the site publishes with its key")
    return tuple(notes)
