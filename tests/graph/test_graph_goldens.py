"""Golden keys: what was built stays what it was, until a change is meant and told.

``SSDS_UPDATE_GOLDENS=1`` writes them anew.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from full_workspace import FULL_TEXT, answered, write_neighbours
from laws_model import keys_of

from ssds.core.digest import Digest
from ssds.core.model import Claim, NodeId, ReleaseName
from ssds.core.platform import Platform
from ssds.graph.compile import Graph, compile_graph
from ssds.graph.plan import Facts, Verb, make_plan
from ssds.lock.make import locked_claims
from ssds.recipe.catalog import read_catalog
from ssds.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
GOLDENS = Path(__file__).parent / "goldens"
WHEN = dt.date(2026, 11, 22)
STARTERS = ("samtools", "neuro-python")


def check(name: str, keys: Mapping[str, str]) -> None:
    """Compares with a golden file; says of each node what is to be done."""
    path = GOLDENS / f"{name}.json"
    if os.environ.get("SSDS_UPDATE_GOLDENS"):
        path.write_text(json.dumps(dict(sorted(keys.items())), indent=1) + "\n", encoding="utf-8")
    known: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    changed = sorted(n for n in {*known, *keys} if known.get(n) != keys.get(n))
    kinds = sorted({n.partition(":")[2].partition(" ")[0].partition("/")[0] for n in changed})
    assert not changed, (
        f"a changed key rebuilds {', '.join(kinds)}: name it in CHANGELOG.md "
        f'("Rebuilds …") and write {path.name} anew with SSDS_UPDATE_GOLDENS=1.\n'
        + "\n".join(f"  {n}: {known.get(n, 'new')} -> {keys.get(n, 'gone')}" for n in changed)
    )


def locked_graph() -> tuple[Workspace, Graph]:
    workspace = Workspace.open(str(ROOT))
    return workspace, workspace.graph(WHEN)


def locked(workspace: Workspace) -> dict[NodeId, Claim]:
    found: dict[NodeId, Claim] = {}
    for lock in workspace.locks.releases.values():
        for variant, entry in lock.variants.items():
            found.update(locked_claims(lock.release_name(variant), entry))
    return found


def planned_keys(workspace: Workspace, graph: Graph) -> dict[NodeId, str]:
    """Gives the keys that a plan has when it knows nothing but the locks."""
    by_key: dict[str, list[Claim]] = {}
    for claim in locked(workspace).values():
        by_key.setdefault(claim.key, []).append(claim)
    nothing: frozenset[Digest] = frozenset()
    facts = Facts(
        claims=lambda key: tuple(by_key.get(key, ())), has=nothing, builder=lambda _: "none here"
    )
    plan = make_plan(graph, facts)
    unlocked = [s.node.id.label for s in plan.steps.values() if s.verb is not Verb.REUSE]
    assert not unlocked, f"not in the locks under their keys: {unlocked}"
    return {name: str(step.action.key) for name, step in plan.steps.items() if step.action}


def test_the_keys_of_the_recipe_with_every_field_are_the_golden_ones(tmp_path: Path) -> None:
    write_neighbours(tmp_path)
    (tmp_path / "catalog/full/recipe.yaml").write_text(FULL_TEXT, encoding="utf-8")
    reading = read_catalog(str(tmp_path))
    reading.collector.raise_if_failed()
    shared, pins = answered(reading.catalog)
    graph = compile_graph(reading.catalog, shared, pins, dt.date(2023, 11, 14))
    assert not [n.id.label for n in graph.nodes.values() if n.unpinned]
    check("full-recipe", keys_of(graph))


@pytest.mark.parametrize("name", STARTERS)
def test_the_keys_of_a_starter_recipe_are_the_golden_ones(name: str) -> None:
    workspace, graph = locked_graph()
    wanted = {n for r, own in graph.releases.items() if r.name == name for n in own}
    keys = planned_keys(workspace, graph)
    check(name, {n.label: keys[n] for n in graph.closure(wanted)})


def test_every_lock_of_the_starter_catalog_has_the_keys_that_the_compiler_gives() -> None:
    workspace, graph = locked_graph()
    keys = planned_keys(workspace, graph)
    claims = locked(workspace)
    assert {n.label: str(c.key) for n, c in claims.items()} == {
        n.label: keys.get(n, "in no graph") for n in claims
    }


def test_no_lock_stands_for_a_release_that_the_catalog_lacks() -> None:
    workspace, graph = locked_graph()
    locks: set[tuple[ReleaseName, Platform]] = set(workspace.locks.pins)
    assert locks == set(graph.requests)
