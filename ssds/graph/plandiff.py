"""What differs between two plans, by their rows: what entered, left, has another verb or reason.

It takes rows from anywhere: a plan as printed, a saved one, or one just made. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ssds.core.canonical import Json

REUSE = "reuse"
WHAT = ("entered", "left", "verb", "reason", "marks")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow:
    """One row of a plan, in the words of its JSON.

    Attributes:
        verb: ``run``, ``reuse``, …
        code: the fixed code of the reason.
        text: the reason in words.
    """

    node: str
    platform: str
    verb: str
    code: str
    text: str
    marks: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The node with its platform, for people."""
        return f"{self.node} [{self.platform}]" if self.platform else self.node

    def to_dict(self) -> dict[str, Json]:
        """Returns what may differ, in JSON."""
        return {
            "verb": self.verb,
            "reason": self.text,
            "reason_code": self.code,
            "marks": list(self.marks),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanChange:
    """One row that differs.

    Attributes:
        what: one of WHAT; of several the first.
        before, after: the rows; None where that plan has none.
    """

    what: str
    before: PlanRow | None = None
    after: PlanRow | None = None

    @property
    def row(self) -> PlanRow:
        """The newer row, or the one that left."""
        row = self.after or self.before
        assert row is not None
        return row

    def render(self) -> str:
        """Returns one line."""
        old, new = self.before, self.after
        if new is not None and old is None:
            return f"+ {_said(new)}"
        if old is not None and new is None:
            return f"- {_said(old)}"
        assert old is not None
        assert new is not None
        if self.what == "verb":
            return f"~ {new.label}: {old.verb} → {new.verb}: {new.text}"
        if self.what == "reason":
            return f"~ {new.label}: {new.verb}: {old.text} → {new.text}"
        marks = [", ".join(row.marks) or "no mark" for row in (old, new)]
        return f"~ {new.label}: {new.verb}: {marks[0]} → {marks[1]}"

    def to_dict(self) -> dict[str, Json]:
        """Returns the JSON form."""
        return {
            "node": self.row.node,
            "platform": self.row.platform,
            "what": self.what,
            "before": self.before.to_dict() if self.before else {},
            "after": self.after.to_dict() if self.after else {},
        }


def _said(row: PlanRow) -> str:
    return f"{row.label}: {row.verb}: {row.text}"


def compare(old: Iterable[PlanRow], new: Iterable[PlanRow]) -> tuple[PlanChange, ...]:
    """Returns the rows that differ, in the order of the newer plan, then what left it.

    A plan may leave reused rows out. Unless both have them, a row that is only reused counts as
    absent: then ``left`` means that it is reused now, or gone.
    """
    before, after = _by_name(old), _by_name(new)
    if not (_is_full(before) and _is_full(after)):
        before, after = _active(before), _active(after)
    changes = [
        change
        for name, row in after.items()
        if (change := _change(before.get(name), row)) is not None
    ]
    changes += [
        PlanChange(what="left", before=row) for name, row in before.items() if name not in after
    ]
    return tuple(changes)


_Rows = Mapping[tuple[str, str, int], PlanRow]


def _by_name(rows: Iterable[PlanRow]) -> dict[tuple[str, str, int], PlanRow]:
    """Returns rows by node, platform and a number: a channel may have several rows."""
    found: dict[tuple[str, str, int], PlanRow] = {}
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        name = (row.node, row.platform)
        number = counts[name] = counts.get(name, -1) + 1
        found[*name, number] = row
    return found


def _is_full(rows: _Rows) -> bool:
    return any(row.verb == REUSE for row in rows.values())


def _active(rows: _Rows) -> dict[tuple[str, str, int], PlanRow]:
    return {name: row for name, row in rows.items() if row.verb != REUSE}


def _change(old: PlanRow | None, new: PlanRow) -> PlanChange | None:
    if old is None:
        return PlanChange(what="entered", after=new)
    for what, same in (
        ("verb", old.verb == new.verb),
        ("reason", (old.code, old.text) == (new.code, new.text)),
        ("marks", old.marks == new.marks),
    ):
        if not same:
            return PlanChange(what=what, before=old, after=new)
    return None
