"""Which nodes a picture shows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from ssds.core.errors import UsageError
from ssds.core.model import NodeId
from ssds.graph.compile import Graph
from ssds.graph.plan import Plan, Verb


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What is asked for.

    Attributes:
        nodes: these and what they depend on; None means all that the plan has.
        depth: how many steps of dependencies are followed from ``nodes``; None means all.
        verbs: only nodes with one of these; empty means any.
    """

    nodes: frozenset[NodeId] | None = None
    depth: int | None = None
    verbs: frozenset[Verb] = frozenset()


def nodes_in(graph: Graph, plan: Plan, scope: Scope, *, by_owner: bool = False) -> list[NodeId]:
    """Returns the nodes to show, each after its inputs.

    Args:
        by_owner: a step of ``depth`` leads to another release, not just to another node.

    Raises:
        UsageError: a depth without anything to count from (E150); no node has the verbs (E151).
    """
    if scope.nodes is None:
        if scope.depth is not None:
            raise UsageError(
                "--depth counts from what a selector names, and there is none",
                hint="Name a release: `ssds graph samtools --depth 1`.",
                code="E150",
            )
        found = set(plan.steps)
    else:
        found = _reached(graph, scope.nodes & plan.steps.keys(), scope.depth, by_owner=by_owner)
    if scope.verbs:
        found = {name for name in found if plan.steps[name].verb in scope.verbs}
        if not found:
            words = " or ".join(sorted(verb.word for verb in scope.verbs))
            raise UsageError(
                f"the plan says {words} of no node here",
                hint="Leave --verb out to see what the plan says of them.",
                code="E151",
            )
    return [name for name in graph.nodes if name in found]


def _reached(
    graph: Graph, start: Iterable[NodeId], depth: int | None, *, by_owner: bool
) -> set[NodeId]:
    if depth is None:
        return graph.closure(set(start))
    far = dict.fromkeys(start, 0)
    queue = deque(far)
    while queue:
        name = queue.popleft()
        for item in graph.nodes[name].inputs:
            if item.node is None:
                continue
            same = by_owner and (item.node.owner == name.owner or item.node.kind == "source")
            distance = far[name] + (0 if same else 1)
            if distance <= depth and distance < far.get(item.node, depth + 1):
                far[item.node] = distance
                queue.append(item.node)
    return set(far)
