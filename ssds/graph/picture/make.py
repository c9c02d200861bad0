"""From a graph and its plan to a picture of a size that can be read."""

from __future__ import annotations

from dataclasses import replace

from ssds.core.errors import UsageError
from ssds.graph.compile import Graph
from ssds.graph.picture.boxes import node_picture, release_picture
from ssds.graph.picture.fold import folded
from ssds.graph.picture.model import Level, Limits, Picture
from ssds.graph.picture.order import reduced
from ssds.graph.picture.scope import Scope, nodes_in
from ssds.graph.plan import Plan


def make_picture(
    graph: Graph,
    plan: Plan,
    scope: Scope,
    *,
    title: str,
    level: Level | None = None,
    limits: Limits | None = None,
) -> Picture:
    """Returns the picture of what is asked for.

    Args:
        level: NODES draws every node, RELEASES one box for each release; None draws nodes where
            something was selected and they are few.
        limits: what fits; larger pictures of releases are folded to groups.

    Raises:
        UsageError: nothing to draw (E150, E151), or too many nodes to draw each (E152).
    """
    limits = limits or Limits()
    if level is not Level.RELEASES:
        chosen = nodes_in(graph, plan, scope)
        asked = level is Level.NODES
        if asked:
            _refuse(len(chosen), limits.asked, "nodes")
        if asked or (len(chosen) <= limits.nodes and (scope.nodes is not None or scope.verbs)):
            picture = node_picture(graph, plan, chosen, title)
            picture = replace(picture, lines=reduced(picture.lines))
            if asked:
                _refuse(len(picture.lines), limits.asked_lines, "lines")
            if asked or len(picture.lines) <= limits.lines:
                return picture
    chosen = nodes_in(graph, plan, scope, by_owner=True)
    return folded(release_picture(graph, plan, chosen, title), limits)


def _refuse(count: int, most: int, what: str) -> None:
    if count > most:
        raise UsageError(
            f"{count} {what} are too many to draw each node (the most is {most})",
            hint="Select less, leave --nodes out, or take --format json, which holds any number.",
            code="E152",
        )
