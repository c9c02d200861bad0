"""Safe changes of texts: made where they fit, and only there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ssds.core.diagnostics import Edit, Span, edited


def edit(line: int, column: int, old: str, new: str) -> Edit:
    return Edit(span=Span(path="x", line=line, column=column), old=old, new=new)


def test_edits_of_one_line_and_of_several_are_all_made():
    edits = [edit(1, 1, "a", "one"), edit(1, 3, "b", "two"), edit(2, 1, "", "new\n")]
    text, made = edited("a b\nc\n", edits)
    assert text == "one two\nnew\nc\n"
    assert made == edits


def test_an_edit_whose_place_has_other_text_is_left_out():
    wanted = [edit(1, 1, "b", "x"), edit(9, 1, "a", "x"), edit(1, 9, "", "x"), edit(0, 0, "a", "x")]
    assert edited("a\n", wanted) == ("a\n", [])


def test_of_two_edits_that_overlap_one_is_made():
    text, made = edited("abc", [edit(1, 1, "ab", "x"), edit(1, 2, "bc", "y")])
    assert (text, len(made)) == ("ay", 1)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.text("ab", max_size=3))))
def test_what_no_edit_touches_stays(places: list[tuple[int, int, str]]) -> None:
    text = "aXb\nXab\nbXa"
    changed, _ = edited(text, [edit(line, column, old, "") for line, column, old in places])
    assert changed.count("X") == 3
    assert changed.count("\n") == 2
