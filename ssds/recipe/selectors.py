"""Words with which a site's file names releases: by name, category, licence or label. Pure."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping

from ssds.core.canonical import Json
from ssds.core.model import ReleaseName
from ssds.core.records import dataclass, field

SORTS = ("category", "licence", "label")
_LICENCE_WORD = re.compile(r"[A-Za-z0-9.+:-]+")
_JOINING = frozenset({"AND", "OR", "WITH"})


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What selectors other than names look at."""

    categories: frozenset[str] = frozenset()
    licences: frozenset[str] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)


def sort_of(selector: str) -> str:
    """Returns the word before the colon (``category``), or the empty string for a name."""
    word, colon, _ = selector.partition(":")
    return word if colon and "@" not in word else ""


def looks_inside(selectors: Iterable[str]) -> bool:
    """Whether one of them asks for more than a name."""
    return any(sort_of(selector) for selector in selectors)


def names_of(release: ReleaseName) -> tuple[str, ...]:
    """Returns the texts that name a release: ``x``, ``x@1``, ``x@1+variant``."""
    return release.name, f"{release.name}@{release.version}", str(release)


def about(metadata: Mapping[str, Json], labels: Mapping[str, str]) -> About:
    """Returns what selectors look at, from a release's descriptive fields and image labels."""
    return About(
        categories=frozenset(_texts(metadata.get("categories"))),
        licences=frozenset(_licences(_texts(metadata.get("licenses")))),
        labels=labels,
    )


def hits(selectors: Iterable[str], release: ReleaseName, facts: About) -> bool:
    """Whether one of the selectors takes a release."""
    return any(_hits(selector, release, facts) for selector in selectors)


def _hits(selector: str, release: ReleaseName, facts: About) -> bool:
    sort = sort_of(selector)
    value = selector.partition(":")[2]
    if sort == "category":
        return value in facts.categories
    if sort == "licence":
        return value in facts.licences
    if sort == "label":
        key, equals, wanted = value.partition("=")
        return key in facts.labels and (not equals or facts.labels[key] == wanted)
    return any(fnmatch.fnmatchcase(name, _pattern(selector)) for name in names_of(release))


def _pattern(selector: str) -> str:
    """Returns a pattern in which only ``*`` is special."""
    return selector.replace("[", "[[]").replace("?", "[?]")


def _texts(value: Json) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list | tuple):
        return [item for item in value if isinstance(item, str)]
    return []


def _licences(texts: Iterable[str]) -> Iterable[str]:
    """Gives each expression, and each licence in it."""
    for text in texts:
        yield text
        yield from (word for word in _LICENCE_WORD.findall(text) if word not in _JOINING)
