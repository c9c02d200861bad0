"""The targets by the text that people give: a folder, ``cvmfs:REPOSITORY[/folder]``."""

from __future__ import annotations

import os
from collections.abc import Callable

from ssds.ship.targets.plain import PlainTree
from ssds.ship.targets.plug import Target

CVMFS = "cvmfs:"


def open_target(text: str, say: Callable[[str], None] = lambda _: None) -> Target:
    """Returns the target that ``text`` names; nothing is looked at or written yet."""
    if text.startswith(CVMFS):
        from ssds.ship.targets.cvmfs import CvmfsRepository, CvmfsSettings

        return CvmfsRepository(text.removeprefix(CVMFS), CvmfsSettings.of(os.environ), say)
    return PlainTree(text)
