"""What the page on keys says of slices is true: edits of a real recipe, one by one."""

from __future__ import annotations

import datetime as dt
import re
import shutil
from pathlib import Path

import pytest
from doc_pages import ROOT

from ssds.workspace import Workspace

RECIPE, POLICIES = "catalog/seqtk/recipe.yaml", "catalog/policies.yaml"
EDITS = {
    "summary": (RECIPE, r"^summary: .*", "summary: shorter"),
    "description": (RECIPE, r"^description: \|\n", "description: |\n  More.\n"),
    "EDAM": (RECIPE, r"topic_0622", "topic_0621"),
    "maintainers": (RECIPE, r"^  - name: ssds catalog.*", "  - name: somebody else"),
    "deploy.environment": (RECIPE, r"^  commands: .*", r"\g<0>\n  environment: {A: b}"),
    "homepage": (RECIPE, r"^homepage: .*", "homepage: https://example.org"),
    "licences": (RECIPE, r"^licenses: .*", "licenses: [Apache-2.0]"),
    "identifiers": (RECIPE, r"^identifiers: .*", "identifiers: {biotools: other}"),
    "deploy.commands": (RECIPE, r"^  commands: .*", "  commands: [seqtk, sh]"),
    "deploy.paths": (RECIPE, r"^  commands: .*", r"\g<0>\n  paths: [/opt/x]"),
    "build step": (RECIPE, r"^  - apt: .*", r"\g<0>\n  - env: {A: b}"),
    "a test": (RECIPE, r'stdout_equals: "1000"', 'stdout_equals: "1001"'),
    "policy": (POLICIES, r"^  unscanned: fail", "  unscanned: pass"),
    "waiver": ("catalog/neuro-python/recipe.yaml", r"^(\s+owner): .*", r"\1: somebody else"),
    "time limit": (RECIPE, r"time_limit_s: 60", "time_limit_s: 61"),
    "channel": (RECIPE, r"^publish: .*", "publish: []"),
}


def slices(root: Path) -> dict[str, tuple[str, object]]:
    graph = Workspace.open(str(root)).graph(dt.date(2026, 11, 22))
    return {
        name.label: (name.kind, (node.slice, node.epoch, node.fixed))
        for name, node in graph.nodes.items()
    }


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("slices")
    for name in ("catalog", "lockfiles"):
        shutil.copytree(ROOT / name, root / name)
    shutil.copy2(ROOT / "ssds.yaml", root)
    return root


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_reaches_the_kinds_that_the_page_names(what: str, workspace: Path) -> None:
    text = (ROOT / "docs/explanation/keys-and-claims.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", text, re.MULTILINE)
    told = [answer for change, answer in rows if what in change]
    assert len(told) == 1, (what, rows)
    name, before, after = EDITS[what]
    path = workspace / name
    kept = path.read_text()
    known = slices(workspace)
    try:
        changed, count = re.subn(before, after, kept, count=1, flags=re.MULTILINE)
        assert count == 1
        path.write_text(changed)
        found = slices(workspace)
    finally:
        path.write_text(kept)
    assert found.keys() == known.keys()
    kinds = {kind for label, (kind, value) in found.items() if known[label][1] != value}
    assert kinds == set(re.findall(r"`(\w+)`", told[0]))
