"""The part of a workspace that a question about one node needs, so that nothing else is read.

A node's plan rests on what it depends on, and on what depends on it: that may want its bytes. So
the part holds the recipes below, those above, and what these stand on; of the locks only theirs.
The rest of a big catalog is only searched for the word that every reference has.
"""

from __future__ import annotations

from ssds.cli import planning
from ssds.cli.wishes import select_nodes
from ssds.core.model import NodeId
from ssds.graph.compile import Graph
from ssds.graph.plan import Verb
from ssds.recipe.homes import home_with
from ssds.recipe.refers import References
from ssds.workspace import Workspace


def part_of(workspace: Workspace, *texts: str, users: bool) -> Workspace:
    """Returns the part that a question needs.

    That is the whole where not all names are recipes, and where there are reference data sets.

    Args:
        texts: ``samtools``, ``samtools@1.16.1`` or ``samtools:build``.
        users: with the recipes that stand on these.
    """
    if workspace.has_data:  # a part has none, and an index step may want what a recipe gives
        return workspace
    names = frozenset(text.partition(":")[0].partition("@")[0] for text in texts)
    for name in names:
        if home_with(workspace.root, workspace.homes, name) is None:
            return workspace
    references = References(workspace.root, workspace.homes)
    wanted: frozenset[str] | None = names
    if users:
        above = [references.above(name) for name in names]
        wanted = frozenset().union(*(a for a in above if a)) if all(above) else None
    below = references.below(wanted) if wanted is not None else None
    if below is None:
        return workspace
    return workspace.part(below)


def plan_for(
    workspace: Workspace, text: str, asked: planning.Asked
) -> tuple[Workspace, planning.Planned]:
    """Returns the plan of a node and of what it concerns, and the workspace that it is of.

    Its rows of these nodes are those of the whole plan.
    """
    part = part_of(workspace, text, users=True)
    planned = planning.make(part, asked)
    if part.only is not None and _rests_on_others(planned):
        part = part.part(part.only, all_locks=True)
        planned = planning.make(part, asked)
    return part, planned


def _rests_on_others(planned: planning.Planned) -> bool:
    """Whether the lock of an unrelated recipe could change a row.

    Two releases without findings have gates of one key; and a channel that has another release
    gives the layers that this one shares with it.
    """
    steps = planned.plan.steps.values()
    return any(s.reason == "bytes" or (s.node.kind == "gate" and s.verb is Verb.RUN) for s in steps)


def _whole(node: NodeId) -> tuple[str, ...]:
    """Returns what a node is called in full; names of images have colons of their own."""
    return node.owner, str(node), f"{node.owner}:{node.kind}", f"{node.owner}@{node.part}"


def nodes_called(graph: Graph, text: str) -> frozenset[NodeId]:
    """Returns the nodes that a text names: those of releases, and shared ones (``debian-12``).

    Raises:
        UsageError: it names nothing.
    """
    owner, colon, kind = text.partition(":")
    kind, _, part = kind.partition("/")
    releases = {str(name) for name in graph.releases}
    shared = frozenset(
        node
        for node in graph.nodes
        if node.owner not in releases
        and (
            text in _whole(node)  # of a source that is not locked the owner is an address
            or (
                owner in (node.owner, f"{node.owner}@{node.part}")
                and (not colon or node.kind == kind)
                and (not part or node.part == part)
            )
        )
    )
    if shared:
        return shared
    found = select_nodes(graph, (text,))
    return frozenset(n for n in found if not part or n.part == part) or found
