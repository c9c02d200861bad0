"""Selectors and wishes: what the command line names becomes nodes and platforms."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from ssds.cli.releases import select
from ssds.core.errors import UsageError
from ssds.core.model import KINDS, NodeId
from ssds.core.platform import Platform
from ssds.graph.compile import Graph
from ssds.graph.plan import Wishes


def parse_platforms(texts: Iterable[str]) -> frozenset[Platform] | None:
    """Returns the platforms named on the command line, or None for all."""
    chosen = frozenset(Platform(text) for text in texts)
    return chosen or None


def select_nodes(graph: Graph, texts: tuple[str, ...]) -> frozenset[NodeId]:
    """Returns the nodes that selectors name.

    Raises:
        UsageError: a selector names nothing.
    """
    chosen: set[NodeId] = set()
    for text in texts:
        owner, colon, kind = text.partition(":")
        kind = kind.partition("/")[0]
        if colon and kind not in KINDS:
            raise UsageError(f"there is no kind {kind!r}", hint=f"Kinds: {', '.join(KINDS)}.")
        known = {**graph.releases, **graph.data} if graph.data else graph.releases
        owners = {str(n) for n in select(known, (owner,))} if owner else None
        found = {
            node
            for node in graph.nodes
            if (owners is None or node.owner in owners) and (not colon or node.kind == kind)
        }
        if not found:
            raise UsageError(f'"{text}" names no node', hint="`ssds plan --full` lists them.")
        chosen |= found
    return frozenset(chosen)


def make_wishes(
    graph: Graph,
    *,
    selectors: tuple[str, ...],
    platforms: tuple[str, ...],
    fetch: bool,
    rerun: tuple[str, ...],
    retry: bool,
) -> Wishes:
    """Returns the wishes that the command line says."""
    nodes = select_nodes(graph, selectors) if selectors else None
    wanted = parse_platforms(platforms)
    scope = nodes if nodes is not None else frozenset(graph.nodes)
    fetched = {
        n
        for n in scope
        if fetch and (not n.platform or wanted is None or Platform(n.platform) in wanted)
        if n.kind not in ("source", "base", "build")
    }
    return Wishes(
        nodes=nodes,
        platforms=wanted,
        fetch=frozenset(fetched),
        rerun=select_nodes(graph, rerun) if rerun else frozenset(),
        retry=retry,
    )


def parse_date(text: str) -> dt.date:
    """Returns the date of ``--as-of``, today (UTC) for the empty string."""
    if not text:
        return dt.datetime.now(dt.UTC).date()
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is not a date", hint="Write YYYY-MM-DD.") from error
