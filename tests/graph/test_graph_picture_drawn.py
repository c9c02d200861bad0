"""Drawn pictures: nothing overlaps, everything is escaped, other programs can read them."""

from __future__ import annotations

import hashlib
import itertools
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import graph_makers
import makers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssds.graph.picture.layout import BOX_HEIGHT, Layout, laid_out
from ssds.graph.picture.make import make_picture
from ssds.graph.picture.model import Box, Level, Limits, Line, Picture
from ssds.graph.picture.scope import Scope
from ssds.graph.picture.style import STYLES
from ssds.graph.picture.svg import svg
from ssds.graph.picture.text import dot, mermaid
from ssds.graph.plan import Verb

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    '"]; click n0 "javascript:alert(1)"',
    "<script>alert(1)</script>",
    'back\\slash \\N "quoted\\"',
    '%%{init: {"theme": "x"}}%%',
    "`**bold** _it_`",
    "&amp;&#x41;",
    "1. a list",
    "- a list",
    "www.example.org",
    "end",
    "a\x00b\x1b[31m\u202e\ufffe\ud800",
    "]]>",
    "日本語の名前",
    "two\nlines",
    "x" * 500,
]


def a_box(name: str, verb: Verb = Verb.REUSE) -> Box:
    return Box(id=name, name=name, note=name, kind="release", counts={verb: 1}, details=(name,))


def a_picture(names: list[str], pairs: list[tuple[int, int]], **fields: object) -> Picture:
    verbs = list(Verb)
    boxes = tuple(a_box(name, verbs[i % len(verbs)]) for i, name in enumerate(names))
    lines = {Line(tail=names[a], head=names[b], verdict=a % 3 == 0) for a, b in pairs if a < b}
    totals = dict.fromkeys(Verb, 1)
    return Picture(
        title="A title", level=Level.RELEASES, boxes=boxes, lines=tuple(sorted(lines)),
        totals=totals, **fields,  # type: ignore[arg-type]
    )  # fmt: skip


def hostile() -> Picture:
    names = [f"{i} {text}" if i % 2 else text for i, text in enumerate(HOSTILE)]
    pairs = [(a, b) for a in range(len(names)) for b in range(a + 1, len(names)) if (a + b) % 4 < 1]
    return a_picture(names, pairs, notes=tuple(HOSTILE[:4]))


PAIRS = st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=90)


def overlaps(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return max(one[0], other[0]) < min(one[1], other[1])


def check(layout: Layout, lines: tuple[Line, ...]) -> None:
    places = {placed.box.id: placed for placed in layout.boxes}
    for placed in layout.boxes:
        assert placed.x >= 0
        assert placed.right <= layout.width
        assert 0 <= placed.y - BOX_HEIGHT // 2 <= layout.height - BOX_HEIGHT
    ordered = sorted(layout.boxes, key=lambda placed: (placed.x, placed.y))
    for one, other in itertools.pairwise(ordered):
        assert one.x != other.x or one.y + BOX_HEIGHT < other.y, "boxes of one column are apart"
        assert one.x == other.x or one.right < other.x, "columns are apart"
    for piece in layout.pieces:
        for placed in layout.boxes:
            box = (placed.x, placed.right)
            assert not overlaps((piece.x1, piece.x2), box), "curves keep to the gaps"
            if overlaps((piece.x2, piece.through), box):
                assert abs(piece.y2 - placed.y) > BOX_HEIGHT / 2, "lines pass beside boxes"
    for line in lines:
        start, end = places[line.tail], places[line.head]
        own = [piece for piece in layout.pieces if piece.tail == line.tail]
        reached = {(start.right, start.y)}
        for piece in sorted(own, key=lambda piece: piece.x1):
            if (piece.x1, piece.y1) in reached:
                reached.add((piece.through, piece.y2))
        assert (end.x, end.y) in reached, "every line goes from its tail to its head"


@given(pairs=PAIRS)
@settings(deadline=None)
def test_boxes_are_apart_and_no_line_runs_through_a_box(pairs: list[tuple[int, int]]) -> None:
    picture = a_picture([f"box {n:02}" for n in range(30)], pairs)
    check(laid_out(picture.boxes, picture.lines, lambda box: 120 + len(box.id)), picture.lines)


@pytest.mark.parametrize("count", [1, 30, 250])
def test_catalogs_are_laid_out_without_an_overlap(count: int) -> None:
    graph = graph_makers.compiled(graph_makers.many(count))
    plan = graph_makers.mixed(graph)
    limits = Limits(boxes=300, lines=5000)
    found = make_picture(graph, plan, Scope(), title="x", limits=limits)
    assert found.level is Level.RELEASES
    check(laid_out(found.boxes, found.lines, lambda box: 200), found.lines)


def test_what_is_needed_stands_left_of_what_needs_it() -> None:
    picture = a_picture(list("abcdef"), [(0, 1), (0, 5), (1, 2), (2, 5), (3, 5), (4, 5)])
    x = {p.box.id: p.x for p in laid_out(picture.boxes, picture.lines, lambda box: 100).boxes}
    assert all(x[line.tail] < x[line.head] for line in picture.lines)
    assert x["d"] == x["c"], "what depends on nothing stands close to its user"


def test_many_on_one_base_are_drawn_in_several_columns() -> None:
    names = ["base", *(f"r{n:02}" for n in range(80))]
    picture = a_picture(names, [(0, n) for n in range(1, 81)])
    layout = laid_out(picture.boxes, picture.lines, lambda box: 160)
    assert layout.height < 1200
    assert layout.width < 2200


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text)


def test_an_svg_is_accessible_and_loads_and_runs_nothing() -> None:
    root = parsed(svg(hostile()))
    assert root.get("role") == "img"
    assert [child.tag for child in root][:2] == [f"{SVG}title", f"{SVG}desc"]
    assert "left to right" in (root[1].text or "")
    allowed = {"svg", "title", "desc", "style", "rect", "text", "g", "path"}
    assert {element.tag.removeprefix(SVG) for element in root.iter()} == allowed
    attributes = {name for element in root.iter() for name in element.attrib}
    assert not [name for name in attributes if "href" in name or name.startswith("on")]
    assert "url(" not in svg(hostile())


def test_an_svg_shows_hostile_names_as_text() -> None:
    root = parsed(svg(hostile()))
    titles = [e.text or "" for e in root.iter(f"{SVG}title")]
    assert "1 <script>alert(1)</script>" in titles
    assert any("\\x1b[31m\\u202e?" in title for title in titles)
    shown = [e.text or "" for e in root.iter(f"{SVG}text")]
    assert all(len(text) < 200 for text in shown)


def test_every_verb_has_a_sign_and_a_colour_of_its_own_and_the_legend_names_them() -> None:
    root = parsed(svg(hostile()))
    signs = {e.text for e in root.iter(f"{SVG}text") if e.get("class") == "sign"}
    assert signs == {verb.value for verb in Verb}
    words = " ".join(e.text or "" for e in root.iter(f"{SVG}text"))
    assert all(f"1 {style.means}" in words for style in STYLES.values())
    for field in ("surface", "line", "dark_surface", "dark_line"):
        assert len({getattr(style, field) for style in STYLES.values()}) == len(Verb)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("verb", list(Verb))
def test_text_and_signs_can_be_read_on_every_colour(verb: Verb) -> None:
    style = STYLES[verb]
    assert contrast("#1f2328", style.surface) > 7
    assert contrast("#4d5560", style.surface) > 4.5
    assert contrast("#ffffff", style.line) > 4.5
    assert contrast("#e6edf3", style.dark_surface) > 7
    assert contrast("#a5afba", style.dark_surface) > 4.5
    assert contrast("#0d1117", style.dark_line) > 4.5


def test_an_svg_tells_reason_and_key_and_follows_light_and_dark() -> None:
    graph = graph_makers.compiled(graph_makers.many(1))
    plan = graph_makers.mixed(graph, 120)
    found = make_picture(graph, plan, Scope(), title="x", level=Level.NODES)
    text = svg(found)
    assert "prefers-color-scheme:dark" in text
    told = [e.text or "" for e in parsed(text).iter(f"{SVG}title")][1:]
    steps = {step.node.id.label: step for step in plan.steps.values()}
    for title in told:
        label, reason, key = title.split("\n")
        step = steps[label]
        assert reason == f"{step.verb.value} {step.verb.word}: {step.text}"
        assert key.removeprefix("key ") == (
            step.action.key.short if step.action else "known after apply"
        )


_DIGEST = """
import hashlib, sys
sys.path[:0] = sys.argv[1:]
import test_graph_picture_drawn as drawn
print(drawn.digest())
"""


def digest() -> str:
    """Returns a digest of one picture in three formats."""
    graph = graph_makers.compiled(graph_makers.many(150, upon=0.5))
    found = make_picture(graph, graph_makers.mixed(graph), Scope(), title="x")
    return hashlib.sha256("".join(draw(found) for draw in FORMATS).encode()).hexdigest()


FORMATS: tuple[Callable[[Picture], str], ...] = (svg, dot, mermaid)


def test_the_same_picture_gives_the_same_bytes_whatever_the_hash_seed() -> None:
    here = Path(__file__).parent
    paths = [str(here), str(here.parent), str(here.parents[1])]
    found = {
        subprocess.run(
            [sys.executable, "-c", _DIGEST, *paths],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert found == {f"{digest()}\n".encode()}


def mermaid_labels(text: str) -> list[str]:
    return re.findall(r'^  n\d+\["(.*)"\]$', text, re.MULTILINE)


def test_mermaid_labels_hold_nothing_that_mermaid_obeys() -> None:
    text = mermaid(hostile())
    labels = mermaid_labels(text)
    assert len(labels) == len(HOSTILE)
    for label in labels:
        for part in label.split("<br/>"):
            rest = re.sub(r"#\d+;", "", part)
            assert not re.search(r'["`<>{}|\\%&@_*~:;\[\]()]', rest), part
            assert not re.match(r"[-+=>]|\d+[.)]", part), f"a list or a quotation: {part}"
    statements = [line for line in text.splitlines() if '["' not in line]
    known = r"flowchart LR|  (accTitle|accDescr): .*|  %% .*"
    known += r"|  n\d+ (-->|-\.->) n\d+|  (classDef|class) .*;"
    assert [line for line in statements if not re.fullmatch(known, line)] == []
    assert "%%{" not in text


def test_mermaid_shows_the_name_itself() -> None:
    picture = a_picture(["samtools@1.16.1"], [])
    (label,) = mermaid_labels(mermaid(picture))
    shown = re.sub(r"#(\d+);", lambda match: chr(int(match[1])), label)
    assert shown == "= samtools@1.16.1<br/>samtools@1.16.1"


def test_dot_escapes_what_graphviz_obeys() -> None:
    text = dot(hostile())
    for line in text.splitlines()[1:-1]:
        bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", line)
        assert '"' not in bare, line
        assert "\\" not in bare, line
    assert "&amp;amp;" in text


@pytest.mark.component("graphviz")
def test_graphviz_draws_every_box_and_line(tmp_path: Path) -> None:
    graph = graph_makers.compiled(graph_makers.many(30))
    real = make_picture(graph, graph_makers.mixed(graph), Scope(), title="x")
    for picture in (hostile(), real):
        done = subprocess.run(
            ["dot", "-Tsvg"], input=dot(picture), capture_output=True, text=True, check=True
        )
        assert done.stderr == "" or "warning" not in done.stderr.lower()
        root = parsed(done.stdout)
        groups = [e.get("class") for e in root.iter(f"{SVG}g")]
        assert groups.count("node") == len(picture.boxes)
        assert groups.count("edge") == len(picture.lines)


def test_an_empty_picture_can_be_drawn() -> None:
    graph = graph_makers.compiled(makers.a_catalog())
    found = make_picture(graph, graph_makers.planned(graph), Scope(), title="all")
    assert "0 nodes" in svg(found)
    parsed(svg(found))
    assert dot(found).startswith("digraph")
    assert mermaid(found).startswith("flowchart LR")
