"""Removes what a tree keeps of earlier deployments; never anything that ssds did not write."""

from __future__ import annotations

import os

from ssds.host.files import locked
from ssds.host.folders import discard_folder
from ssds.ship.deploy import GENERATIONS, read_deployed
from ssds.ship.generation import RECORD, read_record
from ssds.ship.images import image_path


def prune(target: str, *, keep: int = 3) -> tuple[str, ...]:
    """Removes generations beyond the newest ``keep`` and images that none of the kept ones names.

    Returns the paths that were removed, relative to the tree. Programs that still run from them
    fail; keep as many generations as your longest jobs need.
    """
    removed = []
    root = os.path.join(target, GENERATIONS)
    with locked(os.path.join(root, ".lock")):
        current = read_deployed(target).number
        numbers = sorted(int(n) for n in os.listdir(root) if n.isdecimal() and int(n) <= current)
        kept = set(numbers[-max(1, keep) :])
        images = set()
        for number in kept:
            with open(os.path.join(root, str(number), RECORD), "rb") as file:
                images |= {image_path(e.image) for e in read_record(file.read(), number).entries}
        for number in sorted(set(numbers) - kept):
            discard_folder(os.path.join(root, str(number)))
            removed.append(f"{GENERATIONS}/{number}")
        for path in _images(target):
            if path not in images:
                os.unlink(os.path.join(target, path + ".complete"))
                discard_folder(os.path.join(target, path))
                removed.append(path)
    return tuple(removed)


def _images(target: str) -> list[str]:
    """Returns the images that have a marker of ours, relative to the tree."""
    found = []
    root = os.path.join(target, "images")
    for bucket in sorted(os.listdir(root)) if os.path.isdir(root) else ():
        folder = os.path.join(root, bucket)
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        found += [f"images/{bucket}/{n[:-9]}" for n in names if n.endswith(".complete")]
    return found
