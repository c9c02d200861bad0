"""Deploys releases into a tree: images, modules and wrappers of a site (C22).

It reads only locks, blobs and site files, and changes only what ssds wrote (C14). What would change
is ``planning``, what stands in a site's folder ``releases`` and ``generation``, where it is written
``targets``; ``tree`` says where things stand.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from ssds.core.digest import Digest
from ssds.lock.model import Lock, ReleaseHalf
from ssds.lock.write import lock_bytes
from ssds.recipe.model import Channel, Site
from ssds.ship.changes import Change
from ssds.ship.checking import generation_problems
from ssds.ship.collisions import Collision
from ssds.ship.generation import Generation
from ssds.ship.images import BlobSource, Programs, has_image, image_problems, programs_of_folder
from ssds.ship.links import LINKS, links_stand, names_bytes, public_names
from ssds.ship.planning import (
    REMOVAL_LIMIT,
    check_bytes,
    check_removals,
    missing_bytes,
    site_changes,
)
from ssds.ship.published import CATALOG
from ssds.ship.releases import compose_site, look_with
from ssds.ship.sites import Selection, select
from ssds.ship.targets.plain import PlainTree
from ssds.ship.targets.plug import Draft, Target
from ssds.ship.tree import check_owner, marker_path, read_deployed

__all__ = ["REMOVAL_LIMIT", "DeployReport", "deploy", "plan_deploy", "read_deployed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployReport:
    """What a deployment did.

    Attributes:
        changes: by release; ``=`` where nothing was to do.
        generation: the number of the site's current generation.
        written: False when the tree was as it should be and nothing was written.
        images_written: how many images were unpacked.
        left_out: (release, reason) of what the site asks for and did not get.
        notes: (release, path, what is with it): left out of an image, or may surprise.
        collisions: commands that several releases offer, and who has them.
    """

    changes: tuple[Change, ...]
    generation: int
    written: bool
    images_written: int
    left_out: tuple[tuple[str, str], ...] = ()
    notes: tuple[tuple[str, str, str], ...] = ()
    collisions: tuple[Collision, ...] = ()


def deploy(
    site: Site,
    locks: Iterable[Lock],
    blobs: BlobSource,
    target: str | Target,
    *,
    channels: Iterable[Channel] = (),
    catalog_version: str = "",
    allow_remove: int = REMOVAL_LIMIT,
    repair: bool = False,
) -> DeployReport:
    """Makes the tree hold what ``site`` asks for; readers see the old state or the new.

    Args:
        blobs: where bytes come from; only images that are missing are read.
        target: a folder, or another place that holds a tree.
        channels: those that publish the releases; they give images their public names.
        catalog_version: noted in the record, for people.
        allow_remove: how many releases may disappear.
        repair: look at images and modules that are there, and make anew what is not as deployed.

    Raises:
        Refused: D010 the folder is not ours, D017 it has another form, D013 too many removals,
            D014 an image lacks a command that its lock offers.
        UnavailableError: bytes are missing. IntegrityError: bytes are damaged.
    """
    place = PlainTree(target) if isinstance(target, str) else target
    known = list(locks)
    selection = select(site, known, look_with(blobs))
    taken = {(pick.released.id.name, pick.released.id.version) for pick in selection.picks}
    return deploy_selection(
        site,
        selection,
        blobs,
        place,
        channels=channels,
        catalog_version=catalog_version,
        allow_remove=allow_remove,
        repair=repair,
        attached={
            f"locks/{lock.name}@{lock.version}.lock.json": lock_bytes(lock)
            for lock in known
            if (lock.name, lock.version) in taken
        },
    )


def deploy_selection(
    site: Site,
    selection: Selection,
    blobs: BlobSource,
    place: Target,
    *,
    channels: Iterable[Channel] = (),
    catalog_version: str = "",
    allow_remove: int = REMOVAL_LIMIT,
    repair: bool = False,
    attached: Mapping[str, bytes] = MappingProxyType({}),
) -> DeployReport:
    """Does what ``deploy`` does for releases that were chosen before.

    Args:
        attached: path in the generation → bytes that lie there for people, as copies of the locks.
    """
    place.exists()
    with place.locked():
        owned = check_owner(place.folder)
        before = read_deployed(place.folder, site.name)
        changes = site_changes(site, selection, before)
        check_removals(changes, allow_remove, place.name)
        broken = _broken(place.folder, selection) if repair else frozenset()
        odd = repair and any(generation_problems(place.folder, site.name, before))

        def here(image: Digest) -> bool:
            return image not in broken and has_image(place.folder, image)

        missing = missing_bytes(selection.picks, has=blobs.has, has_image=here)
        check_bytes(missing)
        whole = owned and all(
            here(half.config.digest) for pick in selection.picks for half in pick.halves
        )
        names, manifests = public_names(selection.picks, channels)

        def compose(folder: str, programs_of: Callable[[ReleaseHalf], Programs]) -> Generation:
            made = compose_site(site, selection, before, folder, blobs, programs_of)
            made.files |= {path: blobs.read(digest) for path, digest in manifests.items()}
            made.files |= {LINKS: names_bytes(names), CATALOG: b""}
            made.attached |= attached
            return made

        if whole and links_stand(place.folder, site.name):
            made = compose(place.folder, partial(programs_of_folder, place.folder, blobs))
            if str(made.digest) == before.content and not odd:
                return _report(selection, changes, before.number, made.collisions)
        with place.change(f"deploy {site.name}") as draft:
            draft.claim()
            for image in sorted(broken):
                draft.remove(marker_path(image))
            written, notes = _bring_images(draft, selection, blobs)
            generation = compose(draft.folder, partial(draft.programs, blobs))
            number = before.number
            if number and str(generation.digest) == before.content and not odd:
                draft.point(site.name, number)
            else:
                number = draft.switch(site.name, generation, names, catalog_version)
    return DeployReport(
        changes=changes,
        generation=number,
        written=True,
        images_written=written,
        left_out=selection.left_out,
        notes=tuple(notes),
        collisions=generation.collisions,
    )


def plan_deploy(
    site: Site, locks: Iterable[Lock], blobs: BlobSource, target: str | Target
) -> tuple[Change, ...]:
    """Returns what ``deploy`` would change, by release; reads the tree's record only.

    Args:
        blobs: read only where the site selects by category, licence or label.
    """
    folder = os.path.abspath(target) if isinstance(target, str) else target.folder
    check_owner(folder)
    return site_changes(
        site, select(site, locks, look_with(blobs)), read_deployed(folder, site.name)
    )


def _report(
    selection: Selection,
    changes: tuple[Change, ...],
    number: int,
    collisions: tuple[Collision, ...],
) -> DeployReport:
    return DeployReport(
        changes=changes,
        generation=number,
        written=False,
        images_written=0,
        left_out=selection.left_out,
        collisions=collisions,
    )


def _broken(folder: str, selection: Selection) -> frozenset[Digest]:
    images = {half.config.digest for pick in selection.picks for half in pick.halves}
    return frozenset(i for i in images if has_image(folder, i) and image_problems(folder, i))


def _bring_images(
    draft: Draft, selection: Selection, blobs: BlobSource
) -> tuple[int, list[tuple[str, str, str]]]:
    halves: dict[Digest, ReleaseHalf] = {}
    releases: dict[Digest, str] = {}
    for pick in selection.picks:
        for half in pick.halves:
            image = half.config.digest
            known = halves.setdefault(image, half)
            commands = tuple(sorted({*known.offered, *half.offered}))
            halves[image] = replace(known, commands=commands)
            releases.setdefault(image, str(pick.released.id))
    written = 0
    notes: list[tuple[str, str, str]] = []
    for image, half in halves.items():
        done = draft.image(half, blobs)
        written += done.written
        notes += [(releases[image], path, text) for path, text in done.notes]
    return written, notes
