"""A pattern that waits finds what a compiled one finds."""

from __future__ import annotations

import re

import pytest

from ssds.core.patterns import pattern

FORMS = [(r"[a-z]+", 0), (r"(?P<first>\w)(\w*)", 0), (r"^x", re.MULTILINE), (r"\bno\b", 0)]
TEXTS = ["", "abc", "x\nx", "no one", "Äx"]


@pytest.mark.parametrize(("text", "flags"), FORMS)
def test_a_waiting_pattern_finds_what_a_compiled_one_does(text: str, flags: int) -> None:
    waiting, compiled = pattern(text, flags), re.compile(text, flags)

    for _ in range(2):  # before and after it was compiled
        for subject in TEXTS:
            assert waiting.findall(subject) == compiled.findall(subject)
            assert waiting.sub("-", subject) == compiled.sub("-", subject)
            for way in ("match", "fullmatch", "search"):
                found, wanted = (getattr(p, way)(subject) for p in (waiting, compiled))
                assert (found and found.span()) == (wanted and wanted.span())
    assert (waiting.pattern, waiting.flags) == (compiled.pattern, compiled.flags)


def test_bytes_are_searched_as_well() -> None:
    assert pattern(rb"a+").findall(b"aab a") == [b"aa", b"a"]


def test_a_wrong_pattern_is_an_error_at_its_first_use() -> None:
    waiting = pattern("(")

    with pytest.raises(re.error):
        waiting.match("x")
    with pytest.raises(AttributeError):
        pattern("x").no_such_method("x")
