"""``plan --markdown``: a plan as a pull request's comment, short enough for a forge."""

from __future__ import annotations

import html
from collections.abc import Iterable

from ssds.cli.output import counted
from ssds.cli.since_text import Page, code
from ssds.delivery import Delivery, Row
from ssds.graph.plan import Verb

_LISTED = 20
_ORDER = (Verb.HELD, Verb.REMOVE, Verb.RUN, Verb.UNKNOWN, Verb.WAIT)
_WORDS = {
    Verb.RUN: "to run",
    Verb.UNKNOWN: "known after they ran",
    Verb.REMOVE: "removed",
    Verb.WAIT: "waiting",
    Verb.HELD: "held",
    Verb.REUSE: "built already",
}


def markdown(delivery: Delivery) -> str:
    """Returns the plan as Markdown: summary, what matters most, folded details by recipe.

    At most ``since_text.LIMIT_BYTES`` long; all texts from outside stand in code spans.
    """
    page = Page()
    rows = sorted(
        (row for row in delivery.rows if row.verb is not Verb.REUSE),
        key=lambda row: _ORDER.index(row.verb),
    )
    page.add(f"### {_title(delivery)}\n")
    counts = [(word, delivery.count(verb)) for verb, word in _WORDS.items()]
    lines = [f"| {word} | {count} |" for word, count in counts if count]
    page.add("| steps | |\n|---|--:|\n" + "\n".join(lines) + "\n")
    _listed(page, "Cannot be taken back", (r for r in rows if "irreversible" in r.marks))
    _listed(page, "Held", (r for r in rows if r.verb is Verb.HELD))
    _listed(page, "Made with network", (r for r in rows if "impure" in r.marks))
    left_out = 0
    for owner, group in _by_owner(rows).items():
        if left_out or not page.add(_folded(owner, group)):
            left_out += len(group)
    for note in delivery.notes[:_LISTED]:
        page.add(f"\nNote: {code(note)}")
    if left_out:
        return page.end(
            f"\n… {left_out} rows were left out to keep this short; `ssds plan` prints everything."
        )
    return page.end("")


def _title(delivery: Delivery) -> str:
    running = sum(delivery.count(verb) for verb in (Verb.RUN, Verb.UNKNOWN, Verb.REMOVE))
    if running:
        return f"ssds plan: {counted(running, 'step')} to do"
    if delivery.exit_code:
        return "ssds plan: nothing can run, something is held or waits"
    return "ssds plan: nothing to do"


def _listed(page: Page, title: str, rows: Iterable[Row]) -> None:
    found = list(rows)
    if found:
        lines = [f"- {code(_label(row))}: {code(row.text)}" for row in found[:_LISTED]]
        more = [f"- … and {len(found) - _LISTED} more"] if len(found) > _LISTED else []
        page.add("\n".join([f"**{title}: {len(found)}**\n", *lines, *more, ""]))


def _label(row: Row) -> str:
    return f"{row.node} [{row.platform}]" if row.platform else row.node


def _by_owner(rows: Iterable[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.node.partition(":")[0], []).append(row)
    return groups


def _folded(owner: str, rows: list[Row]) -> str:
    lines = [
        f"| {code(row.verb.value + _signs(row))} | {code(row.node)} | {code(row.platform)} "
        f"| {code(row.text)} |"
        for row in rows
    ]
    return (
        f"<details><summary><code>{html.escape(owner[:120])}</code>: {counted(len(rows), 'row')}"
        "</summary>\n\n| | node | platform | why |\n|---|---|---|---|\n"
        + "\n".join(lines)
        + "\n\n</details>\n"
    )


def _signs(row: Row) -> str:
    return ("!" if "irreversible" in row.marks else "") + ("i" if "impure" in row.marks else "")
