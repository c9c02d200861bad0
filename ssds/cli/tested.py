"""How many tests passed, failed and were skipped, over the catalog: ``status --tests``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ssds.cli.output import print_json, show, table
from ssds.core.model import Claim
from ssds.graph.plan import Plan
from ssds.workspace import Workspace

RESULTS = ("pass", "fail", "skip", "known")
_KINDS = ("test", "deploytest")


def print_tests(workspace: Workspace, plan: Plan, *, as_json: bool) -> None:
    """Prints a row for each release, platform and sort of test, and the sum."""
    rows = [
        _row(workspace, step.node.id.owner, step.node.id.platform, step.node.kind, step.claim)
        for _, step in sorted(plan.steps.items())
        if step.node.kind in _KINDS
    ]
    total = {word: sum(row[word] or 0 for row in rows) for word in RESULTS}
    if as_json:
        print_json({"tests": rows, "total": total})
        return
    head = ["release", "platform", "tests", "verdict", *RESULTS]
    lines = [[_text(row[key]) for key in head] for row in rows]
    show(table([head, *lines, ["total", "", "", "", *(str(total[w]) for w in RESULTS)]]))


def _text(value: object) -> str:
    return "-" if value is None or value == "" else str(value)


def _row(
    workspace: Workspace, release: str, platform: str, kind: str, claim: Claim | None
) -> dict[str, Any]:
    """Returns a row; counts are None where there is no result, or its report is not here."""
    suite, results = _report(workspace, claim)
    counts = {w: results.count(w) if results is not None else None for w in RESULTS}
    name = "deploy" if kind == "deploytest" else suite or "recipe"
    verdict = claim.verdict if claim else ""
    return {"release": release, "platform": platform, "tests": name, "verdict": verdict, **counts}


def _report(workspace: Workspace, claim: Claim | None) -> tuple[str, list[str] | None]:
    digest = claim.outputs.get("report") if claim else None
    data = workspace.read_blob(digest) if digest else None
    try:
        report: Any = json.loads(data) if data else None
    except (ValueError, RecursionError):
        report = None
    tests = report.get("tests") if isinstance(report, Mapping) else None
    if not isinstance(tests, Iterable):
        return "", None
    found = [t["result"] for t in tests if isinstance(t, Mapping) and t.get("result") in RESULTS]
    return str(report.get("suite", "")), found
