"""Why a node has a new key, in the recipe's own words: ``build[1].run (catalog/x/recipe.yaml:23)``.

The pre-image speaks of slices; people read addresses of their recipe, and what stood there before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace

from ssds.core.model import Claim, NodeId
from ssds.graph.explain import Difference, differences, distance
from ssds.graph.plan import Plan, PlanStep
from ssds.lock.make import locked_claims
from ssds.workspace import Workspace

_EXPLAINED_AT_MOST = 200
_SHOWN = 36
_OWN = {
    "run": {"script": ""},
    "apt": {"packages": ""},
    "pip": {"packages": ""},
    "env": {"values": ""},
    "labels": {"values": ""},
    "workdir": {"path": ""},
    "user": {"name": ""},
    "entrypoint": {"arguments": ""},
}
"""Step type → field of its slice → its name below ``build[n].<type>``, where they differ."""


def explained(workspace: Workspace, plan: Plan) -> Plan:
    """Says for each new key which fields differ from the nearest remembered one."""
    fresh = [s for s in plan.steps.values() if s.reason == "new" and s.action is not None]
    steps = dict(plan.steps)
    for step in fresh[:_EXPLAINED_AT_MOST]:
        found = nearest(workspace, step)
        if found:
            more = f" and {len(found) - 1} more" if len(found) > 1 else ""
            text = f"changed: {told(workspace, step, found[0])}{more}"
            steps[step.node.id] = replace(step, reason="changed", text=text)
        elif _locked(workspace, step.node.id):
            text = "its key is not the lock's: recipe, pins or ssds changed since"
            steps[step.node.id] = replace(step, reason="changed", text=text)
    return replace(plan, steps=steps)


def nearest(workspace: Workspace, step: PlanStep) -> tuple[Difference, ...]:
    """Returns the differences from the nearest remembered key, or nothing without one.

    The locked key is among them: another node may have made its result, and have the same key.
    """
    store = workspace.store_if_there
    if store is None or step.action is None:
        return ()
    node = step.node
    known = store.claims.nearest(node.kind, node.id.owner, node.id.platform)
    found = [entry.preimage for entry in known]
    locked = _locked(workspace, node.id)
    other = store.claims.preimage(locked.key) if locked else None
    preimages = [json.loads(preimage) for preimage in (*found, other) if preimage is not None]
    if not preimages:
        return ()
    now = json.loads(step.action.preimage_bytes)
    best = min(preimages, key=lambda before: distance(before, now))
    return differences(best, now, node)


def _locked(workspace: Workspace, node: NodeId) -> Claim | None:
    """Returns the claim that a lock has of this node, under whatever key."""
    for lock in workspace.locks.releases.values():
        for variant, entry in lock.variants.items():
            name = lock.release_name(variant)
            if str(name) == node.owner:
                return locked_claims(name, entry).get(node)
    return None


def told(workspace: Workspace, step: PlanStep, difference: Difference) -> str:
    """Returns where a field is, and its value before and after, shortened."""
    before, after = (_short(text) for text in (difference.before, difference.after))
    where = place(workspace, step, difference)
    if not before:
        return f"{where} is new: {after}"
    if not after:
        return f"{where} is gone, was {before}"
    return f"{where}: {before} → {after}"


def place(workspace: Workspace, step: PlanStep, difference: Difference) -> str:
    """Returns where a difference comes from: ``build[1].run (catalog/x/recipe.yaml:23)``."""
    address = _address(step, difference)
    if not difference.address or not step.node.recipe_path:
        return address
    span = workspace.reading.spans(step.node.recipe_path, address)
    return f"{address} ({span.path}:{span.line})" if span.line else address


def _address(step: PlanStep, difference: Difference) -> str:
    """Returns the recipe's own address of a field, or plain words for what is in no recipe."""
    path = difference.path
    if not difference.address:
        kind, _, rest = path.partition(".")
        plain = {"source_date_epoch": "the date of the inputs", "kind_version": "ssds itself"}
        if kind == "inputs":
            return f"its input {rest}"
        return plain.get(path, rest if kind == "slice" else path)
    prefix = max((p for p in step.node.origin if path.startswith(p)), key=len, default="")
    rest = path[len(prefix) :]
    field = re.match(r"\.([A-Za-z_]+)", rest)
    if step.node.kind == "build" and field:
        return difference.address + _step_field(step, prefix, field[1], rest[field.end() :])
    if step.node.kind == "test" and rest == ".script":
        rest = ".run"
    return difference.address + rest


def _step_field(step: PlanStep, prefix: str, field: str, rest: str) -> str:
    number = re.search(r"\[(\d+)\]$", prefix)
    steps = step.node.slice.get("steps")
    if number is None or not isinstance(steps, list) or int(number[1]) >= len(steps):
        return f".{field}{rest}"
    entry = steps[int(number[1])]
    kind = str(entry["type"]) if isinstance(entry, Mapping) else ""
    if field == "type":
        return ""
    own = _OWN.get(kind, {}).get(field, f".{field}")
    return f".{kind}{own}{rest}"


def _short(text: str) -> str:
    """Shortens digests and long texts."""
    text = re.sub(r"\b(?:sha256|blake3):([0-9a-f]{12})[0-9a-f]+", r"\1", text)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
