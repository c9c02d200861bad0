"""How much of a long search one run of the suite does; ``SSDS_THOROUGH=1`` does all of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

THOROUGH = bool(os.environ.get("SSDS_THOROUGH"))


def cases(usual: int, thorough: int) -> int:
    """Returns how many cases this run tries."""
    return thorough if THOROUGH else usual


def some(items: Sequence[T], usual: int) -> list[T]:
    """Returns all items, or ``usual`` of them, spread, with the first and the last."""
    if THOROUGH or len(items) <= usual:
        return list(items)
    return [items[i * (len(items) - 1) // (usual - 1)] for i in range(usual)]
