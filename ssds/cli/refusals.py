"""Rebuilds that gave something else and were refused (C2), in words."""

from __future__ import annotations

from collections.abc import Iterator

from ssds.cli.reasons import moment
from ssds.core.model import REFUSED
from ssds.graph.plan import PlanStep
from ssds.workspace import Workspace


def refusals(workspace: Workspace, step: PlanStep) -> Iterator[tuple[str, str]]:
    """Gives what was refused under the key of a step, and what to do."""
    store = workspace.store_if_there
    made = step.action or step.claim
    if store is None or made is None:
        return
    for claim in store.claims.find(made.key):
        if claim.kind != REFUSED:
            continue
        by = f" by {claim.builder}" if claim.builder else ""
        name, digest = next(iter(claim.outputs.items()), ("", ""))
        text = (
            f"A rebuild{by} on {moment(claim.made_at)} gave something else, which was refused: "
            f"{name} {digest}."
        )
        remedy = (
            f"`ssds audit {step.node.id.owner}` shows which files differ; "
            "`ssds apply --accept` makes it a new revision."
        )
        yield text, remedy
