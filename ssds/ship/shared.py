"""A tree in which others deployed too: what of it was adopted, and what is nobody's but theirs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence

from ssds.core.model import ReleaseName
from ssds.lock.model import Adoption, Lock, Withdrawal
from ssds.recipe.model import Site
from ssds.ship.changes import Change
from ssds.ship.links import owned_paths
from ssds.ship.old_layout import CONTAINERS
from ssds.ship.planning import resident_change
from ssds.ship.sites import Resident, wanted

_OWN = frozenset({"modules"})
_BUILD = re.compile(rf"{CONTAINERS}/[^/]+/.+", re.DOTALL)


def adopted_in(folder: str, locks: Iterable[Lock]) -> list[Resident]:
    """Returns what was adopted of a tree.

    A tree of others is one of which a build was adopted: a place ``containers/<build>/…`` below it.
    Of any other folder nothing was, however much lies somewhere below it.
    """
    tops = {f"{path.rstrip('/')}/" for path in (os.path.abspath(folder), os.path.realpath(folder))}
    found = []
    for release, adoption, withdrawn in _adopted(locks):
        inside = {p: p.removeprefix(t) for p in adoption.locations for t in tops if p.startswith(t)}
        places = [p for p in inside if _BUILD.fullmatch(inside[p])] or list(inside)
        found += [
            Resident(id=release, place=p, inside=inside[p], adoption=adoption, withdrawn=withdrawn)
            for p in places[:1]
        ]
    return found if any(_BUILD.fullmatch(one.inside) for one in found) else []


def with_modules(site: Site, folder: str, found: Iterable[Resident]) -> tuple[Resident, ...]:
    """Returns those that a site takes and whose folder of wrappers stands, each name once."""
    kept: dict[tuple[str, str], Resident] = {}
    for one in found:
        stands = _BUILD.fullmatch(one.inside) and os.path.isdir(os.path.join(folder, one.folder))
        if stands and wanted(site, one.id):
            kept.setdefault(one.release, one)
    return tuple(kept.values())


def shared_changes(
    site: Site, folder: str, found: Sequence[Resident], shown: Sequence[Resident]
) -> tuple[Change, ...]:
    """Returns a row for everything that stays as others wrote it and has no module of the site.

    Adopted releases that the site takes are kept; one whose place is gone is told, and nothing is
    done about it. All other builds there are unmanaged.
    """
    places = {os.path.basename(one.folder) for one in found}
    others = (one for one in found if wanted(site, one.id) and one not in shown)
    rows = [resident_change(site, one) for one in others]
    ours = {path.split("/")[1] for path in owned_paths(folder) if path.startswith(f"{CONTAINERS}/")}
    rows += [
        Change(where=site.name, what=f"{CONTAINERS}/{name}", verb="unmanaged", reason="of others")
        for name in _builds(folder)
        if name not in places | ours | _OWN
    ]
    return tuple(rows)


def _adopted(locks: Iterable[Lock]) -> Iterator[tuple[ReleaseName, Adoption, Withdrawal | None]]:
    for lock in locks:
        for variant, entry in sorted(lock.variants.items()):
            for section in entry.platforms.values():
                if section.adopted is not None:
                    yield lock.release_name(variant), section.adopted, entry.withdrawn


def _builds(folder: str) -> list[str]:
    try:
        names = os.listdir(os.path.join(folder, CONTAINERS))
    except OSError:
        return []
    return sorted(name for name in names if not name.startswith("."))
