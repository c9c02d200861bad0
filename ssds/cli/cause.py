"""One reason of a plan's row, and what its sentence is made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ssds.cli.reasons import moment
from ssds.core.model import Claim
from ssds.graph.plan import Facts, Plan, PlanStep, Verb
from ssds.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One reason.

    Attributes:
        code: a fixed word (``collected``, ``failed``, ``chain``, …).
        text: one sentence.
        next: what to do, a sentence; empty where nothing is to do.
    """

    code: str
    text: str
    next: str = ""

    def to_dict(self) -> dict[str, str]:
        """Returns the JSON form."""
        return {"code": self.code, "text": self.text, "next": self.next}


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the sentences are made from."""

    workspace: Workspace
    plan: Plan
    facts: Facts

    def made(self, claim: Claim) -> str:
        """Returns when and by whom a claim was made: ``on 2026-11-22 14:03 UTC by embedded``."""
        store = self.workspace.store_if_there
        others = store.claims.find(claim.key) if store else ()
        for other in (claim, *others):
            if other.made_at and other.same_outputs(claim):
                by = f" by {other.builder}" if other.builder else ""
                return f"on {moment(other.made_at)}{by}"
        return ""

    def pending(self, step: PlanStep) -> Iterator[PlanStep]:
        """Gives the steps of inputs that keep a step from being known, waiting or held."""
        for item in step.node.inputs:
            source = self.plan.steps.get(item.node) if item.node else None
            if source is None:
                continue
            unknown = source.verb is Verb.UNKNOWN or (
                source.verb is Verb.RUN and not source.outputs
            )
            stopped = source.verb in (Verb.WAIT, Verb.HELD) and not item.optional
            if unknown or (stopped and step.verb is source.verb):
                yield source
