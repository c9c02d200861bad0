"""What ``plan --since`` prints: a table for people, and Markdown for a pull request's comment.

Names and texts come from recipes that a stranger may have written: in Markdown all of them stand
in code spans, where nothing is markup, a link or a mention, and the whole stays below the length
that forges take.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from ssds.cli.output import counted, fitted, table, terminal_width
from ssds.cli.since import Since, label_of
from ssds.core.text import shown
from ssds.delivery import Row
from ssds.graph.plan import Verb

LIMIT_BYTES = 65_000
"""Forges take 65,536 characters in a comment; all of it may be of several bytes."""
_LISTED = 20
_RECIPES = 100
_TEXT = 200
_NAME = 120
_VERBS = (
    (Verb.RUN, "to run"),
    (Verb.UNKNOWN, "known after they ran"),
    (Verb.REUSE, "built already"),
    (Verb.HELD, "held"),
    (Verb.WAIT, "waiting"),
    (Verb.REMOVE, "removed"),
)
T = TypeVar("T")


def plain(found: Since) -> str:
    """Returns the difference for people."""
    lines = [_headline(found), ""]
    recipes = [[word, name] for name, word in found.recipes.items()]
    if recipes:
        lines += [table(recipes, indent="  "), ""]
    cells = [
        [f"{row.verb.value}{_signs(row)}", row.node, row.platform, row.text] for row in found.rows
    ]
    if cells:
        lines += [table(fitted(cells, terminal_width() - 2), indent="  "), ""]
    lines += [f"gone: {label}" for label in found.gone[:_LISTED]]
    if len(found.gone) > _LISTED:
        lines.append(f"gone: … and {len(found.gone) - _LISTED} more")
    lines += [f"note: {note}" for note in found.notes]
    words = [f"{n} {word}" for word, n in found.summary.items()]
    lines.append("Since: " + ", ".join(words) + ".")
    return "\n".join(lines)


def _headline(found: Since) -> str:
    counts = ", ".join(f"{found.recipe_count(w)} {w}" for w in ("added", "changed", "removed"))
    return f"From {found.base} to {found.head}: {counts}, {found.unchanged} unchanged."


def _signs(row: Row) -> str:
    return ("!" if "irreversible" in row.marks else "") + ("i" if "impure" in row.marks else "")


class Page:
    """Collects blocks of Markdown as long as they fit; the end always does."""

    def __init__(self, reserved: int = 600) -> None:
        self._parts: list[str] = []
        self._left = LIMIT_BYTES - reserved

    def add(self, text: str) -> bool:
        """Adds a block; False where it does not fit."""
        size = len(text.encode("utf-8", "replace")) + 1
        if size > self._left:
            return False
        self._left -= size
        self._parts.append(text)
        return True

    def add_all(self, head: str, items: Iterable[T], text: Callable[[T], str]) -> int:
        """Adds a head and as many items as fit; returns how many did not."""
        entries = list(items)
        if not entries or not self.add(head):
            return len(entries)
        for number, entry in enumerate(entries):
            if not self.add(text(entry)):
                return len(entries) - number
        return 0

    def end(self, text: str) -> str:
        """Returns the whole page with its last block."""
        return "\n".join([*self._parts, text]).rstrip() + "\n"


def markdown(found: Since) -> str:
    """Returns the difference as Markdown, at most LIMIT_BYTES long."""
    page = Page()
    page.add(f"### {_title(found)}\n")
    page.add(f"{_between(found)}\n")
    if not found.rows and not found.recipes and not found.gone:
        return page.end("Nothing differs in what is built, tested or released.")
    _counts(page, found)
    marked = [r for r in found.rows if "irreversible" in r.marks and r.verb is not Verb.REUSE]
    _listed(page, "Cannot be taken back", marked)
    _listed(page, "Held", [r for r in found.rows if r.verb is Verb.HELD])
    _recipes(page, found)
    left_out = _details(page, found)
    for note in found.notes[:_LISTED]:
        page.add(f"\nNote: {code(note)}")
    if left_out:
        where = "`ssds plan --since` prints everything"
        return page.end(f"\n… {left_out} rows were left out to keep this short; {where}.")
    return page.end("")


def _title(found: Since) -> str:
    running = found.count(Verb.RUN) + found.count(Verb.UNKNOWN) + found.count(Verb.REMOVE)
    if running:
        return f"ssds plan: {counted(running, 'step')} because of this change"
    if found.count(Verb.HELD):
        return "ssds plan: nothing of this change can run, something is held"
    return "ssds plan: this change needs no work"


def _between(found: Since) -> str:
    counts = ", ".join(f"{found.recipe_count(w)} {w}" for w in ("added", "changed", "removed"))
    head = code(str(found.head)) if found.head.name else "the working tree"
    return f"From {code(str(found.base))} to {head}: recipes {counts}, {found.unchanged} unchanged."


def _counts(page: Page, found: Since) -> None:
    rows = [(word, found.count(verb)) for verb, word in _VERBS]
    rows = [(word, count) for word, count in rows if count]
    rows += [("no longer there", len(found.gone))] if found.gone else []
    if rows:
        text = "\n".join(f"| {word} | {count} |" for word, count in rows)
        page.add(f"| steps | |\n|---|--:|\n{text}\n")


def _listed(page: Page, title: str, rows: Sequence[Row]) -> None:
    head = f"**{title}: {len(rows)}**\n"
    page.add_all(head, rows[:_LISTED], lambda r: f"- {code(label_of(r), _NAME)}: {code(r.text)}")
    if len(rows) > _LISTED:
        page.add(f"- … and {len(rows) - _LISTED} more")
    if rows:
        page.add("")


def _by_owner(found: Since) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {name: [] for name in found.recipes}
    for row in found.rows:
        groups.setdefault(found.owners.get(row, ""), []).append(row)
    return groups


def _recipes(page: Page, found: Since) -> None:
    """Adds a row for each recipe: what changed first of all."""
    groups = _by_owner(found)
    names = [name for name in groups if name]
    if not names:
        return

    def cells(name: str) -> str:
        rows = groups[name]
        run = sum(1 for r in rows if r.verb is Verb.RUN)
        after = sum(1 for r in rows if r.verb is Verb.UNKNOWN)
        built = sum(1 for r in rows if r.verb is Verb.REUSE)
        first = next((r for r in rows if r.reason == "changed"), None)
        why = code(f"{first.kind}: {first.text}") if first else ""
        word = found.recipes.get(name, "unchanged")
        return f"| {code(name, _NAME)} | {word} | {run} | {after} | {built} | {why} |"

    head = "| recipe | | run | known after | built | first change |\n|---|---|--:|--:|--:|---|"
    left = page.add_all(head, names[:_RECIPES], cells) + max(0, len(names) - _RECIPES)
    page.add(f"| … and {left} more | | | | | |\n" if left else "")


def _details(page: Page, found: Since) -> int:
    """Adds a folded table for each recipe, and one for what recipes share."""
    left_out = 0
    for name, rows in _by_owner(found).items():
        if not rows:
            continue
        title = html.escape(_flat(name, _NAME)) if name else "shared by recipes"
        head = (
            f"<details><summary><code>{title}</code>: {counted(len(rows), 'row')}</summary>\n\n"
            "| | node | platform | why |\n|---|---|---|---|\n"
        )
        lines = [
            f"| {code(row.verb.value + _signs(row))} | {code(row.node, _NAME)} "
            f"| {code(row.platform)} | {code(row.text)} |"
            for row in rows
        ]
        if left_out or not page.add(head + "\n".join(lines) + "\n\n</details>\n"):
            left_out += len(rows)
    if found.gone:
        lines = [f"- {code(label, _NAME)}" for label in found.gone[:_RECIPES]]
        more = len(found.gone) - len(lines)
        lines += [f"- … and {more} more"] if more else []
        head = f"<details><summary>No longer there: {len(found.gone)}</summary>\n\n"
        if not page.add(head + "\n".join(lines) + "\n\n</details>\n"):
            left_out += len(found.gone)
    return left_out


def code(text: str, limit: int = _TEXT) -> str:
    """Returns a text from outside as a code span that fits into a table.

    In a code span nothing is markup, an address or a mention. What would end the span or the
    cell is written as a like sign.
    """
    flat = _flat(text, limit).replace("`", "'").replace("|", "¦")
    return f"`{flat}`" if flat else ""


def _flat(text: str, limit: int) -> str:
    flat = shown(" ".join(text.split())).strip()
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
