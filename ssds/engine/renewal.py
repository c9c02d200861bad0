"""What ``ssds lock --upgrade`` renews: sorts of pins, or single ones by name. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ssds.core.errors import UsageError
from ssds.core.pins import PackageSet, PlatformPins
from ssds.kinds.build.contained import PinMap, target_of
from ssds.kinds.build.requests import package_steps
from ssds.recipe.model import Catalog, Target
from ssds.recipe.ranges import range_requests, references

SORTS = ("base", "source", "apt", "pip", "conda", "recipe")
_MANAGERS = ("apt", "pip", "conda")
WORDS: Mapping[str, tuple[str, ...]] = {
    **{sort: (sort,) for sort in SORTS},
    "sources": ("source",),
    "recipes": ("recipe",),
    "packages": _MANAGERS,
    "all": SORTS,
}
"""What may be written → the sorts of pins that it means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """Pins that are renewed though they are not stale.

    Attributes:
        sorts: of SORTS, all of them.
        names: (sort, name) of single pins; of packages as the lock names them.
    """

    sorts: frozenset[str] = frozenset()
    names: frozenset[tuple[str, str]] = frozenset()

    @property
    def single(self) -> bool:
        """Whether packages are renewed by name: then what stands above them stays as it can."""
        return any(sort in _MANAGERS for sort, _ in self.names)

    def of(self, sort: str, name: str) -> bool:
        """Whether the pin ``name`` of a sort is renewed."""
        return sort in self.sorts or (sort, name) in self.names

    def packages(self, held: PackageSet) -> tuple[str, ...]:
        """Returns the packages of a set that are renewed by name, where not all of it is."""
        if held.manager in self.sorts:
            return ()
        return tuple(p.name for p in held.packages if (held.manager, p.name) in self.names)

    def touches(self, held: PackageSet) -> bool:
        """Whether anything of a set is renewed."""
        return held.manager in self.sorts or bool(self.packages(held))


NOTHING = Renewal()


def parse_renewal(
    texts: Iterable[str], targets: Iterable[Target], catalog: Catalog, pins: PinMap
) -> Renewal:
    """Returns what the words of ``--upgrade`` mean for these targets and what they contain.

    A word is a sort (``apt``, ``base``, ``all``), ``SORT:NAME``, or the name of a pin of any sort.

    Raises:
        UsageError: a word means nothing here; near names are offered.
    """
    sorts: set[str] = set()
    names: set[tuple[str, str]] = set()
    known: set[tuple[str, str]] | None = None
    for text in texts:
        if text in WORDS:
            sorts.update(WORDS[text])
            continue
        if known is None:
            known = {p for t in _with_below(targets, catalog, pins) for p in _pins_of(t, pins)}
        sort, colon, name = text.partition(":")
        found = {(s, n) for s, n in known if (s, n) == (sort, name) or n == text}
        if not found:
            raise _unknown(text, name if colon else text, known)
        names |= found
    return Renewal(sorts=frozenset(sorts), names=frozenset(names))


def _with_below(targets: Iterable[Target], catalog: Catalog, pins: PinMap) -> Iterator[Target]:
    """Gives the targets and what they contain, each once."""
    waiting, seen = list(targets), set()
    while waiting:
        target = waiting.pop()
        key = (target.release, target.platform)
        if key not in seen:
            seen.add(key)
            yield target
            below = (target_of(ref, target, catalog, pins) for ref in references(target))
            waiting += [t for t in below if t is not None]


def _pins_of(target: Target, pins: PinMap) -> Iterator[tuple[str, str]]:
    held = pins.get((target.release, target.platform), PlatformPins())
    if target.base:
        yield "base", target.base
    for name in target.sources:
        yield "source", name
    for request in range_requests(target):
        yield "recipe", request.name
    for place, _, manager, _ in package_steps(target.steps):
        packages = held.packages.get(place)
        if packages is not None and packages.manager == manager:
            for package in packages.packages:
                yield manager, package.name


def _unknown(text: str, name: str, known: Iterable[tuple[str, str]]) -> UsageError:
    words = [*WORDS, *sorted({n for _, n in known})]
    near = difflib.get_close_matches(name, words, 3)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Sorts are {', '.join(WORDS)}."
    return UsageError(
        f'"{text[:80]}" is neither a sort of pins nor the name of one that is locked here',
        hint=f"{hint} `ssds lock --upgrade all RECIPE` renews everything of a recipe.",
        code="E200",
    )
