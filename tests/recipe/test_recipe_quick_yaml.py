"""The quick reader of plain YAML says what libyaml says, or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssds.core.diagnostics import Collector
from ssds.recipe.quick_yaml import Marks, quick_value
from ssds.recipe.yaml_events import Reader, marks_of

ROOT = Path(__file__).parents[2]
RECIPES = [*sorted(ROOT.glob("catalog/**/*.yaml")), ROOT / "tests/recipe/full-recipe.yaml"]
TEXTS = [path.read_text() for path in RECIPES]


def words(text: str) -> list[str]:
    return text.split()


def agree(text: str) -> bool:
    """Whether the quick reader read it; then it says the same as the strict one, to the mark."""
    data = text.encode("utf-8", "surrogatepass")
    marks: Marks = {}
    value = quick_value(data, marks)
    if value is None:
        return False
    assert quick_value(data) == value
    collector = Collector()
    assert Reader("x", collector).read(data) == (True, value)
    assert repr(Reader("x", collector).read(data)[1]) == repr(value)  # also 1 and true, and order
    assert not len(collector)
    assert marks == marks_of(data)
    return True


_WORDS = words(r"""
a b-c name: name:x x: - -- -x 1 -1 01 1.5 1.2.3 0x1f .inf .x ~ ~x null Null true no t {} [] {a {a:
[a, b ] } , : :: # x#y &a *a !t !!str @x %x `x ` | |- > >- |2 |+ ? ?x = << $x (a) a/b c:\d é …
'it''s' 'x' ' " "a" "a\nb" "\\" "\x41" "a: '# --- ... key: "k": 'k': null: true: 1: long
""")
_WORDS += [
    "",
    "  ",
    " #c",
    ": ",
    "- ",
    "\t",
    "[a, b]",
    "{a: b}",
    "{a: [b, {c: d}]}",
    "[-x, --y, a b]",
]
WORDS = st.sampled_from(_WORDS)
LINES = st.builds(
    lambda indent, words, joint: " " * indent + joint.join(words),
    st.sampled_from((0, 0, 0, 1, 2, 2, 4, 6)),
    st.lists(WORDS, max_size=4),
    st.sampled_from((" ", " ", "")),
)


@given(st.lists(LINES, max_size=8))
def test_any_lines_are_read_as_libyaml_reads_them(lines: list[str]) -> None:
    agree("".join(f"{line}\n" for line in lines))


@st.composite
def edited(draw: st.DrawFn) -> str:
    """A recipe of the catalog with a few lines of another form, gone, or elsewhere."""
    lines = draw(st.sampled_from(TEXTS)).split("\n")
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        line = lines[at]
        cut = draw(st.integers(0, len(line)))
        word = draw(WORDS)
        lines[at : at + 1] = draw(
            st.sampled_from(
                (
                    [],
                    [line, line],
                    [" " + line],
                    [line[1:]],
                    [line[:cut], line[cut:]],
                    [line[:cut] + word + line[cut:]],
                    [line[:cut] + word],
                    [line[:-1]],
                    [line, "  " * (cut % 5) + word],
                )
            )
        )
        lines = lines or [""]
    return "\n".join(lines)


@given(edited())
def test_a_damaged_recipe_is_read_as_libyaml_reads_it(text: str) -> None:
    agree(text)


@given(st.text("ab:-[]{}#&*!|>'\"%@`,? \n\t019.~\\é\u2028\x85", max_size=60))
def test_any_punctuation_is_read_as_libyaml_reads_it(text: str) -> None:
    agree(text + "\n")


def test_the_starter_catalog_is_read_quickly_but_for_a_list_over_several_lines() -> None:
    slow = [p.parent.name for p, text in zip(RECIPES, TEXTS, strict=True) if not agree(text)]
    assert slow == ["neuro-python"]


@pytest.mark.parametrize(
    "text",
    [
        "a: 1.5\n", "a: ~\n", "a:\n", "a: &x b\n", "a: !t b\n", "a: *x\n", "a: 010\n",
        "a: b\na: c\n", "---\na: b\n", "%YAML 1.2\na: b\n", "a: b\n...\n", "a: b", "a: b\r\n",
        "a: b\tc\n", "true: b\n", "a: b: c\n", "a: b\n  c\n", "{a: b}\n", "b\n", "", "\n",
        "a: \u202ex\n", "\ufeffa: b\n", "a: '\u0085'\n", "a: [b,\n  c]\n", "a: {b: }\n",
        "? a\n: b\n", "a: |2\n  x\n", "a: >\n  x\n\n  y\n", 'a: "\\x41"\n', "a: \x00\n",
    ],
)  # fmt: skip
def test_what_is_wrong_or_unusual_is_left_to_libyaml(text: str) -> None:
    assert quick_value(text.encode()) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: |\n  x\n   y\n\n  z\n\n\nb: c\n", {"a": "x\n y\n\nz\n", "b": "c"}),
        ("a: |-\n\n    x\n  # a comment\nb: c\n", {"a": "\nx", "b": "c"}),
        ("a: >-\n  x\n  y\n", {"a": "x y"}),
        ("a:\n- b: 1\n  c: true\n- d\ne: -5\n", {"a": [{"b": 1, "c": True}, "d"], "e": -5}),
        (
            "# c\n- x # y\n- {a: [b, 'c''d'], \"e\": \"f: g\"}\n",
            ["x", {"a": ["b", "c'd"], "e": "f: g"}],
        ),
        ('a: "x\\ty" # z\n"b c": d#e\n', {"a": "x\ty", "b c": "d#e"}),
        ("a:\n  b:\n    c: 1.2.3\n  d: [ ]\n", {"a": {"b": {"c": "1.2.3"}, "d": []}}),
        ("a: |\n  x\n  \tz\n", {"a": "x\n\tz\n"}),
        ("a: é…\n", {"a": "é…"}),
    ],
)
def test_what_people_write_is_read_quickly(text: str, value: object) -> None:
    assert quick_value(text.encode()) == value
    assert agree(text)
