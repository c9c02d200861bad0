"""The pictures in the documentation are what ssds draws of the starter catalog.

``SSDS_UPDATE_DOCS=1 python -m pytest tests/graph/test_graph_picture_docs.py`` draws them anew.
They are drawn as on a machine that has all bytes and can build for every platform, so that they
look the same everywhere.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import graph_makers
import pytest

from ssds.cli.releases import select
from ssds.graph.picture.make import make_picture
from ssds.graph.picture.model import Picture
from ssds.graph.picture.scope import Scope
from ssds.graph.picture.svg import svg
from ssds.graph.plan import Wishes, make_plan
from ssds.workspace import Workspace

ROOT = Path(__file__).parents[2]
AS_OF = dt.date(2026, 11, 1)


def drawn(folder: Path, *selectors: str) -> Picture:
    workspace = Workspace.open(str(folder))
    graph = workspace.graph(AS_OF)
    facts = replace(workspace.facts(), has=graph_makers.Everything(), builder=lambda platform: "")
    owners = {str(name) for name in select(graph.releases, selectors)}
    nodes = frozenset(name for name in graph.nodes if name.owner in owners)
    plan = make_plan(graph, facts, Wishes(nodes=nodes or None))
    title = f"What {', '.join(selectors)} is built on" if selectors else "What is built on what"
    return make_picture(graph, plan, Scope(nodes=nodes or None), title=title)


def catalog(folder: Path) -> Picture:
    return drawn(folder)


def one_edit(folder: Path) -> Picture:
    """What README does: a shorter summary, and a test that expects another number."""
    recipe = folder / "catalog/seqtk/recipe.yaml"
    text = recipe.read_text(encoding="utf-8")
    for old, new in (
        (r"^summary: .*", "summary: Converts and samples FASTA and FASTQ files."),
        (r'stdout_equals: "1000"', 'stdout_equals: "1001"'),
    ):
        text, count = re.subn(old, new, text, flags=re.MULTILINE)
        assert count
    recipe.write_text(text, encoding="utf-8")
    return drawn(folder, "seqtk")


def without_keys(text: str) -> str:
    return re.sub(r"\bkey [0-9a-f]{12}\b", "key …", text)


@pytest.mark.parametrize("draw", [catalog, one_edit], ids=lambda d: d.__name__)
def test_the_pictures_of_the_documentation_are_those_that_ssds_draws(
    draw: Callable[[Path], Picture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSDS_STORE", str(tmp_path / "store"))
    for name in ("catalog", "lockfiles"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy2(ROOT / "ssds.yaml", tmp_path / "ssds.yaml")
    text = svg(draw(tmp_path))
    path = ROOT / "docs/pictures" / f"{draw.__name__.replace('_', '-')}.svg"
    if os.environ.get("SSDS_UPDATE_DOCS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    known = path.read_text(encoding="utf-8") if path.exists() else ""
    assert without_keys(known) == without_keys(text), (
        "SSDS_UPDATE_DOCS=1 python -m pytest tests/graph/test_graph_picture_docs.py draws it anew"
    )
