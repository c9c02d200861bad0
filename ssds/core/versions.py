"""The one order of recipe versions, and ranges over it: ``>=1.16,<2`` (C16). Pure.

What ``latest`` names in a channel and what an open range chooses are the same, because both use
this order.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable
from typing import Any

from ssds.core.errors import InvalidValue
from ssds.core.patterns import pattern
from ssds.core.records import dataclass

MOST_COMPARISONS = 16
_VERSION = pattern(r"[A-Za-z0-9][A-Za-z0-9._+~:-]{0,63}")
_COMPARISON = pattern(r"(>=|<=|==|!=|>|<)[ \t]*(\S+)")
_MEETS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}

VersionKey = tuple[tuple[tuple[int, int, str], ...], str]


def version_key(version: str) -> VersionKey:
    """Returns a sort key: numbers by value, ``~`` before the end, letters after it.

    ``1.0~rc1 < 1.0 < 1.0a < 1.0.1 < 1.9 < 1.10``. Other characters only separate; versions that
    differ in nothing else (``1.0-1`` and ``1.0.1``) go by their text, so no two are equal.
    """
    parts = re.findall(r"\d+|~|[A-Za-z]+", version)
    keys = [(2, int(p), "") if p.isdecimal() else (-(p == "~"), 0, p) for p in parts]
    return (*keys, (0, 0, "")), version


@dataclass(frozen=True, slots=True)
class VersionRange:
    """Comparisons that a version must meet, all of them.

    Attributes:
        comparisons: (operator, version), each once, sorted: one meaning has one text.
    """

    comparisons: tuple[tuple[str, str], ...]

    def __contains__(self, version: str) -> bool:
        key = version_key(version)
        return all(_MEETS[sign](key, version_key(bound)) for sign, bound in self.comparisons)

    def __str__(self) -> str:
        return ",".join(sign + bound for sign, bound in self.comparisons)


def is_version(text: str) -> bool:
    """Whether ``text`` is one exact version; anything else can only be a range."""
    return _VERSION.fullmatch(text) is not None


@functools.lru_cache(maxsize=4096)
def parse_range(text: str) -> VersionRange:
    """Returns the range that ``text`` writes: comparisons joined by commas.

    Raises:
        InvalidValue: it says which part is wrong.
    """
    parts = [part.strip(" \t") for part in text[:8192].split(",")]
    if len(parts) > MOST_COMPARISONS:
        raise InvalidValue(f"{len(parts)} comparisons where {MOST_COMPARISONS} are allowed")
    found: set[tuple[str, str]] = set()
    for part in parts:
        match = _COMPARISON.fullmatch(part)
        if match is None:
            raise InvalidValue(f"{part[:40]!r} is no comparison" if part else "a part is empty")
        if not is_version(match[2]):
            raise InvalidValue(f"{match[2][:40]!r} is not a version")
        found.add((match[1], match[2]))
    return VersionRange(tuple(sorted(found, key=_order)))


def _order(comparison: tuple[str, str]) -> tuple[bool, bool, VersionKey, str]:
    """Lower bounds first, exclusions last, each by version."""
    sign, bound = comparison
    return sign == "!=", sign not in (">=", ">"), version_key(bound), sign
