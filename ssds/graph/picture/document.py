"""A graph as data: nodes and edges with all that is known of them (schemas/graph.schema.json)."""

from __future__ import annotations

from collections.abc import Mapping

from ssds.core.canonical import Json
from ssds.graph.compile import Graph
from ssds.graph.picture.boxes import counts_of, release_picture
from ssds.graph.picture.model import IMPORTANCE, Box, Level, in_words
from ssds.graph.picture.scope import Scope, nodes_in
from ssds.graph.plan import Plan, PlanStep, Verb

FORMAT_VERSION = "1.0"


def node_document(graph: Graph, plan: Plan, scope: Scope, title: str) -> Json:
    """Returns every node and every edge of a scope, however many; nothing is folded.

    Raises:
        UsageError: the scope makes no sense or is empty (E150, E151).
    """
    chosen = nodes_in(graph, plan, scope)
    shown = set(chosen)
    return {
        "format_version": FORMAT_VERSION,
        "title": title,
        "level": Level.NODES.value,
        "summary": _summary(counts_of(plan.steps[name] for name in chosen)),
        "nodes": [_node(plan.steps[name]) for name in chosen],
        "edges": [
            {
                "from": item.node.label,
                "to": name.label,
                "role": item.role,
                "output": item.output,
                "gate": item.gate,
                "optional": item.optional,
            }
            for name in chosen
            for item in graph.nodes[name].inputs
            if item.node is not None and item.node in shown
        ],
        "notes": [],
    }


def release_document(graph: Graph, plan: Plan, scope: Scope, title: str) -> Json:
    """Returns every release and base of a scope, and every dependency between two of them.

    Raises:
        UsageError: the scope makes no sense or is empty (E150, E151).
    """
    picture = release_picture(graph, plan, nodes_in(graph, plan, scope, by_owner=True), title)
    return {
        "format_version": FORMAT_VERSION,
        "title": title,
        "level": Level.RELEASES.value,
        "summary": _summary(picture.totals),
        "nodes": [_release(box) for box in picture.boxes],
        "edges": [
            {
                "from": line.tail,
                "to": line.head,
                "role": "",
                "output": "",
                "gate": line.verdict,
                "optional": False,
            }
            for line in picture.lines
        ],
        "notes": [],
    }


def _summary(counts: Mapping[Verb, int]) -> dict[str, Json]:
    return {verb.word: counts.get(verb, 0) for verb in Verb}


def _node(step: PlanStep) -> dict[str, Json]:
    name = step.node.id
    return {
        "id": name.label,
        "owner": name.owner,
        "kind": name.kind,
        "part": name.part,
        "platform": name.platform,
        "verb": step.verb.word,
        "reason": step.text,
        "reason_code": step.reason,
        "key": str(step.action.key) if step.action else "",
        "marks": sorted(step.node.marks),
    }


def _release(box: Box) -> dict[str, Json]:
    return {
        "id": box.id,
        "owner": box.id,
        "kind": box.kind,
        "platform": "",
        "verb": box.verb.word,
        "reason": in_words(box.counts),
        "key": "",
        "counts": {verb.word: box.counts[verb] for verb in IMPORTANCE if box.counts.get(verb)},
    }
