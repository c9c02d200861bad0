"""What differs between two plans, by their rows."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ssds.graph.plandiff import REUSE, PlanRow, compare

ROW = st.builds(
    PlanRow,
    node=st.sampled_from(["a:build", "a:test", "b:push/x"]),
    platform=st.sampled_from(["", "linux/amd64"]),
    verb=st.sampled_from(["run", "unknown", REUSE, "held"]),
    code=st.sampled_from(["new", "input"]),
    text=st.sampled_from(["no result", "known after x"]),
    marks=st.sampled_from([(), ("impure",)]),
)
ROWS = st.lists(ROW, max_size=8)


def a_row(verb: str = "run", text: str = "no result", **more: str) -> PlanRow:
    return PlanRow(node="a:build", platform="linux/amd64", verb=verb, code="new", text=text, **more)


@given(rows=ROWS)
def test_a_plan_does_not_differ_from_itself(rows: list[PlanRow]) -> None:
    assert compare(rows, rows) == ()


@given(old=ROWS, new=ROWS)
def test_the_other_way_round_entered_and_left_change_places(
    old: list[PlanRow], new: list[PlanRow]
) -> None:
    there, back = compare(old, new), compare(new, old)
    turned = {"entered": "left", "left": "entered"}
    assert sorted(turned.get(c.what, c.what) for c in there) == sorted(c.what for c in back)
    assert all(c.render().startswith(("+ ", "- ", "~ ")) for c in there)


@given(old=ROWS, new=ROWS)
def test_equal_rows_are_equal_plans(old: list[PlanRow], new: list[PlanRow]) -> None:
    full = any(r.verb == REUSE for r in old) and any(r.verb == REUSE for r in new)
    kept = [[r for r in rows if full or r.verb != REUSE] for rows in (old, new)]
    if not compare(old, new):
        assert sorted(kept[0], key=str) == sorted(kept[1], key=str)


def test_each_change_is_one_line() -> None:
    def line(old: list[PlanRow], new: list[PlanRow]) -> str:
        (change,) = compare(old, new)
        return change.render()

    at = "a:build [linux/amd64]"
    assert line([], [a_row()]) == f"+ {at}: run: no result"
    assert line([a_row()], []) == f"- {at}: run: no result"
    assert line([a_row()], [a_row("held", "b failed")]) == f"~ {at}: run → held: b failed"
    assert line([a_row()], [a_row(text="edited")]) == f"~ {at}: run: no result → edited"
    impure = replace(a_row(), marks=("impure",))
    assert line([a_row()], [impure]) == f"~ {at}: run: no mark → impure"


def test_reused_rows_count_only_where_both_plans_have_them() -> None:
    other = replace(a_row(REUSE, "claimed"), node="b:build")
    assert compare([a_row()], [a_row(), other]) == ()
    assert [c.what for c in compare([a_row(REUSE), other], [a_row(), other])] == ["verb"]
    assert [c.what for c in compare([a_row()], [a_row(REUSE), other])] == ["left"]
