"""Pictures of the graph: releases and what they are built on, or one release's nodes. Pure.

networkx does the queries: ancestors, and the transitive reduction that keeps a picture readable.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from ssds.core.model import NodeId
from ssds.graph.compile import Graph
from ssds.graph.plan import Plan, Verb

if TYPE_CHECKING:
    import networkx as nx

    Picture = nx.DiGraph[NodeId | str]

_COLOURS = {
    Verb.REUSE: "#d9ead3",
    Verb.RUN: "#fff2cc",
    Verb.UNKNOWN: "#fce5cd",
    Verb.REMOVE: "#f4cccc",
    Verb.WAIT: "#d9d9d9",
    Verb.HELD: "#f4cccc",
}


def node_graph(graph: Graph, wanted: AbstractSet[NodeId]) -> Picture:
    """Returns ``wanted`` and all that they depend on, inputs before consumers, reduced."""
    import networkx as nx

    whole: Picture = nx.DiGraph()
    for node in graph.nodes.values():
        whole.add_node(node.id)
        whole.add_edges_from((i.node, node.id) for i in node.inputs if i.node is not None)
    kept = set(wanted).union(*(nx.ancestors(whole, name) for name in wanted))
    return nx.transitive_reduction(whole.subgraph(kept))


def release_graph(graph: Graph) -> Picture:
    """Returns owners (releases, bases) as nodes and "is built on" as edges."""
    import networkx as nx

    owners: Picture = nx.DiGraph()
    for node in graph.nodes.values():
        if node.kind == "source":
            continue
        owners.add_node(node.id.owner)
        for item in node.inputs:
            if item.node is None or item.node.kind not in ("base", "build"):
                continue
            if item.node.owner != node.id.owner:
                owners.add_edge(item.node.owner, node.id.owner)
    return nx.transitive_reduction(owners)


def verbs_of(plan: Plan) -> dict[NodeId | str, Verb]:
    """Returns the verb of every node of a plan."""
    return {name: step.verb for name, step in plan.steps.items()}


def mermaid(picture: Picture, verbs: Mapping[NodeId | str, Verb]) -> str:
    """Returns a Mermaid flowchart; nodes are coloured by verb where one is known."""
    names = {node: f"n{i}" for i, node in enumerate(sorted(picture.nodes, key=_label))}
    lines = ["flowchart LR"]
    for node, name in names.items():
        lines.append(f'  {name}["{_label(node)}"]')
        if node in verbs:
            lines.append(f"  style {name} fill:{_COLOURS[verbs[node]]}")
    edges = sorted((names[a], names[b]) for a, b in picture.edges)
    lines += [f"  {a} --> {b}" for a, b in edges]
    return "\n".join(lines)


def dot(picture: Picture, verbs: Mapping[NodeId | str, Verb]) -> str:
    """Returns Graphviz text."""
    names = {node: f"n{i}" for i, node in enumerate(sorted(picture.nodes, key=_label))}
    lines = ["digraph ssds {", "  rankdir=LR;", "  node [shape=box style=filled fillcolor=white];"]
    for node, name in names.items():
        colour = f' fillcolor="{_COLOURS[verbs[node]]}"' if node in verbs else ""
        lines.append(f'  {name} [label="{_label(node)}"{colour}];')
    lines += [f"  {a} -> {b};" for a, b in sorted((names[a], names[b]) for a, b in picture.edges)]
    return "\n".join([*lines, "}"])


def as_json(picture: Picture, verbs: Mapping[NodeId | str, Verb]) -> dict[str, object]:
    """Returns nodes and edges as lists."""
    nodes = sorted(picture.nodes, key=_label)
    return {
        "nodes": [
            {"name": _label(n), **({"verb": verbs[n].word} if n in verbs else {})} for n in nodes
        ],
        "edges": sorted([_label(a), _label(b)] for a, b in picture.edges),
    }


def _label(node: object) -> str:
    return node.label if isinstance(node, NodeId) else str(node)
