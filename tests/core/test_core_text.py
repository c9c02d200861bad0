"""Text from outside never commands a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssds.core.diagnostics import Diagnostic, Span
from ssds.core.text import blanked, shown


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a\x1b[31mred", "a\\x1b[31mred"),
        ("\x9b2J", "\\x9b2J"),
        ("one\rtwo", "one\\rtwo"),
        ("one\ntwo\tthree", "one\\ntwo\\tthree"),
        ("left \u202eright", "left \\u202eright"),
        ("name \udcff", "name \\udcff"),
        ("no\xa0break, é, 日本, \U0001f9ec", "no\xa0break, é, 日本, \U0001f9ec"),
    ],
)
def test_what_a_terminal_would_obey_is_written_as_an_escape(text: str, wanted: str) -> None:
    assert shown(text) == wanted


def test_lines_are_kept_where_they_are_wanted() -> None:
    assert shown("one\n\ttwo\x07\r\n", lines=True) == "one\n\ttwo\\x07\\r\n"


def test_blanked_text_has_a_space_for_each_of_them() -> None:
    assert blanked("a\u202eb\u2066c\x1bd\u200fe\udcff\n\tf") == "a b c d e \n\tf"
    assert blanked("no\xa0break, é, 日本") == "no\xa0break, é, 日本"


@given(st.text(st.characters()))
def test_blanked_text_has_nothing_that_shown_text_would_escape(text: str) -> None:
    clean = blanked(text)
    assert len(clean) == len(text)
    assert shown(clean, lines=True) == clean


@given(st.text(st.characters()))
def test_shown_text_can_be_encoded_and_is_stable(text: str) -> None:
    once = shown(text)
    once.encode("utf-8")
    assert shown(once) == once
    assert not any(c < " " or "\x7f" <= c <= "\x9f" for c in once)


def test_a_diagnostic_hides_controls_of_every_part() -> None:
    found = Diagnostic(
        code="R001",
        summary="unknown key",
        span=Span(path="catalog/\x1b[31m/recipe.yaml", line=1, column=1),
        address="a\x1b]0;b\x07",
        facts=(("key", "\x1bc"),),
        hint="restore catalog/\x1b[2J",
    ).render()
    assert "\x1b" not in found
    assert "\x07" not in found
