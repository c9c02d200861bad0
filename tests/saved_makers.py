"""Small worlds for saved plans: a catalog, a memory of claims, and plans of both."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from makers import AMD64, ARM64, a_catalog, a_release, pinned, shared_pins

from ssds.core.digest import ActionKey, Digest, sha256_of
from ssds.core.model import FAIL, PASS, VERDICT_KINDS, Claim, Node, NodeId
from ssds.core.platform import Platform
from ssds.delivery import Delivery, graph_rows, required_waits
from ssds.graph.compile import Graph, compile_graph
from ssds.graph.plan import Facts, Plan, Verb, Wishes, make_plan
from ssds.lock.model import CatalogLock, Locks
from ssds.recipe.model import Catalog
from ssds.saved.make import make_saved
from ssds.saved.model import Made, Options, SavedPlan

TODAY = dt.date(2026, 1, 1)
NAMES = {
    "source": ["file"],
    "base": ["layer"],
    "build": ["config", "layer/0"],
    "test": ["report"],
    "deploytest": ["report"],
    "metadata": ["metadata"],
    "sbom": ["sbom", "commands"],
    "scan": ["findings"],
    "gate": ["report"],
    "publish": ["manifest", "blob/0"],
    "index": ["index"],
}


@dataclass
class World:
    """Claims by key and bytes by digest; an output is a hash of its action, or ``content``."""

    claims: dict[ActionKey, list[Claim]] = field(default_factory=dict)
    bytes: set[Digest] = field(default_factory=set)
    content: dict[str, str] = field(default_factory=dict)
    builders: Mapping[Platform, str] = field(default_factory=lambda: {AMD64: "", ARM64: ""})

    def facts(self) -> Facts:
        return Facts(
            claims=lambda key: tuple(self.claims.get(key, ())),
            has=self.bytes,
            builder=lambda platform: self.builders.get(platform, f"no builder for {platform}"),
        )

    def claim(self, node: Node, key: ActionKey) -> Claim:
        content = self.content.get(str(node.id), str(key))
        outputs = {o: sha256_of(f"{node.kind} {o} {content}".encode()) for o in NAMES[node.kind]}
        verdict = ""
        if node.kind in VERDICT_KINDS:
            verdict = "fail" if content == "fail" else "pass"
            outputs["verdict"] = sha256_of(FAIL if verdict == "fail" else PASS)
        return Claim(key=key, kind=node.kind, outputs={**outputs, **node.fixed}, verdict=verdict)

    def run(self, plan: Plan) -> list[NodeId]:
        """Applies a plan as the engine does; returns what was executed."""
        ran: list[NodeId] = []
        outputs: dict[NodeId, Mapping[str, Digest]] = {}
        verdicts: dict[NodeId, str] = {}
        for name, step in plan.steps.items():
            if step.verb is Verb.REUSE:
                assert step.claim is not None
                outputs[name], verdicts[name] = step.claim.outputs, step.claim.verdict
            if not step.runs or step.node.unpinned:
                continue
            inputs: dict[str, Digest] = {}
            blocked = False
            for item in step.node.inputs:
                if item.digest is not None:
                    inputs[item.role] = item.digest
                elif item.node in outputs:
                    blocked = blocked or (item.gate and verdicts.get(item.node) == "fail")
                    inputs[item.role] = outputs[item.node][item.output]
                elif not item.optional:
                    blocked = True
            if blocked:
                continue
            action = step.node.resolve(inputs, plan.salt)
            known = self.claims.setdefault(action.key, [])
            if not known or step.reason in ("bytes", "rerun", "retry"):
                ran.append(name)
                claim = self.claim(step.node, action.key)
                known.append(claim)
                self.bytes |= set(claim.outputs.values())
            outputs[name], verdicts[name] = known[0].outputs, known[0].verdict
        return ran


def graph_of(catalog: Catalog, as_of: dt.date = TODAY) -> Graph:
    return compile_graph(catalog, shared_pins(catalog), pinned(catalog), as_of)


def plan_of(catalog: Catalog, world: World, **wishes: Any) -> Plan:
    return make_plan(graph_of(catalog), world.facts(), Wishes(**wishes))


def saved_of(plan: Plan, catalog: Catalog, **fields: Any) -> SavedPlan:
    delivery = Delivery(
        plan=plan, rows=tuple(graph_rows(plan)), required_waits=required_waits(plan)
    )
    full = fields.pop("full", False)
    saved = make_saved(
        delivery,
        Locks(catalog=CatalogLock(), releases={}),
        made=Made(at=1_767_225_600, ssds="0", workspace="somewhere"),
        as_of=TODAY.isoformat(),
        options=Options(),
        releases=catalog.releases,
        full=full,
    )
    return replace(saved, **fields)


def two_recipes(**fields: Any) -> Catalog:
    return a_catalog(a_release("alpha", **fields), a_release("beta"))
