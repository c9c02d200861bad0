"""Rules over all recipes together: edges, circles, tags, selectors of sites."""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ssds.core.diagnostics import Collector
from ssds.core.model import ReleaseName
from ssds.core.patterns import pattern
from ssds.recipe.codes import diagnostic, near
from ssds.recipe.formats.ssds import Edge
from ssds.recipe.model import Release
from ssds.recipe.ranges import joined
from ssds.recipe.shared import Shared
from ssds.recipe.yamlmarks import Spans

if TYPE_CHECKING:
    from ssds.recipe.data_model import DataSets

RESERVED_TAG = pattern(r"latest|.*-r[0-9]+|.*-sif")
"""What tags of ssds mean something by themselves."""


def check_releases(
    releases: Sequence[Release],
    edges: Sequence[Edge],
    shared: Shared,
    data: DataSets | None,
    broken: set[str],
    spans: Spans,
    collector: Collector,
    catalog: str,
) -> None:
    """Reports what is wrong between recipes.

    Args:
        releases: of the recipes without errors.
        edges: recipe → recipe.
        shared, data: for the sites' selectors.
        broken: names of recipes that have errors of their own; nothing is said about them.
        spans: gives places.
        collector: takes the problems.
        catalog: the catalog's folder, for the sites' files.
    """
    known: dict[str, dict[ReleaseName, Release]] = {}
    for release in releases:
        known.setdefault(release.id.name, {})[release.id] = release
    _check_tags(known, spans, collector)
    _check_edges(known, edges, broken, spans, collector)
    _check_circles(known, edges, spans, collector)
    if shared.sites:
        from ssds.recipe.site_rules import check_sites  # a catalog without sites needs none of it

        check_sites(known, shared.sites.values(), data, broken, spans, collector, catalog)
    if data and shared.channels and any(channel.data for channel in shared.channels.values()):
        from ssds.recipe.site_rules import check_channels

        check_channels(shared.channels.values(), data, spans, collector, catalog)


def _place(release: Release) -> str:
    """Returns the address of a release's version in its recipe."""
    return f'versions["{release.id.version}"]'


def _check_tags(
    known: Mapping[str, Mapping[ReleaseName, Release]], spans: Spans, collector: Collector
) -> None:
    for releases in known.values():
        tags: dict[str, Release] = {}
        for release in releases.values():
            tag, path = release.id.tag, release.recipe_path
            versions = len({r.version for r in releases})
            address = _place(release) if versions > 1 else "version"
            if RESERVED_TAG.fullmatch(tag) or RESERVED_TAG.fullmatch(release.id.version):
                span = spans(path, address, key=versions > 1)
                collector.add(diagnostic("R054", span, address, (("tag", tag),)))
            if tag in tags:
                first = tags[tag]
                facts = (("tag", tag), ("releases", f"{first.id} and {release.id}"))
                span = spans(path, _place(release), key=True)
                collector.add(diagnostic("R053", span, _place(release), facts))
            tags.setdefault(tag, release)


def _check_edges(
    known: Mapping[str, Mapping[ReleaseName, Release]],
    edges: Iterable[Edge],
    broken: set[str],
    spans: Spans,
    collector: Collector,
) -> None:
    ranges: dict[tuple[ReleaseName, str, str], list[Edge]] = {}
    for edge in edges:
        to = edge.to
        if to.name in broken:
            continue
        if to.range is not None and to.name in known:
            ranges.setdefault((edge.release, edge.platform, to.name), []).append(edge)
            continue
        identity = ReleaseName(to.name, to.version, to.variant)
        facts: tuple[tuple[str, str], ...]
        if to.name not in known:
            code, first = "R048", near(to.name, list(known))
            facts = (("recipe", to.name),)
        elif identity not in known[to.name]:
            names = [str(name) for name in known[to.name]]
            code, first = "R049", near(str(identity), names)
            facts = (("release", str(identity)), ("known", ", ".join(names)))
        elif edge.platform.best_of(known[to.name][identity].targets) is None:
            platforms = ", ".join(known[to.name][identity].targets)
            code, first = "R050", ""
            facts = (
                ("release", str(identity)),
                ("platform", edge.platform),
                ("known", platforms),
            )
        else:
            continue
        part = {"R048": ".recipe", "R049": ".version"}.get(code, "")
        span = spans(edge.path, edge.address + part)
        collector.add(diagnostic(code, span, edge.address, facts, first=first))
    for asked in ranges.values():
        _check_ranges(asked, known[asked[0].to.name], spans, collector)


def _check_ranges(
    edges: Sequence[Edge],
    known: Mapping[ReleaseName, Release],
    spans: Spans,
    collector: Collector,
) -> None:
    """Reports ranges of one target for one recipe that no version of it answers."""
    platform = edges[0].platform
    versions = [name.version for name in known]
    told = [("known", ", ".join(map(str, known)))]
    for edge in edges:
        request = joined((edge.to,))[0]
        if not request.answers(versions, known.__contains__):
            facts = [("recipe", edge.to.name), ("range", request.text), *told]
            code, part = "R078", ".version"
        elif not request.answers(
            versions, lambda n: n in known and platform.best_of(known[n].targets) is not None
        ):
            facts = [("recipe", edge.to.name), ("range", request.text), ("platform", platform)]
            code, part = "R050", ""
        else:
            continue
        span = spans(edge.path, edge.address + part)
        collector.add(diagnostic(code, span, edge.address, tuple(facts)))
        return
    request = joined(edge.to for edge in edges)[0]
    if not request.answers(
        versions, lambda n: n in known and platform.best_of(known[n].targets) is not None
    ):
        edge = edges[-1]
        facts = [("recipe", edge.to.name), ("range", request.text), *told]
        first = "One release takes one version of a recipe for all its ranges."
        span = spans(edge.path, edge.address + ".version")
        collector.add(diagnostic("R078", span, edge.address, tuple(facts), first=first))


def _check_circles(
    known: Mapping[str, Mapping[ReleaseName, Release]],
    edges: Sequence[Edge],
    spans: Spans,
    collector: Collector,
) -> None:
    """Reports one circle of every tangle, with the place of every edge of it.

    A range leads to every version that may answer it, whatever is pinned today.
    """
    after: dict[str, dict[str, Edge]] = {}
    for edge in edges:
        for to in _reached(edge, known.get(edge.to.name, {})):
            after.setdefault(str(edge.release), {}).setdefault(str(to), edge)
    try:
        graphlib.TopologicalSorter(after).prepare()
    except graphlib.CycleError:
        import networkx as nx  # only where there is something to tell: it is slow to import

        graph: nx.DiGraph[str] = nx.DiGraph([(a, b) for a, found in after.items() for b in found])
        for tangle in nx.strongly_connected_components(graph):
            part = graph.subgraph(sorted(tangle))
            if part.number_of_edges():
                circle = nx.find_cycle(part, min(tangle))
                _report_circle([edge[0] for edge in circle], after, spans, collector)


def _reached(edge: Edge, known: Mapping[ReleaseName, Release]) -> Iterable[ReleaseName]:
    to = edge.to
    if to.range is None:
        return (ReleaseName(to.name, to.version, to.variant),)
    asked = joined((to,))[0]
    found = asked.answers(
        {name.version for name in known},
        lambda name: name in known and edge.platform.best_of(known[name].targets) is not None,
    )
    return tuple(ReleaseName(to.name, version, to.variant) for version in found)


def _report_circle(
    nodes: list[str],
    after: Mapping[str, Mapping[str, Edge]],
    spans: Spans,
    collector: Collector,
) -> None:
    least = nodes.index(min(nodes))
    nodes = nodes[least:] + nodes[:least]
    facts = []
    for node, to in zip(nodes, nodes[1:] + nodes[:1], strict=True):
        edge = after[node][to]
        why = f" (in {edge.to.version})" if edge.to.range is not None else ""
        facts.append((node, f"needs {to}{why}, at {spans(edge.path, edge.address)}"))
    first = after[nodes[0]][nodes[1] if len(nodes) > 1 else nodes[0]]
    span = spans(first.path, first.address)
    collector.add(diagnostic("R052", span, first.address, tuple(facts)))
