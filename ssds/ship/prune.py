"""Removes what a tree keeps of earlier deployments; never anything that ssds did not write."""

from __future__ import annotations

import os
import re

from ssds.core.digest import Digest
from ssds.host.folders import discard_folder
from ssds.ship.targets.plain import PlainTree
from ssds.ship.tree import (
    MARKERS,
    check_owner,
    generations,
    image_path,
    linked_number,
    marker_path,
    read_generation,
    site_path,
    sites_in,
)

_MARKER = re.compile(r"[0-9a-f]{64}\.json")


def prune(target: str, *, keep: int = 3) -> tuple[str, ...]:
    """Removes generations beyond each site's newest ``keep``, and images that no kept one names.

    A site's current generation always stays. Returns the paths that were removed, relative to the
    tree. Programs that still run from them fail; keep as many generations as your longest jobs
    need.
    """
    removed = []
    place = PlainTree(target)
    if not check_owner(place.folder):
        return ()
    with place.locked():
        images: set[Digest] = set()
        old = []
        for site in sites_in(place.folder):
            numbers = generations(place.folder, site)
            kept = {*numbers[-max(1, keep) :], linked_number(place.folder, site, "current")} - {0}
            for number in kept:
                images |= {e.image for e in read_generation(place.folder, site, number).entries}
            old += [f"{site_path(site)}/{number}" for number in numbers if number not in kept]
        for path in old:
            discard_folder(os.path.join(place.folder, path))
            removed.append(path)
        for image in images_in(place.folder):
            if image not in images:
                os.unlink(os.path.join(place.folder, marker_path(image)))
                discard_folder(os.path.join(place.folder, image_path(image)))
                removed.append(image_path(image))
    return tuple(removed)


def images_in(folder: str) -> list[Digest]:
    """Returns the images that have a marker of ours."""
    found = []
    root = os.path.join(folder, MARKERS)
    for bucket in sorted(os.listdir(root)) if os.path.isdir(root) else ():
        inner = os.path.join(root, bucket)
        names = sorted(os.listdir(inner)) if os.path.isdir(inner) else []
        hexes = [n[:-5] for n in names if _MARKER.fullmatch(n) and n[:2] == bucket]
        found += [Digest(f"sha256:{text}") for text in hexes]
    return found
