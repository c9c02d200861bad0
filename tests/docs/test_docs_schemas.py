"""JSON that ssds prints, and JSON that the documentation shows, obey the published schemas."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import doc_pages
import jsonschema
import makers
import pytest
from doc_pages import ROOT

from ssds.core.digest import ActionKey
from ssds.core.model import KINDS, Claim, ReleaseName
from ssds.delivery import Delivery, change_rows, graph_rows
from ssds.graph.compile import compile_graph
from ssds.graph.plan import Facts, Verb, Wishes, make_plan
from ssds.recipe.steps import RunStep
from ssds.ship.changes import Change


def schema(name: str) -> Any:
    return json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text())


def obeys(value: object, name: str) -> None:
    jsonschema.Draft202012Validator(schema(name)).validate(value)


def ssds(folder: Path, *arguments: str) -> Any:
    environment = {**os.environ, "SSDS_STORE": str(folder / "store"), "SSDS_SANDBOX": "auto"}
    done = subprocess.run(
        [sys.executable, "-m", "ssds", "-C", str(folder), *arguments],
        capture_output=True,
        env={**environment, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode in (0, 3), done.stderr.decode()
    return json.loads(done.stdout)


@pytest.fixture
def starter(tmp_path: Path) -> Path:
    for name in ("catalog", "lockfiles"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy2(ROOT / "ssds.yaml", tmp_path / "ssds.yaml")
    return tmp_path


@pytest.mark.parametrize("path", sorted((ROOT / "schemas").glob("*.json")), ids=lambda p: p.name)
def test_each_schema_is_a_schema(path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))


def test_the_plan_schema_names_every_verb_and_kind() -> None:
    step = schema("plan")["$defs"]["step"]["properties"]
    assert step["verb"]["enum"] == [verb.word for verb in Verb]
    assert step["kind"]["enum"] == [*KINDS, "lock", "push", "fetch"]


def test_the_plan_of_a_fresh_clone_obeys_its_schema(starter: Path) -> None:
    for arguments in (("--full",), (), ("--fetch", "seqtk"), ("--as-of", "2035-01-01")):
        plan = ssds(starter, "plan", "--json", *arguments)
        obeys(plan, "plan")
    assert len(ssds(starter, "plan", "--json", "--full")["steps"]) > 50


def test_a_plan_of_every_verb_and_mark_obeys_its_schema() -> None:
    network = RunStep(address="build[0]", script="fetch", network=True)
    catalog = makers.a_catalog(
        makers.a_release("impure", steps=(network,)),
        makers.a_release("plain", platforms={makers.AMD64: True, makers.ARM64: False}),
        makers.a_release("broken"),
        makers.a_release("moving", "2.0"),
    )
    pins = makers.pinned(catalog)
    unpinned = {key: found for key, found in pins.items() if key[0].name != "moving"}
    graph = compile_graph(catalog, makers.shared_pins(catalog), unpinned, dt.date(2026, 1, 1))

    def claims(key: ActionKey) -> tuple[Claim, ...]:
        return failed.get(key, ())

    failed: dict[ActionKey, tuple[Claim, ...]] = {}
    facts = Facts(claims=claims, has=frozenset(), builder=lambda p: "" if "amd" in p else "none")
    first = make_plan(graph, facts, Wishes())
    for name, step in first.steps.items():
        if name.owner == "broken@1.16.1" and name.kind == "build" and step.action:
            outputs = {"config": makers.a_package("x").file.digest}
            failed[step.action.key] = (Claim(key=step.action.key, kind="build", outputs=outputs),)
            test = graph.nodes[
                next(n for n in graph.nodes if n.owner == name.owner and n.kind == "test")
            ]
            key = test.resolve({"config": outputs["config"]}).key
            verdicts = {"verdict": makers.a_package("y").file.digest}
            failed[key] = (Claim(key=key, kind="test", outputs=verdicts, verdict="fail"),)
    plan = make_plan(graph, facts, Wishes())
    moved = Change(where="team", what="plain:latest", verb="+", reason="moves",
                   marks=frozenset({"irreversible"}))  # fmt: skip
    gone = Change(where="team", what="old:1.0", verb="-", reason="gone")
    owner = ReleaseName("plain", "1.16.1")
    rows = graph_rows(plan) + change_rows([(moved, owner), (gone, owner)])
    value = Delivery(plan=plan, rows=tuple(rows)).to_dict(full=True)
    obeys(value, "plan")
    seen = {step["verb"] for step in value["steps"]}  # type: ignore[index,union-attr,call-overload]
    assert seen == {verb.word for verb in Verb}
    assert value["summary"]["impure"] >= 1  # type: ignore[index,call-overload]
    assert value["summary"]["irreversible"] == 1  # type: ignore[index,call-overload]


def test_the_committed_locks_obey_their_schemas() -> None:
    for path in sorted((ROOT / "lockfiles").glob("*.json")):
        name = "catalog-lock" if path.name == "catalog.lock.json" else "lock"
        obeys(json.loads(path.read_text()), name)


JSON_BLOCKS = [
    pytest.param(page, block, id=f"{page.name}:{block.line}")
    for page in doc_pages.pages()
    for block in page.blocks
    if block.language == "json"
]


@pytest.mark.parametrize(("page", "block"), JSON_BLOCKS)
def test_the_json_examples_obey_their_schemas(page: doc_pages.Page, block: doc_pages.Block) -> None:
    value = json.loads(block.text)
    assert "schema" in block.notes, f"{page.name}:{block.line} names no schema"
    if block.notes["schema"] != "none":
        obeys(value, block.notes["schema"])
