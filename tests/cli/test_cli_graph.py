"""``ssds graph`` as people and programs call it."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ET
from pathlib import Path

import jsonschema
import pytest
from e2e_workspace import Site, check_error

SCHEMA = json.loads((Path(__file__).parents[2] / "schemas/graph.schema.json").read_text())


@pytest.mark.parametrize(
    ("name", "start"),
    [("p.svg", "<svg "), ("p.dot", "digraph"), ("p.GV", "digraph"), ("p.mmd", "flowchart LR")],
)
def test_the_ending_of_the_file_says_what_is_drawn(
    plain: Site, tmp_path: Path, name: str, start: str
) -> None:
    ended = plain.good("graph", "--out", str(tmp_path / name))
    assert ended.out == ""
    assert "wrote" in ended.err
    assert (tmp_path / name).read_text().startswith(start)


def test_what_is_printed_is_what_is_written(plain: Site, tmp_path: Path) -> None:
    for form in ("svg", "dot", "mermaid", "json"):
        path = tmp_path / form
        plain.good("graph", "tiny", "--format", form, "--out", str(path))
        printed = plain.good("graph", "tiny", "--format", form, "--out", "-").out
        assert printed == path.read_text()


def test_a_selection_is_drawn_by_nodes_and_the_catalog_by_releases(plain: Site) -> None:
    one = plain.good("graph", "tiny", "--format", "svg").out
    all_of_it = plain.good("graph", "--format", "svg").out
    names = [e.text for e in ET.fromstring(one).iter() if e.get("class") == "name"]
    assert {"base", "build", "test", "publish", "index"} <= set(names)
    names = [e.text for e in ET.fromstring(all_of_it).iter() if e.get("class") == "name"]
    assert sorted(filter(None, names)) == ["debian-12", "ground@1.0", "tiny@1.0"]


def test_collapse_and_nodes_turn_it_round(plain: Site) -> None:
    assert "tiny@1.0<br/>" not in plain.good("graph", "tiny").out
    assert "n1[" in plain.good("graph", "tiny", "--collapse").out
    assert "n9[" not in plain.good("graph", "tiny", "--collapse").out
    assert "n9[" in plain.good("graph", "--nodes").out
    ended = plain.run("graph", "--nodes", "--collapse")
    assert ended.code == 1
    assert "exclude each other" in ended.err


def test_the_json_is_every_node_and_obeys_its_schema(plain: Site) -> None:
    value = json.loads(plain.good("graph", "--format", "json").out)
    jsonschema.validate(value, SCHEMA)
    plan = json.loads(plain.good("plan", "--json", "--full").out)
    steps = [s for s in plan["steps"] if s["kind"] not in ("lock", "push", "fetch")]
    assert sorted((n["verb"], n["reason"]) for n in value["nodes"]) == sorted(
        (s["verb"], s["reason"]) for s in steps
    )
    collapsed = json.loads(plain.good("graph", "--format", "json", "--collapse").out)
    jsonschema.validate(collapsed, SCHEMA)
    assert collapsed["level"] == "releases"


def test_depth_and_verb_draw_less(plain: Site) -> None:
    near = json.loads(plain.good("graph", "tiny:test", "--depth", "1", "--format", "json").out)
    assert {n["kind"] for n in near["nodes"]} == {"test", "build"}
    todo = json.loads(plain.good("graph", "--verb", "unknown", "--format", "json").out)
    assert todo["nodes"]
    assert {n["verb"] for n in todo["nodes"]} == {"unknown"}


def test_wrong_wishes_are_told_with_a_remedy(plain: Site, tmp_path: Path) -> None:
    check_error(plain.run("graph", "--depth", "1"), "E150", "selector")
    check_error(plain.run("graph", "--verb", "held"), "E151")
    check_error(plain.run("graph", "--out", str(tmp_path / "x.png")), "E153", ".svg")
    check_error(plain.run("graph", "--format", "svg", "--out", str(tmp_path)), "E154")
    pipe = tmp_path / "pipe.svg"
    os.mkfifo(pipe)
    check_error(plain.run("graph", "--out", str(pipe)), "E154", "no regular file")
    check_error(plain.run("graph", "tinny"), "E032")
    assert list(tmp_path.glob("x.*")) == []


def test_a_link_is_followed_and_stays(plain: Site, tmp_path: Path) -> None:
    (tmp_path / "link.dot").symlink_to("real")
    plain.good("graph", "--out", str(tmp_path / "link.dot"))
    assert (tmp_path / "link.dot").is_symlink()
    assert (tmp_path / "real").read_text().startswith("digraph")


def test_a_picture_changes_nothing_in_the_workspace(plain: Site) -> None:
    before = sorted(p.relative_to(plain.workspace) for p in plain.workspace.rglob("*"))
    plain.good("graph", "--format", "svg")
    assert sorted(p.relative_to(plain.workspace) for p in plain.workspace.rglob("*")) == before
