"""Version order of each ecosystem.

dpkg's order for Debian and Ubuntu, PEP 440 for PyPI, rpm's from the library univers, apk's,
semantic versions for npm and its like, R's numbers. Julia's build numbers count, as in Pkg.jl.
"""

from __future__ import annotations

import re
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
    return _ORDERS.get(ecosystem.partition(":")[0])


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


_SEMVER = pattern(
    r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+([0-9A-Za-z.-]+))?", re.ASCII
)
_R_VERSION = pattern(r"\d+(?:[.-]\d+)*", re.ASCII)
_APK = pattern(
    r"(\d+(?:\.\d+)*)([a-z]?)((?:_(?:alpha|beta|pre|rc|cvs|svn|git|hg|p)\d*)*)"
    r"(?:~[0-9a-f]+)?(?:-r(\d+))?",
    re.ASCII,
)
_APK_SUFFIX = pattern(r"_([a-z]+)(\d*)", re.ASCII)
_APK_RANK = {
    name: rank
    for rank, name in enumerate(
        ("alpha", "beta", "pre", "rc", "", "cvs", "svn", "git", "hg", "p"), -4
    )
}
_LONGEST = 300
"""A version text longer than this has no order."""


@lru_cache(maxsize=200_000)
def _semantic(text: str) -> Order | None:
    """Returns a key for Semantic Versioning 2.0.0; a release is after its pre-releases."""
    found = _SEMVER.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        return None
    before = tuple(_identifier(part) for part in found[4].split(".")) if found[4] else ()
    return (*(int(part or 0) for part in found.group(1, 2, 3)), not before, before)


@lru_cache(maxsize=200_000)
def _julia(text: str) -> Order | None:
    """Returns a semantic version's key, then its build number: 1.0+1 is after 1.0+0."""
    key = _semantic(text)
    if key is None:
        return None
    build = text.partition("+")[2]
    return (key, tuple(_identifier(part) for part in build.split(".")) if build else ())


def _identifier(part: str) -> tuple[bool, int, str]:
    return (False, int(part), "") if part.isdigit() else (True, 0, part)


@lru_cache(maxsize=200_000)
def _numbers(text: str) -> Order | None:
    """Returns the numbers of an R version; ``1.2-3`` is ``1.2.3``."""
    if len(text) > _LONGEST or not _R_VERSION.fullmatch(text):
        return None
    return tuple(int(part) for part in SEPARATORS.split(text))


@lru_cache(maxsize=200_000)
def _alpine(text: str) -> Order | None:
    """Returns the key of an apk version. Source: apk-tools 2, ``version.c`` (token order)."""
    found = _APK.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        return None
    first, *rest = found[1].split(".")
    numbers = [(1, int(first), ""), *(_apk_number(part) for part in rest)]
    suffixes = [(_APK_RANK[name], int(n or 0)) for name, n in _APK_SUFFIX.findall(found[3])]
    return (numbers, found[2], [*suffixes, (0, -1)], int(found[4] or 0))


def _apk_number(part: str) -> tuple[int, int, str]:
    """Returns a part's key: what begins with 0 is compared as text, and before other numbers."""
    return (0, 0, part) if part[0] == "0" else (1, int(part), "")


@lru_cache(maxsize=200_000)
def _rpm(text: str) -> Order | None:
    from univers.versions import InvalidVersion, RpmVersion

    try:
        return RpmVersion(text) if len(text) <= _LONGEST else None
    except (InvalidVersion, ValueError):
        return None


RPM = ("AlmaLinux", "Mageia", "Red Hat", "Rocky Linux", "openEuler", "openSUSE")
"""Distributions whose versions have rpm's order."""

_ORDERS: dict[str, KeyFunction] = {
    **dict.fromkeys(("Debian", "Ubuntu"), _debian),
    **dict.fromkeys(("Alpine", "Chainguard", "Wolfi"), _alpine),
    **dict.fromkeys(RPM, _rpm),
    **dict.fromkeys(("npm", "crates.io", "Go"), _semantic),
    **dict.fromkeys(("CRAN", "Bioconductor"), _numbers),
    "Julia": _julia,
    "PyPI": _python,
}
