"""What values of their templates weigh; a recipe's budget is that of every format.

What is done is paid for before it is done, by the weight of what goes in, and again by the weight
of what comes out. The most that a recipe of NeuroDesk's takes is a twentieth of the budget.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ssds.recipe.templates import TemplateProblem

HEAVIEST = 1 << 20
"""The most that one value may weigh."""
DIRECTIVE = 1000
"""Units for a directive of a recipe or of a macro."""
_LARGEST = 1 << 62
_ITEM = 8


class Namespace:
    """What a template may look into, by ``name.part``.

    Attributes:
        find: gives the part; raises KeyError.
    """

    __slots__ = ("find",)

    def __init__(self, find: Any) -> None:
        self.find = find


class Function:
    """What a template may call."""

    __slots__ = ("call",)

    def __init__(self, call: Any) -> None:
        self.call = call


class Drawn:
    """What a filter over items gave: it can be gone through, and is no list, as in Jinja."""

    __slots__ = ("items",)

    def __init__(self, items: Iterable[Any]) -> None:
        self.items = list(items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


def heavy() -> TemplateProblem:
    """Returns what is said of a value above the bound."""
    return TemplateProblem("R038", "limit", f"{HEAVIEST} characters")


def weigh(value: Any) -> int:
    """Returns the characters in a value, and eight for each item; what stands twice counts twice.

    Raises:
        TemplateProblem: R038, it is above HEAVIEST, or a number above 62 bits.
        TypeError: it is nothing that templates may have.
    """
    weight, waiting = 0, [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            weight += len(one) + 1
        elif one is None or isinstance(one, float | Namespace | Function):
            weight += 1
        elif isinstance(one, int):
            if abs(one) > _LARGEST:
                raise TemplateProblem("R038", "limit", "numbers of 62 bits")
            weight += 1
        elif isinstance(one, list | tuple | dict | Drawn):
            inside: Any = one.items if isinstance(one, Drawn) else one
            weight += _ITEM * (len(inside) + 1)
            if weight <= HEAVIEST:
                waiting.extend(inside)
                if isinstance(one, dict):
                    waiting.extend(one.values())
        elif "Undefined" in type(one).__name__:
            weight += 1
        else:
            raise TypeError(f"the expression gives a {type(one).__name__}, which is no value")
        if weight > HEAVIEST:
            raise heavy()
    return weight
