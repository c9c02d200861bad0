"""Removes what a tree keeps of earlier deployments; never anything that ssds did not write.

Modules, wrappers and links go with a deployment at once. A generation beyond the newest few goes
next, and an image or a data set that no retained generation of any site names goes after a grace
period: jobs that still use it end in peace, and clients of CVMFS see the removal first in their
catalogs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence

from ssds.core.canonical import pretty_bytes
from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError
from ssds.core.records import dataclass
from ssds.host import local
from ssds.ship.images import image_problems
from ssds.ship.parts import NAME
from ssds.ship.refdata.content import set_problems
from ssds.ship.targets.plain import PlainTree
from ssds.ship.targets.plug import Target
from ssds.ship.tree import (
    DATA,
    MARKERS,
    OURS,
    check_owner,
    data_marker,
    data_path,
    generations,
    image_path,
    linked_number,
    marked,
    marker_path,
    parts_path,
    read_generation,
    site_path,
    sites_in,
)

UNUSED = f"{OURS}/unused.json"
KEEP = 3
GRACE_S = 14 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What may go from a tree, and what must stay.

    Attributes:
        generations: their folders; parts: folders of parts that no kept generation has.
        images, sets: images and data sets whose grace period is over.
        waiting: image or data set → since when nobody wants it, in seconds since the Unix epoch.
        owners: image or data set → the sites of which generations had it, as far as it is known.
        living, living_sets: images and data sets that must stay.
    """

    generations: tuple[str, ...]
    parts: tuple[str, ...]
    images: tuple[Digest, ...]
    sets: tuple[Digest, ...]
    waiting: dict[Digest, int]
    owners: dict[Digest, frozenset[str]]
    living: frozenset[Digest]
    living_sets: frozenset[Digest]

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders of images and data sets that go."""
        return (*map(image_path, self.images), *map(data_path, self.sets))

    @property
    def paths(self) -> tuple[str, ...]:
        """What goes, relative to the tree."""
        return (*self.generations, *self.parts, *self.folders)


def plan_removal(
    folder: str, *, keep: int, grace_s: float, now_s: float, only: str = ""
) -> Removal:
    """Returns what may go, decided over all retained generations of all sites; changes nothing.

    Args:
        only: a site: others keep all generations, and of images and data only its own go.

    Raises:
        InvalidValue: D012, a record is damaged: nothing may go then.
    """
    living: set[Digest] = set()
    living_sets: set[Digest] = set()
    old: list[str] = []
    parts: list[str] = []
    since, owners = _unused(folder)
    for site in sites_in(folder):
        numbers = generations(folder, site)
        newest = numbers[-max(1, keep) :] if only in ("", site) else numbers
        kept = {*newest, linked_number(folder, site, "current")} - {0}
        shared: set[str] = set()
        for number in sorted({*kept, *(numbers if site == only else ())}):
            found = read_generation(folder, site, number)
            if site == only:
                for digest in found.images | found.sets:
                    owners[digest] = owners.get(digest, frozenset()) | {site}
            if number in kept:
                living |= found.images
                living_sets |= found.sets
                shared |= {share.part for share in found.shares.values()}
        if only in ("", site):
            parts += [f"{parts_path(site)}/{p}" for p in _parts_in(folder, site) if p not in shared]
        old += [f"{site_path(site)}/{number}" for number in numbers if number not in kept]
    sets = frozenset(marked(folder, DATA))
    unused = ({*marked(folder, MARKERS)} - living) | (sets - living_sets)
    waiting = {digest: since.get(digest, int(now_s)) for digest in sorted(unused)}
    due = sorted(
        digest
        for digest, at in waiting.items()
        if now_s - at >= grace_s and (not only or only in owners.get(digest, ()))
    )
    return Removal(
        generations=tuple(old),
        parts=tuple(parts),
        images=tuple(digest for digest in due if digest not in sets),
        sets=tuple(digest for digest in due if digest in sets),
        waiting={digest: at for digest, at in waiting.items() if digest not in due},
        owners=owners,
        living=frozenset(living),
        living_sets=frozenset(living_sets),
    )


def prune(
    target: str | Target,
    *,
    now_s: float,
    keep: int = KEEP,
    grace_s: float = GRACE_S,
    only: str = "",
) -> tuple[str, ...]:
    """Removes generations beyond each site's newest ``keep``; images and data after their grace.

    A site's current generation always stays. Returns the paths that were removed, relative to the
    tree.

    Args:
        now_s: the time now, in seconds since the Unix epoch; graces are counted from it.

    Raises:
        IntegrityError: D027, an image or data set that must live is not whole afterwards.
    """
    place = PlainTree(target) if isinstance(target, str) else target
    if not place.exists():
        return ()
    with place.locked():
        if not check_owner(place.folder):
            return ()
        plan = plan_removal(place.folder, keep=keep, grace_s=grace_s, now_s=now_s, only=only)
        before, owners = _unused(place.folder)
        told = _unused_bytes(plan.waiting, plan.owners)
        if plan.paths or told != _unused_bytes(before, owners):
            left = {d: before.get(d, int(now_s)) for d in (*plan.images, *plan.sets)}
            for batch in _batches(plan, place.filled_by):
                with place.change("prune") as draft:
                    for digest, paths in batch:
                        for path in paths:
                            draft.remove(path)
                        if digest is not None:
                            del left[digest]
                    told = _unused_bytes({**plan.waiting, **left}, plan.owners)
                    draft.file(UNUSED, told, "deploy.unused")
            if plan.folders:
                place.collect()
        problems = _lost(place.folder, plan)
    if problems:
        raise IntegrityError(
            f"after the removal {len(problems)} things are wrong, the first is {problems[0]}",
            hint="`ssds deploy --check` names all; deploy again to bring images back.",
            code="D027",
        )
    return plan.paths


def _batches(
    plan: Removal, filled_by: Callable[[Sequence[str]], float]
) -> list[list[tuple[Digest | None, tuple[str, ...]]]]:
    """Returns what goes, in changes that the target can make; at least one.

    Generations and parts go first: what is left of content at any time is wanted by nobody. An
    image goes with its marker.
    """
    things: list[tuple[Digest | None, tuple[str, ...]]] = [
        (None, (path,)) for path in (*plan.generations, *plan.parts)
    ]
    things += [(image, (image_path(image), marker_path(image))) for image in plan.images]
    things += [(digest, (data_path(digest), data_marker(digest))) for digest in plan.sets]
    found: list[list[tuple[Digest | None, tuple[str, ...]]]] = [[]]
    used = 0.0
    for thing in things:
        share = filled_by(thing[1])
        if found[-1] and used + share > 1:
            found.append([])
            used = 0.0
        found[-1].append(thing)
        used += share
    return found


def _parts_in(folder: str, site: str) -> list[str]:
    path = os.path.join(folder, parts_path(site))
    return sorted(n for n in os.listdir(path) if NAME.fullmatch(n)) if os.path.isdir(path) else []


def _lost(folder: str, plan: Removal) -> list[str]:
    """Returns what is wrong with images and data sets that must live."""
    lost = [text for image in sorted(plan.living) for text in image_problems(folder, image)]
    return lost + [text for d in sorted(plan.living_sets) for text in set_problems(folder, d)]


def _unused(folder: str) -> tuple[dict[Digest, int], dict[Digest, frozenset[str]]]:
    """Returns since when nobody wants what is there, and which sites had it.

    A damaged list starts all periods anew. Sites are noted, as their generations go first.
    """
    try:
        with local.open_regular(os.path.join(folder, UNUSED)) as file:
            found = json.loads(file.read())
        since = {Digest(text): int(at) for text, at in found["images"].items()}
        sites = {Digest(d): frozenset(map(str, s)) for d, s in found.get("sites", {}).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}, {}
    return since, sites


def _unused_bytes(waiting: Mapping[Digest, int], owners: Mapping[Digest, frozenset[str]]) -> bytes:
    sites = {str(d): sorted(owners[d]) for d in sorted(waiting) if owners.get(d)}
    images = {str(digest): at for digest, at in sorted(waiting.items())}
    return pretty_bytes({"images": images, **({"sites": sites} if sites else {})})
