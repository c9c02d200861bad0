"""Goes back to an earlier deployment of a site: one atomic switch, on every target."""

from __future__ import annotations

import contextlib
import os

from ssds.core.errors import Refused
from ssds.recipe.codes import near
from ssds.ship.images import has_image
from ssds.ship.links import links_stand
from ssds.ship.parts import lacking
from ssds.ship.refdata.content import has_set
from ssds.ship.targets.plain import PlainTree
from ssds.ship.targets.plug import Target
from ssds.ship.tree import (
    check_owner,
    generations,
    linked_number,
    parts_path,
    read_generation,
    sites_in,
)


def rollback(site: str, target: str | Target, *, to: int = 0) -> tuple[int, int]:
    """Makes an earlier generation of a site the current one; returns the number before and now.

    Later generations stay, so that one can go forward again; the next deployment is numbered after
    the newest.

    Args:
        to: the generation; the one before the current one where 0.

    Raises:
        Refused: D024 the tree holds no such site, D025 there is no such generation, D026 an image
            or a data set of it is no longer whole.
    """
    place = PlainTree(target) if isinstance(target, str) else target
    with place.locked() if place.exists() else contextlib.nullcontext():
        known = generations(place.folder, site) if check_owner(place.folder) else []
        current = linked_number(place.folder, site, "current")
        number = to or max((n for n in known if n < current), default=0)
        if not known:
            sites = sites_in(place.folder)
            held = f"Sites there: {', '.join(sites) or 'none'}. Is it the folder of the tree?"
            raise Refused(
                f"{place.name} holds no site {site}",
                hint=f"{near(site, set(sites))} {held}".strip(),
                code="D024",
            )
        if number not in known:
            what = f"generation {to}" if to else "earlier generation"
            raise Refused(
                f"{place.name} has no {what} of the site {site}",
                hint=f"It has: {', '.join(map(str, known)) or 'none'}; current is {current}.",
                code="D025",
            )
        wanted = read_generation(place.folder, site, number)
        lost = sorted(i.short for i in wanted.images if not has_image(place.folder, i))
        lost += sorted(d.short for d in wanted.sets if not has_set(place.folder, d))
        shares = {share.part for share in wanted.shares.values()}
        lost += lacking(os.path.join(place.folder, parts_path(site)), shares)
        if lost:
            raise Refused(
                f"generation {number} of {site} needs images, data or modules that are gone: "
                f"{', '.join(lost)}",
                hint="Deploy the older lock instead: it brings them back.",
                code="D026",
            )
        if number != current or not links_stand(place.folder, site):
            with place.change(f"rollback {site} to {number}") as draft:
                draft.point(site, number)
    return current, number
