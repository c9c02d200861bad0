"""What a deployment would change, as a pure function of locks, a site and a tree's record."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from ssds.core.digest import Digest
from ssds.core.errors import Refused, UnavailableError
from ssds.recipe.model import Site
from ssds.ship.changes import Change, removals
from ssds.ship.generation import Deployed, Entry
from ssds.ship.refdata.choice import data_changes
from ssds.ship.sites import Pick, Resident, Selection

REMOVAL_LIMIT = 5


def site_changes(site: Site, selection: Selection, before: Deployed) -> tuple[Change, ...]:
    """Returns the changes of a site by release and data set, ``=`` where nothing is to do."""
    current = {entry.release: entry for entry in before.entries if entry.current}
    found = []
    for pick in selection.picks:
        old = current.pop((pick.name, pick.module), None)
        what = f"{pick.name}/{pick.module}"
        if old is None:
            word = "new, withdrawn" if pick.withdrawn else "new"
            verb, reason = "+", f"{word}, r{pick.released.revision}"
        elif old.withdrawn != bool(pick.withdrawn):
            said = "withdrawn: it refuses to load" if pick.withdrawn else "not withdrawn any more"
            verb, reason = "+", f"r{old.revision}, {said}"
        elif old.revision != pick.released.revision:
            verb, reason = "+", f"r{old.revision} becomes r{pick.released.revision}"
        elif old.images != {str(p): half.config.digest for p, half in pick.images.items()}:
            verb, reason = "+", f"r{old.revision}, on {' '.join(pick.images)}"
        else:
            verb, reason = "=", f"r{old.revision} is there{', withdrawn' * old.withdrawn}"
        found.append(Change(where=site.name, what=what, verb=verb, reason=reason))
    ours = {(pick.name, pick.module) for pick in selection.picks}
    for one in selection.residents:
        old = current.pop(one.release, None) if one.release not in ours else None
        found.append(resident_change(site, one, old, hidden=one.release in ours))
    for (name, module), _ in sorted(current.items()):
        reason = "no longer asked for by the site or no longer locked"
        found.append(Change(where=site.name, what=f"{name}/{module}", verb="-", reason=reason))
    return (*found, *data_changes(site, selection.data, before.data))


def resident_change(
    site: Site, one: Resident, old: Entry | None = None, *, hidden: bool = False
) -> Change:
    """Returns the row of an adopted release: it stays as others wrote it, whatever its module does.

    Args:
        old: the entry that it had; hidden: whether a release of ours has its public name.
    """
    what = "/".join(one.release) + ("-r0" if hidden else "")
    if not os.path.lexists(one.place):
        return Change(where=site.name, what=what, verb="x", reason=f"adopted; {one.place} is gone")
    said, verb = "", "="
    if one.withdrawn is not None:
        said, verb = ", withdrawn", "=" if old is not None and old.withdrawn else "+"
    elif old is not None and old.withdrawn:
        said, verb = ", not withdrawn any more", "+"
    return Change(where=site.name, what=what, verb=verb, reason=f"adopted, at {one.place}{said}")


def check_removals(changes: Sequence[Change], allowed: int, where: str) -> None:
    """Raises Refused (D013) where more releases would disappear than are allowed."""
    count = removals(changes)
    if count > allowed:
        raise Refused(
            f"this would remove {count} releases or data sets from {where}",
            hint=f"If that is meant, allow it: --allow-remove {count}.",
            code="D013",
        )


def missing_bytes(
    picks: Sequence[Pick], *, has: Callable[[Digest], bool], has_image: Callable[[Digest], bool]
) -> tuple[tuple[str, Digest], ...]:
    """Returns (release, digest) of all bytes that a deployment needs and that are not here (C2).

    Args:
        has: whether a blob is here.
        has_image: whether the tree holds the image of a config whole.
    """
    missing = []
    for release, half in ((str(pick.released.id), half) for pick in picks for half in pick.halves):
        needed = [half.config.digest, half.manifest.digest]
        if not has_image(half.config.digest):
            needed += [layer.digest for layer in half.layers if not has(layer.diff_id)]
        missing += [(release, digest) for digest in needed if not has(digest)]
    return tuple(missing)


def check_bytes(missing: Sequence[tuple[str, Digest]]) -> None:
    """Raises UnavailableError (D016) where bytes are missing."""
    if missing:
        releases = sorted({release for release, _ in missing})
        raise UnavailableError(
            f"{len(missing)} blobs of {', '.join(releases)} are not here, the first is "
            f"{missing[0][1]}",
            hint=f"Bring them, then deploy again: ssds apply --fetch {' '.join(releases)}",
            code="D016",
        )
