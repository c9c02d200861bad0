"""Brings the images and the data sets of a selection into a draft."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ssds.core.digest import Digest
from ssds.lock.model import ReleaseHalf
from ssds.ship.images import BlobSource, has_image, image_problems
from ssds.ship.refdata.choice import data_digests
from ssds.ship.refdata.content import has_set, needed_bytes, set_problems
from ssds.ship.sites import Selection
from ssds.ship.targets.plug import Draft

_Notes = list[tuple[str, str, str]]


def broken_in(folder: str, selection: Selection) -> frozenset[Digest]:
    """Returns the images and data sets that are in the tree and not as they were deployed."""
    odd = [i for i in selection.images if has_image(folder, i) and image_problems(folder, i)]
    sets = data_digests(selection.data)
    odd += [d for d in sets if has_set(folder, d) and set_problems(folder, d)]
    return frozenset(odd)


def bring_data(
    draft: Draft, selection: Selection, blobs: BlobSource, broken: Collection[Digest]
) -> tuple[int, _Notes]:
    """Brings the data sets; returns how many were written, and (set, path, what is with it).

    Args:
        broken: those that are replaced, though they are there.
    """
    written = 0
    notes: _Notes = []
    for lock in selection.data:
        done = draft.data(lock, blobs, anew=needed_bytes(lock)[0] in broken)
        written += done.written
        notes += [(str(lock.id), path, text) for path, text in done.notes]
    return written, notes


def bring_images(
    draft: Draft, selection: Selection, blobs: BlobSource, broken: Collection[Digest]
) -> tuple[int, _Notes]:
    """Brings the images, each once; returns how many were written, and (release, path, note).

    Args:
        broken: those that are replaced, though they are there.
    """
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
    notes: _Notes = []
    for image, half in halves.items():
        done = draft.image(half, blobs, anew=image in broken)
        written += done.written
        notes += [(releases[image], path, text) for path, text in done.notes]
    return written, notes
