"""Targets by the text that people give: a folder, ``cvmfs:REPOSITORY``, ``ingest:REPOSITORY``."""

from __future__ import annotations

import os
from collections.abc import Callable

from ssds.ship.targets.plain import PlainTree
from ssds.ship.targets.plug import Target


def open_target(text: str, say: Callable[[str], None] = lambda _: None) -> Target:
    """Returns the target that ``text`` names; nothing is looked at or written yet."""
    kind, _, rest = text.partition(":")
    if kind in ("cvmfs", "ingest"):
        from ssds.ship.targets.cvmfs import CvmfsRepository
        from ssds.ship.targets.cvmfs_settings import CvmfsSettings
        from ssds.ship.targets.ingest import CvmfsIngest

        made = CvmfsRepository if kind == "cvmfs" else CvmfsIngest
        return made(rest, CvmfsSettings.of(os.environ), say)
    return PlainTree(text)
