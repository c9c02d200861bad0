"""Version order of each ecosystem: dpkg order for Debian and Ubuntu, PEP 440 for PyPI."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol

from ssds.core.errors import InvalidValue
from ssds.core.patterns import pattern
from ssds.packages.debian import Version

SEPARATORS = pattern(r"[-_.]+")


class Order(Protocol):
    """Anything that can be compared with its like."""

    def __lt__(self, other: Any, /) -> bool: ...
    def __le__(self, other: Any, /) -> bool: ...


KeyFunction = Callable[[str], "Order | None"]


def order_of(ecosystem: str) -> KeyFunction | None:
    """Returns version text → sortable key (None for a text without order), or None if unknown."""
    family = ecosystem.partition(":")[0]
    if family in ("Debian", "Ubuntu"):
        return _debian
    if family == "PyPI":
        return _python
    return None


def same_name(ecosystem: str, name: str) -> str:
    """Returns the form under which names of an ecosystem are compared (PEP 503 for PyPI)."""
    if ecosystem.partition(":")[0] == "PyPI":
        return SEPARATORS.sub("-", name).lower()
    return name


@lru_cache(maxsize=200_000)
def _debian(text: str) -> Order | None:
    try:
        return Version(text)
    except InvalidValue:
        return None


@lru_cache(maxsize=200_000)
def _python(text: str) -> Order | None:
    from packaging import version

    try:
        return version.Version(text)
    except version.InvalidVersion:
        return None
