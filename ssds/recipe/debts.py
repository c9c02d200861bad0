"""What an old catalog owes: findings and failing tests that hold nothing until a day.

``catalog/debts.yaml`` names them by recipe, whatever format that has. Reading it is pure.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ssds.core.canonical import Json
from ssds.core.diagnostics import Collector
from ssds.core.patterns import pattern
from ssds.core.records import dataclass, replace
from ssds.recipe.codes import diagnostic, near
from ssds.recipe.formats.scope import Report, day
from ssds.recipe.model import Release, Target
from ssds.recipe.yamlmarks import Spans

FILE = "debts.yaml"
NAME_LIMIT = 200
"""Characters of a finding's id or package, as the schema has it."""
_ESCAPED = pattern("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
"""What JSON may write as it is and YAML may not, or reads as something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Debt:
    """A finding that holds nothing until a day (inclusive).

    Attributes:
        id: its id or an alias; package: its package or source package.
        fixable, exploited: whether a fix or an exploitation was known; one that comes later holds.
    """

    id: str
    package: str
    until: dt.date
    fixable: bool = False
    exploited: bool = False

    def to_json(self) -> dict[str, Json]:
        """Returns it as gates and the file have it."""
        said: dict[str, Json] = {
            "id": self.id,
            "package": self.package,
            "until": self.until.isoformat(),
        }
        return said | {n: True for n in ("fixable", "exploited") if getattr(self, n)}


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFailure:
    """A test that may fail until a day (inclusive)."""

    test: str
    reason: str
    owner: str
    until: dt.date


@dataclass(frozen=True, slots=True, kw_only=True)
class Debts:
    """What one recipe owes; ``released``: whose findings these are, in words."""

    findings: tuple[Debt, ...] = ()
    tests: tuple[KnownFailure, ...] = ()
    released: str = ""
    reason: str = ""
    owner: str = ""


def read_debts(data: Mapping[str, Any], report: Report) -> dict[str, Debts]:
    """Returns what a file says that its schema accepts; wrong dates and doubles are reported."""
    return {name: _debts(name, item, report) for name, item in data.items()}


def _debts(name: str, item: Mapping[str, Any], report: Report) -> Debts:
    known: set[tuple[str, ...]] = set()
    findings: list[Debt] = []
    tests: list[KnownFailure] = []
    about = item.get("findings", {})
    for index, one in enumerate(about.get("owed", ())):
        path = (name, "findings", "owed", index)
        until = _day(one["until"], (*path, "until"), report)
        if (one["id"], one["package"]) in known:
            report("U010", path, ("id", one["id"]), ("package", one["package"]))
        known.add((one["id"], one["package"]))
        findings.append(Debt(**{**one, "until": until}))
    for index, one in enumerate(item.get("tests", ())):
        place = (name, "tests", index)
        until = _day(one["until"], (*place, "until"), report)
        if (one["test"],) in known:
            report("U010", place, ("test", one["test"]))
        known.add((one["test"],))
        tests.append(KnownFailure(**{**one, "until": until}))
    words = {key: about.get(key, "") for key in ("released", "reason", "owner")}
    return Debts(findings=tuple(findings), tests=tuple(tests), **words)


def _day(text: str, path: tuple[str | int, ...], report: Report) -> dt.date:
    try:
        return day(text)
    except ValueError as error:
        report("U011", path, ("found", text), ("reason", str(error)))
        return dt.date.min


def check_debts(
    debts: Mapping[str, Debts],
    releases: Iterable[Release],
    known: Collection[str],
    broken: Collection[str],
    spans: Spans,
    collector: Collector,
    catalog: str,
) -> None:
    """Warns of debts of recipes and tests that are not there.

    Args:
        known: names of all recipes; of ``broken`` ones nobody can tell which tests they have.
    """
    tests: dict[str, set[str]] = {}
    for release in releases:
        for target in release.targets.values():
            tests.setdefault(release.id.name, set()).update(tests_of(target))
    for name, found in debts.items():
        if name not in known:
            span = spans(f"{catalog}/{FILE}", name, key=True)
            first = near(name, list(known))
            collector.add(diagnostic("U012", span, name, (("recipe", name),), first=first))
        elif name not in broken:
            for index, one in enumerate(found.tests):
                if one.test not in tests.get(name, ()):
                    address = f"{name}.tests[{index}].test"
                    span = spans(f"{catalog}/{FILE}", address)
                    first = near(one.test, list(tests.get(name, ())))
                    facts = (("test", one.test), ("recipe", name))
                    collector.add(diagnostic("U013", span, address, facts, first=first))


def tests_of(target: Target) -> frozenset[str]:
    """Returns the names of a target's tests."""
    suite = target.suite.tests if target.suite else ()
    return frozenset((*(t.name for t in target.tests), *(t.name for t in suite)))


def owed(debts: Debts, as_of: dt.date) -> Debts:
    """Returns what is in force on a day, in stable order."""
    return replace(
        debts,
        findings=tuple(
            sorted(
                (d for d in debts.findings if d.until >= as_of),
                key=lambda d: (d.id, d.package, d.until),
            )
        ),
        tests=tuple(t for t in debts.tests if t.until >= as_of),
    )


def ends(debts: Debts) -> tuple[dt.date, ...]:
    """Returns the last day of each debt."""
    return (*(d.until for d in debts.findings), *(t.until for t in debts.tests))


def parse_debts(data: bytes, path: str) -> dict[str, Debts]:
    """Returns what a file says; raises InputError with all that is wrong with it."""
    from ssds.recipe.schema import schema
    from ssds.recipe.yamlmarks import load

    collector = Collector()
    document = load(data, path, collector)
    value = schema("debts", "U").check(document, collector) if document.usable else None
    debts = read_debts(value or {}, Report(document, collector))
    collector.raise_if_failed()
    return debts


def debts_text(debts: Mapping[str, Debts]) -> str:
    """Returns the file that says these; every text stands in JSON's quotes, which YAML reads."""
    import json

    def told(value: object) -> str:
        text = json.dumps(value, ensure_ascii=False)
        return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)

    lines = [
        "# Written by `ssds debts --record`, which keeps no comments. Days may be moved by hand."
    ]
    for name, one in sorted(debts.items()):
        lines.append(f"{told(name)}:" + ("" if one.reason or one.findings or one.tests else " {}"))
        if one.reason or one.findings:
            lines.append("  findings:")
            words = ((key, getattr(one, key)) for key in ("released", "reason", "owner"))
            lines += [f"    {key}: {told(value)}" for key, value in words if value]
            lines.append("    owed:" if one.findings else "    owed: []")
            lines += [f"    - {told(debt.to_json())}" for debt in one.findings]
        if one.tests:
            lines.append("  tests:")
            for test in one.tests:
                about = {"test": test.test, "reason": test.reason, "owner": test.owner}
                lines.append(f"  - {told({**about, 'until': test.until.isoformat()})}")
    return "\n".join(lines if debts else [*lines, "{}"]) + "\n"
