"""What of all locks a site's tree gets, and what of others' in it was adopted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

from ssds.lock.data import DataLock
from ssds.lock.model import Lock
from ssds.lock.write import lock_bytes
from ssds.recipe.model import Site
from ssds.ship.changes import Change
from ssds.ship.images import BlobSource, has_image
from ssds.ship.refdata.choice import select_data
from ssds.ship.releases import look_with
from ssds.ship.shared import adopted_in, shared_changes, with_modules
from ssds.ship.sites import Pick, Selection, select
from ssds.ship.targets.plug import Target

Attached = Mapping[str, Mapping[str, Callable[[], bytes]]]


def choose(
    site: Site,
    locks: Iterable[Lock],
    data: Iterable[DataLock],
    blobs: BlobSource,
    place: Target,
) -> tuple[Selection, tuple[Change, ...] | None]:
    """Returns what a site gets, and rows for what others have in the tree that was adopted."""
    known = list(locks)
    selection = _select(site, known, data, blobs)
    picks = tuple(_as_it_stands(pick, place.folder) for pick in selection.picks)
    selection = replace(selection, picks=picks)
    found = adopted_in(place.folder, known)
    if not found:
        return selection, None
    here = {str(one.id) for one in found}
    left_out = tuple(row for row in selection.left_out if row[0] not in here)
    shown = with_modules(site, place.folder, found)
    selection = replace(selection, left_out=left_out, residents=shown)
    return selection, shared_changes(site, place.folder, found, shown)


def _select(
    site: Site, locks: Iterable[Lock], data: Iterable[DataLock], blobs: BlobSource
) -> Selection:
    found = select(site, locks, look_with(blobs))
    if not site.data:
        return found
    sets, left = select_data(site, data)
    return replace(found, data=sets, left_out=(*found.left_out, *left))


def _as_it_stands(pick: Pick, folder: str) -> Pick:
    """Returns a withdrawn release with the images that the tree has: no other is brought there."""
    if not pick.withdrawn:
        return pick
    there = {p: half for p, half in pick.images.items() if has_image(folder, half.config.digest)}
    return replace(pick, images=there)


def copies_of(locks: Iterable[Lock], selection: Selection) -> Attached:
    """Returns the copies of locks that parts hold."""
    ids = [pick.released.id for pick in selection.picks] + [o.id for o in selection.residents]
    taken = {(release.name, release.version) for release in ids}
    found: dict[str, dict[str, Callable[[], bytes]]] = {}
    for lock in locks:
        if (lock.name, lock.version) in taken:
            path = f"locks/{lock.name}@{lock.version}.lock.json"
            found.setdefault(lock.name, {})[path] = partial(lock_bytes, lock)
    return found
