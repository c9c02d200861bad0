"""A model of applying for laws: what a node gives is a pure function of its key."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ssds.core.digest import Digest, sha256_of
from ssds.core.model import FAIL, OUTPUTS, PASS, VERDICT_KINDS, Action, Claim, NodeId
from ssds.graph.compile import Graph

Giver = Callable[[Action], Claim]


def claim_of(action: Action, content: str = "", verdict: str = "pass") -> Claim:
    """Returns the claim of an action: outputs are hashes of its key, or of ``content``."""
    kind = action.node.kind
    said = content or str(action.key)
    outputs = {name: sha256_of(f"{kind} {name} {said}".encode()) for name in OUTPUTS[kind]}
    if kind in VERDICT_KINDS:
        outputs["verdict"] = sha256_of(PASS if verdict == "pass" else FAIL)
    outputs.update(action.node.fixed)
    return Claim(
        key=action.key,
        kind=kind,
        outputs=outputs,
        verdict=verdict if kind in VERDICT_KINDS else "",
        logs={"log": sha256_of(f"log of {said}".encode())},
    )


def actions_of(graph: Graph, give: Giver = claim_of) -> dict[NodeId, Action]:
    """Resolves every node in order, as if all had run and every verdict were a pass."""
    actions: dict[NodeId, Action] = {}
    outputs: dict[NodeId, Mapping[str, Digest]] = {}
    for name, node in graph.nodes.items():
        inputs: dict[str, Digest] = {}
        for item in node.inputs:
            if item.digest is not None:
                inputs[item.role] = item.digest
            else:
                assert item.node is not None
                inputs[item.role] = outputs[item.node][item.output]
        actions[name] = node.resolve(inputs, graph.salt)
        outputs[name] = give(actions[name]).outputs
    return actions


def keys_of(graph: Graph) -> dict[str, str]:
    """Returns each node's label → its key, in the model."""
    keys = {name.label: str(action.key) for name, action in actions_of(graph).items()}
    assert len(keys) == len(graph.nodes)
    return keys
