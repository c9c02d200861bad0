"""What an imported file gives: steps in the recipe's own words, and what cannot be said."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from ssds.core.diagnostics import Collector, Diagnostic, Span
from ssds.core.records import dataclass, field
from ssds.recipe.codes import row_of

MARK = "\x01"
"""Around a name that the recipe's own templates know; all other braces are text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What was read, in the words of the recipe format.

    Attributes:
        base: an image of a registry.
        build, tests: items of the recipe's lists, braces of templates not yet guarded.
        sources: name → url and sha256.
        files: path in the recipe's folder → path in the context.
        metadata: summary, homepage, licenses, … as far as labels say them.
        commands: what it offers.
        notes: what a reader should know.
    """

    base: str
    build: tuple[Mapping[str, Any], ...] = ()
    tests: tuple[Mapping[str, Any], ...] = ()
    sources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    commands: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Refusals:
    """Takes everything that cannot be imported, with its line."""

    def __init__(self, path: str, collector: Collector) -> None:
        self.path = path
        self.collector = collector

    def __call__(self, line: int, found: str, instead: str) -> None:
        """Adds one."""
        row = row_of("R122")
        self.collector.add(
            Diagnostic(
                code="R122",
                summary=row.summary,
                span=Span(path=self.path, line=line, column=1),
                facts=(("found", " ".join(found.split())[:120]),),
                hint=f"{instead} {row.hint}".strip(),
            )
        )


def starting_test(program: str, name: str) -> dict[str, Any]:
    """Returns a test to begin with: the program that is offered is there."""
    if program and name not in ("sh", "bash", "dash"):
        return {"name": "its program is there", "run": f"command -v {shlex.quote(program)}",
                "stdout": [name]}  # fmt: skip
    return {"name": "a shell starts", "run": "echo started", "stdout": ["started"]}
