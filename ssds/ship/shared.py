"""A tree in which others deployed too: what of it was adopted, and what is nobody's but theirs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

from ssds.core.model import ReleaseName
from ssds.lock.model import Adoption, Lock
from ssds.recipe.model import Site
from ssds.ship.changes import Change
from ssds.ship.links import owned_paths
from ssds.ship.old_layout import CONTAINERS
from ssds.ship.sites import wanted

_OWN = frozenset({"modules"})
_BUILD = re.compile(rf"{CONTAINERS}/[^/]+/.+", re.DOTALL)


def adopted_in(folder: str, locks: Iterable[Lock]) -> list[tuple[ReleaseName, str]]:
    """Returns what was adopted of a tree, each with its place there.

    A tree of others is one of which a build was adopted: a place ``containers/<build>/…`` below it.
    Of any other folder nothing was, however much lies somewhere below it.
    """
    tops = {f"{path.rstrip('/')}/" for path in (os.path.abspath(folder), os.path.realpath(folder))}
    found, shared = [], False
    for release, adoption in _adopted(locks):
        inside = [place for place in adoption.locations if place.startswith(tuple(tops))]
        found += [(release, place) for place in inside[:1]]
        shared |= any(_BUILD.fullmatch(p.removeprefix(top)) for p in inside for top in tops)
    return found if shared else []


def shared_changes(
    site: Site, folder: str, found: Iterable[tuple[ReleaseName, str]]
) -> tuple[Change, ...]:
    """Returns a row for everything that stays as others wrote it.

    Adopted releases that the site takes are kept; one whose place is gone is told, and nothing is
    done about it. All other builds there are unmanaged.
    """
    rows = []
    places = set()
    for release, place in found:
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
                if section.adopted is not None:
                    yield lock.release_name(variant), section.adopted


def _builds(folder: str) -> list[str]:
    try:
        names = os.listdir(os.path.join(folder, CONTAINERS))
    except OSError:
        return []
    return sorted(name for name in names if not name.startswith("."))
