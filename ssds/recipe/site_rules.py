"""Rules over sites and recipes together: what a site's file names must be there."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

from ssds.core.diagnostics import Collector
from ssds.core.model import ReleaseName
from ssds.recipe.codes import diagnostic, near
from ssds.recipe.model import Release, Site
from ssds.recipe.selectors import SORTS, About, about, hits, names_of, sort_of
from ssds.recipe.yamlmarks import Spans

Known = Mapping[str, Mapping[ReleaseName, Release]]
_LISTS = ("include", "exclude", "hidden", "prefer")


def check_sites(
    known: Known,
    sites: Iterable[Site],
    broken: set[str],
    spans: Spans,
    collector: Collector,
    catalog: str,
) -> None:
    """Reports selectors that take no release, and defaults that no release has.

    Args:
        known: recipe → its releases.
        broken: names of recipes that have errors of their own; nothing is said about them.
        catalog: the catalog's folder.
    """
    words = _Words(known)
    for site in sites:
        path = f"{catalog}/sites/{site.name}.yaml"
        for key in _LISTS:
            for index, selector in enumerate(getattr(site, key)):
                code, first = words.problem(selector, broken)
                if code:
                    address = f"{key}[{index}]"
                    facts = (("selector", selector),)
                    span = spans(path, address)
                    collector.add(diagnostic(code, span, address, facts, first=first))
        for name, version in site.defaults.items():
            tags = {release.tag for release in known.get(name, ())}
            if version in tags or name in broken:
                continue
            address = f"defaults.{name}"
            choice = (("found", f"{name}/{version}"), ("known", ", ".join(sorted(tags)) or "none"))
            first = near(version, tags) if tags else near(name, set(known))
            span = spans(path, address)
            collector.add(diagnostic("S017", span, address, choice, first=first))


class _Words:
    """All that selectors can say of a catalog's releases."""

    def __init__(self, known: Known) -> None:
        self.known = known

    @functools.cached_property
    def names(self) -> set[str]:
        return {name for ids in self.known.values() for id_ in ids for name in names_of(id_)}

    @functools.cached_property
    def facts(self) -> dict[ReleaseName, About]:
        releases = (r for found in self.known.values() for r in found.values())
        return {release.id: about(release.metadata, {}) for release in releases}

    def words(self, sort: str) -> set[str]:
        return {
            word
            for facts in self.facts.values()
            for word in (facts.categories if sort == "category" else facts.licences)
        }

    def problem(self, selector: str, broken: set[str]) -> tuple[str, str]:
        """Returns the code of what is wrong and a suggestion; two empty strings for nothing."""
        sort = sort_of(selector)
        if sort and sort not in SORTS:
            return "S018", near(sort, SORTS)
        if sort == "label" or (broken and (sort or "*" in selector)):
            return "", ""  # labels are in images; a broken recipe may have the word
        if selector.partition("@")[0] in broken:
            return "", ""
        if selector in self.names:
            return "", ""
        if (sort or "*" in selector) and any(
            hits((selector,), release, facts) for release, facts in self.facts.items()
        ):
            return "", ""
        if sort:
            return "S011", near(selector.partition(":")[2], self.words(sort))
        return "S011", near(selector, self.names)
