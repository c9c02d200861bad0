"""Rules over sites and recipes together: what a site's file names must be there."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

from ssds.core.diagnostics import Collector
from ssds.core.model import ReleaseName
from ssds.recipe.codes import diagnostic, near
from ssds.recipe.data_model import DataSets
from ssds.recipe.model import Channel, Release, Site
from ssds.recipe.selectors import SORTS, About, about, hits, names_of, sort_of
from ssds.recipe.yamlmarks import Spans

Known = Mapping[str, Mapping[ReleaseName, Release]]
_LISTS = ("include", "exclude", "hidden", "prefer")


def check_sites(
    known: Known,
    sites: Iterable[Site],
    data: DataSets | None,
    broken: set[str],
    spans: Spans,
    collector: Collector,
    catalog: str,
) -> None:
    """Reports selectors that take no release or data set, and defaults that nothing has.

    Args:
        known: recipe → its releases; data: the reference data sets, if there are any.
        broken: names of recipes that have errors of their own; nothing is said about them.
        catalog: the catalog's folder.
    """
    words = _Words(known)
    data = data or DataSets()
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
        for index, selector in enumerate(site.data):
            hint = _data_problem(selector, data)
            if hint is not None:
                address = f"data[{index}]"
                span, facts = spans(path, address), (("selector", selector),)
                collector.add(diagnostic("S020", span, address, facts, first=hint))
        for name, version in site.defaults.items():
            tags = {release.tag for release in known.get(name, ())}
            tags |= {found.version for found in data.known if found.name == name}
            if version in tags or name in broken or name in data.broken:
                continue
            address = f"defaults.{name}"
            choice = (("found", f"{name}/{version}"), ("known", ", ".join(sorted(tags)) or "none"))
            first = near(version, tags) if tags else near(name, set(known))
            span = spans(path, address)
            collector.add(diagnostic("S017", span, address, choice, first=first))


def _data_problem(selector: str, data: DataSets) -> str | None:
    """Returns a suggestion for a selector that takes no data set; None for one that does."""
    sort = sort_of(selector)
    if sort in ("", "category", "licence"):
        if selector.partition("@")[0] in data.broken or (data.broken and (sort or "*" in selector)):
            return None
        if any(
            hits((selector,), found.id, about(found.about, {})) for found in data.known.values()
        ):
            return None
    return near(selector, {name for id_ in data.known for name in names_of(id_)})


def check_channels(
    channels: Iterable[Channel],
    data: DataSets,
    spans: Spans,
    collector: Collector,
    catalog: str,
) -> None:
    """Reports selectors of channels that take no data set."""
    for channel in channels:
        for index, selector in enumerate(channel.data):
            hint = _data_problem(selector, data)
            if hint is not None:
                address = f"{channel.name}.data[{index}]"
                span, facts = spans(f"{catalog}/channels.yaml", address), (("selector", selector),)
                collector.add(diagnostic("S020", span, address, facts, first=hint))


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
