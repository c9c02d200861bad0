"""``suite`` in a recipe of ours: read, planned, explained, imported."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
import yaml
from index_bench import keep_index, looked
from neurocontainers_checkout import recipe, write_checkout

from ssds.cli import main
from ssds.cli.reasons import Places
from ssds.core.model import Node
from ssds.core.pins import SharedPins
from ssds.graph.compile import compile_graph
from ssds.graph.explain import differences
from ssds.graph.plan import PlanStep, Verb
from ssds.recipe.catalog import read_catalog
from ssds.workspace import Workspace

SUITE = """\
name: tool
version: "1.0"
required_files: [{dataset: ds000999, files: [sub-01/a.nii.gz]}]
test_data: {t1: ds000999/sub-01/a.nii.gz}
setup: {script: "true"}
tests:
  - name: looks
    command: tool ${t1}
    expected_output_contains: fine
  - name: counts
    depends_on: looks
    script: |
      tool
      tool --count
"""
RECIPE = """\
name: tool
version: "1.0"
summary: A tool.
licenses: [MIT]
base: {image: "debian:12"}
build: [{run: "true"}]
deploy: {commands: [tool]}
suite: fulltest.yaml
"""
PLACE = "catalog/tool/fulltest.yaml"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SSDS_STORE", str(tmp_path / "store"))
    root = tmp_path / "workspace"
    (root / "catalog/tool").mkdir(parents=True)
    (root / "ssds.yaml").write_text("catalog: catalog\n")
    (root / "catalog/tool/recipe.yaml").write_text(RECIPE)
    (root / PLACE).write_text(SUITE)
    return root


def node_of(root: Path) -> Node:
    reading = read_catalog(str(root))
    assert not reading.collector.failed, list(reading.collector)
    graph = compile_graph(reading.catalog, SharedPins(), {}, dt.date(2026, 1, 1))
    (node,) = (node for node in graph.nodes.values() if node.kind == "test")
    return node


def codes(root: Path) -> list[tuple[str, str, int]]:
    return [(d.code, d.span.path, d.span.line) for d in read_catalog(str(root)).collector.sorted()]


def test_the_tests_of_a_suite_are_those_of_the_recipes_test_node(root: Path) -> None:
    suite = node_of(root).slice["suite"]
    assert isinstance(suite, dict)
    assert [test["name"] for test in suite["tests"]] == ["looks", "counts"]  # type: ignore[index, union-attr, call-overload]
    (data,) = suite["data"]  # type: ignore[misc]
    assert f"source {data['source']}" in " ".join(node_of(root).unpinned)  # type: ignore[index, call-overload]
    assert codes(root) == []  # a recipe with a suite is not without tests


@pytest.mark.parametrize(
    ("name", "code"),
    [("missing.yaml", "R026"), ("../other/x.yaml", "R027"), (".", "R028"), ("folder", "R028")],
)
def test_a_suite_that_cannot_be_read_is_told_at_its_line(root: Path, name: str, code: str) -> None:
    (root / "catalog/tool/folder").mkdir()
    text = RECIPE.replace("fulltest.yaml", json.dumps(name))
    (root / "catalog/tool/recipe.yaml").write_text(text)
    assert codes(root) == [(code, "catalog/tool/recipe.yaml", 8)]


def test_what_is_wrong_in_a_suite_is_told_in_its_own_file_once(root: Path) -> None:
    text = RECIPE.replace('version: "1.0"', "versions: {'1.0': {}, '2.0': {}}")
    (root / "catalog/tool/recipe.yaml").write_text(text)
    (root / PLACE).write_text(SUITE.replace("depends_on: looks", "validate: [{sound: x}]"))
    assert codes(root) == [("N064", PLACE, 11)]


EDITS = {
    "a command": ("tool ${t1}", "tool -v ${t1}", "tests[0].command", 8),
    "an output": (": fine", ": good", "tests[0].expected_output_contains", 9),
    "a script": ("--count", "--sum", "tests[1].script", 12),
    "a set-up": ('script: "true"', 'script: "false"', "setup.script", 5),
    "a dependency": ("depends_on: looks", "depends_on: setup", "tests[1].depends_on", 11),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_changed_test_is_explained_by_its_line_in_the_suite(root: Path, edit: str) -> None:
    before, (old, new, address, line) = node_of(root), EDITS[edit]
    assert old in SUITE
    (root / PLACE).write_text(SUITE.replace(old, new))
    after = node_of(root)
    found = differences({"slice": before.slice}, {"slice": after.slice}, after)
    step = PlanStep(node=after, verb=Verb.RUN, reason="new", text="")
    places = Places(Workspace.open(str(root)), blames=0, limit_s=1)
    assert [str(places.spot(step, d)) for d in found] == [f"{address} ({PLACE}:{line})"]


def test_an_edit_of_a_suite_is_seen_by_the_plan_index(root: Path) -> None:
    keep_index(root)
    (root / PLACE).write_text(SUITE.replace("fine", "good"))
    changes = looked(root)
    assert (changes.recipes, changes.ground) == ({"tool"}, False)


def test_an_imported_recipe_has_the_tests_of_the_checkout(root: Path, tmp_path: Path) -> None:
    suite = f"# by hand\n{SUITE.replace('name: tool', 'name: small')}"
    files = {"fulltest.yaml": suite}
    checkout = write_checkout(tmp_path / "theirs", recipe("- run: [x]"), files=files)
    assert main(["-C", str(root), "import", "neurocontainers", str(checkout)]) == 0
    theirs = read_catalog(str(root), checkouts={"neurocontainers": str(checkout)}, only=["tool"])
    assert not theirs.collector.failed
    written = root / "catalog/small"
    assert (written / "fulltest.yaml").read_text() == suite
    assert yaml.safe_load((written / "recipe.yaml").read_text())["suite"] == "fulltest.yaml"
    before = read_catalog(str(tmp_path), checkouts={"neurocontainers": str(checkout)}).catalog
    after = read_catalog(str(root)).catalog
    graphs = [compile_graph(c, SharedPins(), {}, dt.date(2026, 1, 1)) for c in (before, after)]
    tests = [
        {str(n.id): (n.slice, n.kind_version) for n in graph.nodes.values() if n.kind == "test"}
        for graph in graphs
    ]
    assert tests[0].items() <= tests[1].items()


def test_pins_that_a_checkouts_recipe_lacks_are_told_where_it_asks_for_them(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = """- run: ['sh {{ get_file("a") }}']\n"""
    text = recipe(run, tail="files: [{name: a, url: 'https://example.org/a'}]\n")
    suite = {"fulltest.yaml": SUITE.replace("name: tool", "name: small")}
    checkout = write_checkout(tmp_path / "theirs", text, files=suite)
    (root / "ssds.yaml").write_text("catalog: {neurocontainers: ../theirs}\n")
    assert main(["-C", str(root), "lock", "--check"]) == 2
    told = capsys.readouterr().err
    build = checkout / "recipes/small/build.yaml"
    lines = build.read_text().splitlines()
    for word, key in (("build.base-image", "base-image:"), ("files", "files:")):
        line = 1 + next(n for n, text in enumerate(lines) if key in text)
        assert f"build.yaml:{line}:" in told
        assert f"({word})" in told
    assert "fulltest.yaml:3:1  (required_files)" in told
