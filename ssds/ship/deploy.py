"""Deploys releases into a tree: images, modules and wrappers of a site (C22).

It reads only locks, blobs and site files, and changes only what ssds wrote (C14). What would change
is ``planning``, what stands in a site's folder ``releases`` and ``generation``, where it is written
``targets``; ``tree`` says where things stand.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from ssds.core.digest import Digest
from ssds.lock.data import DataLock
from ssds.lock.model import Lock, ReleaseHalf
from ssds.recipe.model import Channel, Site
from ssds.ship.changes import Change
from ssds.ship.checking import check_written, damaged_parts, generation_problems
from ssds.ship.choosing import Attached, choose, copies_of
from ssds.ship.collisions import Collision
from ssds.ship.generation import Deployed, Generation
from ssds.ship.images import BlobSource, Programs, has_image, programs_of_folder
from ssds.ship.links import (
    LINKS,
    Name,
    links_stand,
    names_bytes,
    parse_names,
    public_names,
    read_names,
)
from ssds.ship.old_layout import old_layout, view_files
from ssds.ship.parts import lacking
from ssds.ship.placing import bring_data, bring_images, broken_in
from ssds.ship.planning import (
    REMOVAL_LIMIT,
    check_bytes,
    check_removals,
    missing_bytes,
    site_changes,
)
from ssds.ship.published import CATALOG
from ssds.ship.refdata.content import has_set, needed_bytes
from ssds.ship.releases import compose_site
from ssds.ship.sites import Selection, binds_of
from ssds.ship.targets.plain import PlainTree
from ssds.ship.targets.plug import Target
from ssds.ship.tree import check_owner, parts_path, read_deployed

__all__ = ["REMOVAL_LIMIT", "DeployPlan", "DeployReport", "deploy", "plan_deploy", "read_deployed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployReport:
    """What a deployment did.

    Attributes:
        changes: by release; ``=`` where nothing was to do.
        generation: the number of the site's current generation.
        written: False when the tree was as it should be and nothing was written.
        images_written: how many images were unpacked; data_written: how many data sets.
        left_out: (release, reason) of what the site asks for and did not get.
        notes: (release, path, what is with it): left out of an image, or may surprise.
        collisions: commands that several releases offer, and who has them.
    """

    changes: tuple[Change, ...]
    generation: int
    written: bool
    images_written: int
    data_written: int = 0
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
    data: Iterable[DataLock] = (),
    allow_remove: int = REMOVAL_LIMIT,
    repair: bool = False,
    seal: Callable[[bytes], bytes] | None = None,
) -> DeployReport:
    """Makes the tree hold what ``site`` asks for; readers see the old state or the new.

    Args:
        blobs: where bytes come from; only images that are missing are read.
        target: a folder, or another place that holds a tree.
        channels: those that publish the releases; they give images their public names.
        data: locks of data sets, of which the site's ``data`` chooses.
        allow_remove: how many releases and data sets may disappear.
        repair: look at images and modules that are there, and make anew what is not as deployed.
        seal: signs the record of a new generation.

    Raises:
        Refused: D010 the folder is not ours, D017 it has another form, D013 too many removals,
            D014 an image lacks a command that its lock offers.
        UnavailableError: bytes are missing. IntegrityError: bytes are damaged.
    """
    place = PlainTree(target) if isinstance(target, str) else target
    known = list(locks)
    selection, shared = choose(site, known, data, blobs, place)
    return deploy_selection(
        site,
        selection,
        blobs,
        place,
        channels=channels,
        allow_remove=allow_remove,
        repair=repair,
        attached=copies_of(known, selection),
        shared=shared,
        seal=seal,
    )


def deploy_selection(
    site: Site,
    selection: Selection,
    blobs: BlobSource,
    place: Target,
    *,
    channels: Iterable[Channel] = (),
    allow_remove: int = REMOVAL_LIMIT,
    repair: bool = False,
    attached: Attached = MappingProxyType({}),
    shared: tuple[Change, ...] | None = None,
    seal: Callable[[bytes], bytes] | None = None,
) -> DeployReport:
    """Does what ``deploy`` does for releases that were chosen before.

    Args:
        attached: software → path in its part → what gives bytes that lie there for people: copies
            of the locks.
        shared: rows for what others have in the tree; None where they may have nothing.
    """
    place.exists(shared=shared is not None)
    with place.locked():
        work = _work(
            site, selection, blobs, place, channels, attached, shared=shared, repair=repair
        )
        before = work.before
        check_removals(work.changes, allow_remove, place.name)
        broken = broken_in(place.folder, selection) if repair else frozenset()
        damaged = damaged_parts(place.folder, site.name, before) if repair else frozenset()
        odd = repair and any(generation_problems(place.folder, site.name, before))
        check_bytes(work.missing(broken))
        if work.whole(broken) and links_stand(place.folder, site.name):
            made = work.compose_here(anew=repair)
            if work.stands(made) and not odd:
                return _report(selection, work.changes, before.number, made.collisions)
        with place.change(f"deploy {site.name}") as draft:
            draft.claim()
            there = {i for i in selection.images if has_image(place.folder, i)} - broken
            written, notes = bring_images(draft, selection, blobs, broken)
            sets, more = bring_data(draft, selection, blobs, broken)
            generation = work.compose(draft.folder, partial(draft.programs, blobs), anew=repair)
            generation.seal = seal
            number = before.number
            parts: list[str] = []
            if number and work.stands(generation) and not odd:
                draft.point(site.name, number)
            else:
                parts = draft.missing_parts(site.name, generation, damaged)
                number = draft.switch(
                    site.name, generation, parse_names(generation.files[LINKS]), damaged
                )
        check_written(place.folder, site.name, parts, selection.images - there)
    return DeployReport(
        changes=work.changes,
        generation=number,
        written=True,
        images_written=written,
        data_written=sets,
        left_out=selection.left_out,
        notes=(*notes, *more),
        collisions=generation.collisions,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What a deployment is made from, and what stands there."""

    site: Site
    selection: Selection
    blobs: BlobSource
    folder: str
    inner: str
    owned: bool
    before: Deployed
    changes: tuple[Change, ...]
    names: dict[str, Name]
    manifests: Mapping[str, Digest]
    attached: Attached

    def missing(self, broken: frozenset[Digest] = frozenset()) -> tuple[tuple[str, Digest], ...]:
        """The bytes that it needs and that are not here; what is broken is made anew."""
        images = missing_bytes(
            self.selection.picks,
            has=self.blobs.has,
            has_image=lambda image: image not in broken and has_image(self.folder, image),
        )
        data = [
            (str(lock.id), digest)
            for lock in self.selection.data
            if self._lacks(lock, broken)
            for digest in needed_bytes(lock)
            if not self.blobs.has(digest)
        ]
        return (*images, *data)

    def _lacks(self, lock: DataLock, broken: frozenset[Digest]) -> bool:
        digest = needed_bytes(lock)[0]
        return digest in broken or not has_set(self.folder, digest)

    def whole(self, broken: frozenset[Digest] = frozenset()) -> bool:
        """Whether the tree is ours and has every image and data set."""
        return (
            self.owned
            and all(i not in broken and has_image(self.folder, i) for i in self.selection.images)
            and not any(self._lacks(lock, broken) for lock in self.selection.data)
        )

    def stands(self, made: Generation) -> bool:
        """Whether the site's generation now has that content, and each part of it is there."""
        parts = (share.part for share in made.shares.values())
        gone = lacking(os.path.join(self.folder, parts_path(self.site.name)), parts)
        return str(made.digest) == self.before.content and not gone

    def compose(
        self, folder: str, programs_of: Callable[[ReleaseHalf], Programs], *, anew: bool = False
    ) -> Generation:
        """Returns the site's next generation; ``anew``: nothing of it is taken as it stands."""
        made = compose_site(
            self.site,
            self.selection,
            self.before,
            folder,
            self.blobs,
            programs_of,
            inner=self.inner,
            anew=anew,
        )
        made.own.files |= {path: self.blobs.read(digest) for path, digest in self.manifests.items()}
        old = read_names(self.folder, self.site.name, self.before.number)
        view = old_layout(
            self.site,
            self.selection.picks,
            made.entries,
            self.blobs,
            before=old,
            read=partial(view_files, self.folder, self.site.name, self.before.number, old),
        )
        made.own.files |= view.files
        made.own.files |= {LINKS: names_bytes({**self.names, **view.names}), CATALOG: b""}
        for name, share in made.shares.items():
            if share.part in made.parts:
                made.parts[share.part].attached |= self.attached.get(name, {})
        return made

    def compose_here(self, *, anew: bool = False) -> Generation:
        """Returns it from the images that the tree has."""
        programs_of = partial(programs_of_folder, self.folder, self.blobs)
        return self.compose(self.folder, programs_of, anew=anew)


def _work(
    site: Site,
    selection: Selection,
    blobs: BlobSource,
    place: Target,
    channels: Iterable[Channel],
    attached: Attached,
    *,
    shared: tuple[Change, ...] | None = None,
    repair: bool = False,
) -> _Work:
    owned = check_owner(place.folder, shared=shared is not None)
    before = read_deployed(place.folder, site.name, repair=repair)
    names, manifests = public_names(selection.picks, channels)
    return _Work(
        site=site,
        selection=selection,
        blobs=blobs,
        folder=place.folder,
        inner=place.inner,
        owned=owned,
        before=before,
        changes=(*site_changes(site, selection, before), *(shared or ())),
        names=names,
        manifests=manifests,
        attached=attached,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployPlan:
    """What a deployment would do.

    Attributes:
        changes, left_out, collisions: as in DeployReport; collisions are known where all images
            are in the tree.
        missing: (release, digest) of bytes that it would need and that are not here.
        rewritten: whether the site would get another generation: releases, or what the site's own
            file says of modules and wrappers.
    """

    changes: tuple[Change, ...]
    left_out: tuple[tuple[str, str], ...]
    missing: tuple[tuple[str, Digest], ...]
    rewritten: bool
    collisions: tuple[Collision, ...] = ()


def plan_deploy(
    site: Site,
    locks: Iterable[Lock],
    blobs: BlobSource,
    target: str | Target,
    *,
    channels: Iterable[Channel] = (),
    data: Iterable[DataLock] = (),
) -> DeployPlan:
    """Returns what ``deploy`` would do; nothing is written, and no image is unpacked."""
    place = PlainTree(target) if isinstance(target, str) else target
    known = list(locks)
    selection, shared = choose(site, known, data, blobs, place)
    binds_of(site)
    copies = copies_of(known, selection)
    work = _work(site, selection, blobs, place, channels, copies, shared=shared)
    missing = work.missing()
    made = work.compose_here() if work.whole() and not missing else None
    stands = links_stand(work.folder, site.name) if work.owned else False
    return DeployPlan(
        changes=work.changes,
        left_out=selection.left_out,
        missing=missing,
        rewritten=made is None or not stands or not work.stands(made),
        collisions=made.collisions if made is not None else (),
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
