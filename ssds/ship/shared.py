"""A tree in which others deployed too: what of it was adopted, and what is nobody's but theirs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from ssds.core.model import ReleaseName
from ssds.lock.model import Adoption, Lock
from ssds.recipe.model import Site
from ssds.ship.changes import Change
from ssds.ship.links import owned_paths
from ssds.ship.old_layout import CONTAINERS
from ssds.ship.sites import wanted

_OWN = frozenset({"modules"})


def adopted_in(folder: str, locks: Iterable[Lock]) -> list[tuple[ReleaseName, Adoption]]:
    """Returns what was adopted of a tree: its first location is below the tree's folder."""
    tops = {os.path.abspath(folder).rstrip("/") + "/", os.path.realpath(folder).rstrip("/") + "/"}
    return [
        (release, adoption)
        for release, adoption in _adopted(locks)
        if any(adoption.locations[0].startswith(top) for top in tops)
    ]


def shared_changes(
    site: Site, folder: str, found: Iterable[tuple[ReleaseName, Adoption]]
) -> tuple[Change, ...]:
    """Returns a row for everything that stays as others wrote it.

    Adopted releases that the site takes are kept; one whose place is gone is told, and nothing is
    done about it. All other builds there are unmanaged.
    """
    rows = []
    places = set()
    for release, adoption in found:
        place = adoption.locations[0]
        places.add(os.path.basename(os.path.dirname(place)))
        if not wanted(site, release):
            continue
        there = os.path.lexists(place)
        reason = f"adopted, at {place}" if there else f"adopted; {place} is gone"
        what = f"{release.name}/{release.tag}"
        rows.append(Change(where=site.name, what=what, verb="=" if there else "x", reason=reason))
    ours = {path.split("/")[1] for path in owned_paths(folder) if path.startswith(f"{CONTAINERS}/")}
    rows += [
        Change(where=site.name, what=f"{CONTAINERS}/{name}", verb="unmanaged", reason="of others")
        for name in _builds(folder)
        if name not in places | ours | _OWN
    ]
    return tuple(rows)


def _adopted(locks: Iterable[Lock]) -> Iterator[tuple[ReleaseName, Adoption]]:
    for lock in locks:
        for variant, entry in sorted(lock.variants.items()):
            for section in entry.platforms.values():
                if section.adopted is not None and section.adopted.locations:
                    yield lock.release_name(variant), section.adopted


def _builds(folder: str) -> list[str]:
    try:
        names = os.listdir(os.path.join(folder, CONTAINERS))
    except OSError:
        return []
    return sorted(name for name in names if not name.startswith("."))
