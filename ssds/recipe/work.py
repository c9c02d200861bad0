"""What reading one recipe may cost: one budget for all of its texts, lists, files and targets.

A unit is about fifty nanoseconds. What is done is paid for before it is done, or while what it
gives is bounded; a text that is read twice is paid for twice, so that what a cache holds changes
nothing. Every format has the same budget; what things cost stands beside what does them.
"""

from __future__ import annotations

MOST_WORK = 40_000_000
"""Units for one recipe."""


class TooMuch(Exception):
    """The budget is spent; nothing more of the recipe is read.

    Attributes:
        told: its diagnostic was given.
    """

    told = False


class Work:
    """The budget of one recipe.

    Attributes:
        left: units.
    """

    __slots__ = ("left",)

    def __init__(self, units: int = MOST_WORK) -> None:
        self.left = units

    def spend(self, units: int) -> None:
        """Takes units away.

        Raises:
            TooMuch: there are not that many.
        """
        self.left -= max(units, 0)
        if self.left < 0:
            raise TooMuch


def inside(text: str) -> int:
    """Returns how many characters stand in expressions and statements of a template, about."""
    size = 0
    for piece in text.replace("{%", "{{").split("{{")[1:]:
        end = min(at for at in (piece.find("}}"), piece.find("%}"), len(piece)) if at >= 0)
        size += end + 2
    return size
