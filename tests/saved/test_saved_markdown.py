"""The Markdown of ``plan --since``: short however large, and nothing in it obeys a stranger."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ssds.cli.since import Side, Since
from ssds.cli.since_text import LIMIT_BYTES, code, markdown, plain
from ssds.delivery import Row
from ssds.graph.plan import Verb

HOSTILE = (
    "</details><script>alert(1)</script>",
    "<!-- gone",
    "`rm -rf` ``two`` ```three",
    "| a | b |\n|---|---|",
    "@everybody see #1 and https://example.org/x",
    "![x](https://example.org/beacon.png)",
    "[x](javascript:alert(1))",
    "\n\n# A heading\n\n- [ ] a task",
    "&lt;b&gt; &#64;team \\",
    "\u202egnp.exe\x1b[31m",
    "*bold* _it_ ~~gone~~ :tada:",
)


def a_row(node: str, verb: Verb = Verb.RUN, text: str = "new", **fields: Any) -> Row:
    fields = {"kind": "build", "platform": "linux/amd64", "reason": "changed", **fields}
    return Row(node=node, verb=verb, text=text, **fields)


def a_since(*rows: Row, **fields: Any) -> Since:
    owners = {row: row.node.partition(":")[0] for row in rows}
    given_fields: dict[str, Any] = {
        "base": Side(name="main", commit="a" * 40),
        "head": Side(name="", commit="b" * 40),
        "recipes": dict.fromkeys(owners.values(), "changed"),
        "unchanged": 0,
        "rows": rows,
        "gone": (),
        "owners": owners,
        **fields,
    }
    return Since(**given_fields)


def tokens(text: str) -> list[Any]:
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    found = parser.parse(text)
    return [*found, *(child for token in found for child in token.children or ())]


def check_harmless(text: str) -> None:
    """Everything but code spans is ours: no link, no image, no HTML but the folds."""
    for token in tokens(text):
        assert token.type not in ("html_inline", "image", "link_open", "code_block", "fence")
        if token.type == "html_block":
            body = token.content.strip()
            assert body == "</details>" or body.startswith("<details><summary><code>")
            assert body.count("<") in (1, 5)
        if token.type == "text":
            for sign in "@<>[]!#":
                assert sign not in token.content, token.content
    assert len([t for t in tokens(text) if t.type == "heading_open"]) == 1


def test_hostile_texts_stay_text() -> None:
    for number, text in enumerate(HOSTILE):
        rows = (
            a_row(f"{text}@1:build", text=text),
            a_row(f"x{number}@1:gate", Verb.HELD, text, kind=text),
            a_row(f"y{number}@1:push/{text}", text=text, marks=("irreversible",)),
        )
        found = a_since(*rows, notes=(text,), gone=(text,), base=Side(name=text, commit="c" * 40))
        page = markdown(found)
        check_harmless(page.replace("<details><summary>No longer there: 1</summary>", ""))
        assert plain(found)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.sampled_from("`|<>@#[]()!*_\\-&;:\n\r\t \u202e\x1bab/."), max_size=40))
def test_random_texts_stay_text(text: str) -> None:
    check_harmless(markdown(a_since(a_row("x@1:build", text=text), a_row(f"{text}@1:test"))))
    span = code(text)
    assert "\n" not in span
    assert span.count("`") in (0, 2)


def test_a_huge_change_is_cut_and_says_so() -> None:
    rows = tuple(a_row(f"tool{n}@1.0:build", text="changed: " + "ä" * 150) for n in range(5_000))
    page = markdown(a_since(*rows))
    assert len(page.encode()) <= LIMIT_BYTES
    assert "rows were left out" in page
    assert "| to run | 5000 |" in page
    check_harmless(page)


def test_one_recipe_with_thousands_of_rows_is_cut() -> None:
    rows = tuple(a_row("x@1:build", part_of(n), text="x" * 190) for n in range(3_000))
    page = markdown(a_since(*rows))
    assert len(page.encode()) <= LIMIT_BYTES
    assert "rows were left out" in page


def part_of(number: int) -> Verb:
    return (Verb.RUN, Verb.HELD, Verb.UNKNOWN)[number % 3]


def test_what_cannot_be_taken_back_stands_before_what_is_held_and_the_rest() -> None:
    page = markdown(
        a_since(
            a_row("a@1:build"),
            a_row("b@1:gate", Verb.HELD, "b@1:scan failed"),
            a_row("c@1:push/team", text="moves latest", marks=("irreversible",)),
        )
    )
    first, second, third = (page.index(w) for w in ("taken back", "**Held", "| recipe |"))
    assert first < second < third
    assert "`c@1:push/team [linux/amd64]`: `moves latest`" in page


def test_no_difference_is_said_in_one_sentence() -> None:
    page = markdown(a_since())
    assert page.count("\n") < 8
    assert "Nothing differs" in page
