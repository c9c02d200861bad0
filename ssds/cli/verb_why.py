"""``ssds why``: by which paths one thing depends on another."""

from __future__ import annotations

from typing import Any

import click

from ssds.cli.app import Context
from ssds.cli.completing import complete_nodes
from ssds.cli.output import counted, print_json, show
from ssds.cli.part import nodes_called, part_of
from ssds.cli.selecting import platform_option
from ssds.cli.wishes import parse_date
from ssds.core.errors import UsageError
from ssds.core.model import NodeId
from ssds.graph.compile import Graph
from ssds.graph.paths import Edge, Paths, depends, paths
from ssds.kinds.build.contained import lost_versions, refuse_removal
from ssds.workspace import Workspace

LIMIT = 20
NO_DEPENDENCY = 1


@click.command("why")
@click.argument("a", metavar="A", shell_complete=complete_nodes)
@click.argument("b", metavar="B", shell_complete=complete_nodes)
@platform_option
@click.option("--all", "every", is_flag=True, help="Show every path, the shortest first.")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=LIMIT,
    show_default=True,
    help="How many paths --all shows at most.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    context: Context, /, a: str, b: str, platform: str, every: bool, limit: int, as_json: bool
) -> int:
    """Show by which path A depends on B: releases (``samtools``) or nodes (``samtools:build``).

    Bases and sources have names too: ``debian-12:base``. Exit code 1: it does not depend on it.
    """
    whole = Workspace.open(context.folder)
    part = _with_both(whole, a, b)
    refuse_removal(lost_versions(part.catalog, part.locks.pins))
    graph = part.graph(parse_date(""))
    start, end = (_nodes(graph, text, platform) for text in (a, b))
    if start <= end:
        raise UsageError(
            f'"{a}" is "{b}" or a part of it',
            hint="Name two different things, such as a release and one below it.",
            code="E146",
        )
    found = paths(graph, start, end, limit=limit if every else 1)
    reverse = not found.paths and depends(graph, end, start)
    unlocked = () if found.paths else _unlocked(graph, start, end)
    if as_json:
        print_json(_json(a, b, found, reverse=reverse, unlocked=unlocked))
    else:
        show(_text(a, b, found, every=every, reverse=reverse, unlocked=unlocked))
    return 0 if found.paths else NO_DEPENDENCY


def _with_both(whole: Workspace, a: str, b: str) -> Workspace:
    """Returns what is below both; the second may be no recipe (a base), then what is below A."""
    part = part_of(whole, a, b, users=False)
    if part is not whole:
        return part
    part = part_of(whole, a, users=False)
    shared = b.partition(":")[0].partition("@")[0]
    return part if part is whole or shared in part.catalog.bases else whole


def _nodes(graph: Graph, text: str, platform: str) -> frozenset[NodeId]:
    found = nodes_called(graph, text)
    known = sorted({n.platform for n in found if n.platform})
    if platform and known and platform not in known:
        raise UsageError(
            f'"{text}" has no node for {platform}',
            hint=f"It is for {', '.join(known)}.",
            code="E038",
        )
    return frozenset(n for n in found if not platform or n.platform in ("", platform))


def _unlocked(graph: Graph, start: frozenset[NodeId], end: frozenset[NodeId]) -> tuple[str, ...]:
    """Returns what below A asks for B by a range that no pin answers yet."""
    names = {node.owner.partition("@")[0] for node in end}
    wanted = {f"recipe {name}" for name in names}
    return tuple(
        f"{name.label} asks for {text.removeprefix('recipe ')}"
        for name in sorted(graph.closure(set(start)))
        for text in graph.nodes[name].unpinned
        if text.partition(":")[0] in wanted
    )


def _json(
    a: str, b: str, found: Paths, *, reverse: bool, unlocked: tuple[str, ...]
) -> dict[str, Any]:
    return {
        "from": a,
        "to": b,
        "depends": bool(found.paths),
        "reverse": reverse,
        "not_locked": list(unlocked),
        "paths": [[_edge(edge) for edge in path] for path in found.paths],
        "more": found.cut,
    }


def _edge(edge: Edge) -> dict[str, Any]:
    return {
        "node": str(edge.node),
        "platform": edge.node.platform,
        "uses": str(edge.uses),
        "uses_platform": edge.uses.platform,
        "takes": [{"role": role, "output": output} for role, output in edge.takes],
    }


def _text(
    a: str, b: str, found: Paths, *, every: bool, reverse: bool, unlocked: tuple[str, ...]
) -> str:
    if not found.paths:
        lines = [f"{a} does not depend on {b}."]
        if unlocked:
            lines += [f"  {text}, and that is not locked yet." for text in unlocked]
            lines.append("  `ssds lock` chooses a version; then ask again.")
        if reverse:
            lines.append(f"  It is the other way round: `ssds why {b} {a}`.")
        return "\n".join(lines)
    lines = []
    for path in found.paths:
        lines.append(path[0].node.label)
        for depth, edge in enumerate(path, 1):
            takes = ", ".join(f"{role}: {output}" for role, output in edge.takes)
            lines.append(f"{'  ' * depth}{takes} of {edge.uses.label}")
        lines.append("")
    if every:
        lines.append(
            f"The {counted(len(found.paths), 'shortest path')}; there are more: --limit shows them."
            if found.cut
            else f"{counted(len(found.paths), 'path')}."
        )
    else:
        lines.append("There are more paths: --all shows them." if found.cut else "The only path.")
    return "\n".join(lines)
