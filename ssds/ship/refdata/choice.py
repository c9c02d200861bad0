"""Which data sets a site gets, and what that changes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ssds.core.digest import Digest
from ssds.lock.data import DataLock
from ssds.recipe.model import Site
from ssds.recipe.selectors import about, hits
from ssds.ship.changes import Change
from ssds.ship.refdata.entry import DataEntry, full_version


def select_data(
    site: Site, locks: Iterable[DataLock]
) -> tuple[tuple[DataLock, ...], tuple[tuple[str, str], ...]]:
    """Returns the made data sets that a site asks for, by name, and what is left out and why."""
    wanted = [lock for lock in locks if hits(site.data, lock.id, about(lock.about, {}))]
    wanted.sort(key=lambda lock: lock.id)
    made = tuple(lock for lock in wanted if lock.made is not None)
    reason = "not made yet: ssds apply "
    left = tuple((str(k.id), reason + k.id.name) for k in wanted if k.made is None)
    return made, left


def data_digests(locks: Iterable[DataLock]) -> list[Digest]:
    """Returns the digests of made data sets."""
    return [lock.made.content.digest for lock in locks if lock.made is not None]


def data_changes(
    site: Site, wanted: Sequence[DataLock], before: Sequence[DataEntry]
) -> tuple[Change, ...]:
    """Returns the changes of a site's data sets, ``=`` where nothing is to do."""
    current = {(e.name, e.version): e for e in before if e.current}
    found = []
    for lock in wanted:
        assert lock.made is not None
        old = current.pop((lock.id.name, lock.id.version), None)
        new = lock.made.content.digest
        what = f"data/{lock.id.name}/{lock.id.version}"
        if old is None:
            verb, reason = "+", f"new, {new.short}"
        elif old.digest != new:
            verb, reason = "+", f"{old.digest.short} becomes {new.short}"
        else:
            verb, reason = "=", f"{new.short} is there"
        found.append(Change(where=site.name, what=what, verb=verb, reason=reason))
    for name, version in sorted(current):
        reason = "no longer asked for by the site or no longer locked"
        what = f"data/{name}/{version}"
        found.append(Change(where=site.name, what=what, verb="-", reason=reason))
    return tuple(found)


def older_entries(wanted: Sequence[DataLock], before: Sequence[DataEntry]) -> list[DataEntry]:
    """Returns earlier contents of sets that are still wanted, which programs may be reading."""
    now: Mapping[tuple[str, str], str] = {
        (lock.id.name, lock.id.version): full_version(lock.id.version, lock.made.content.digest)
        for lock in wanted
        if lock.made is not None
    }
    return [e for e in before if now.get((e.name, e.version), e.full) != e.full]
