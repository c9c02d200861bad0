"""Selectors and wishes, as several verbs take them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from ssds.cli.completing import complete_nodes, complete_platforms
from ssds.core.errors import UsageError
from ssds.core.model import KINDS, NodeId
from ssds.core.platform import Platform
from ssds.graph.compile import Graph
from ssds.graph.plan import Wishes
from ssds.workspace import select

F = TypeVar("F", bound=Callable[..., Any])


def platform_option(function: F) -> F:
    """Adds ``--platform`` to a verb that works on one."""
    return click.option(
        "--platform",
        default="",
        help="Which platform, where there are several.",
        shell_complete=complete_platforms,
    )(function)


def planning_options(function: F) -> F:
    """Adds what ``plan`` and ``apply`` share."""
    for option in (
        click.argument(
            "selectors", nargs=-1, metavar="[SELECTOR]...", shell_complete=complete_nodes
        ),
        click.option(
            "--platform",
            "platforms",
            multiple=True,
            help="Only this platform.",
            shell_complete=complete_platforms,
        ),
        click.option("--as-of", default="", metavar="DATE", help="Judge waivers on this date."),
        click.option(
            "--fetch", is_flag=True, help="Want the bytes of releases here, with their evidence."
        ),
        click.option("--rerun", multiple=True, metavar="SELECTOR", help="Run again though known."),
        click.option("--retry", is_flag=True, help="Run remembered failures again."),
        click.option("--refresh", is_flag=True, help="Look at the channels anew."),
    ):
        function = option(function)
    return function


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
        owners = {str(n) for n in select(graph.releases, (owner,))} if owner else None
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
