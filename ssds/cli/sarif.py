"""Diagnostics as SARIF 2.1.0, the form that code hosts show beside the lines of a pull request.

Source: OASIS, Static Analysis Results Interchange Format 2.1.0, sections 3.13 to 3.58.
"""

from __future__ import annotations

from collections.abc import Iterable

from ssds.core.canonical import Json
from ssds.core.diagnostics import Diagnostic, Edit, Severity
from ssds.core.text import shown
from ssds.reports.sarif_log import artifact, fingerprints, one_run

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}


def sarif(diagnostics: Iterable[Diagnostic]) -> Json:
    """Returns one run; its files are relative to the workspace (``SRCROOT``)."""
    found = list(diagnostics)
    rules: dict[str, Diagnostic] = {}
    for diagnostic in found:
        rules.setdefault(diagnostic.code, diagnostic)
    order = {code: index for index, code in enumerate(sorted(rules))}
    return one_run(
        "ssds",
        rules=[_rule(rules[code]) for code in order],
        results=[_result(d, order[d.code]) for d in found],
        columnKind="unicodeCodePoints",
    )


def _rule(diagnostic: Diagnostic) -> Json:
    return {
        "id": diagnostic.code,
        "shortDescription": {"text": diagnostic.summary},
        "defaultConfiguration": {"level": _LEVELS[diagnostic.severity]},
    }


def _result(diagnostic: Diagnostic, rule: int) -> Json:
    facts = "; ".join(f"{label}: {text}" for label, text in diagnostic.facts)
    text = diagnostic.summary + (f" ({facts})" if facts else "") + "."
    if diagnostic.hint:
        text += f" {diagnostic.hint}"
    result: dict[str, Json] = {
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": _LEVELS[diagnostic.severity],
        "message": {"text": shown(text)},
        "locations": [{"physicalLocation": _location(diagnostic)}],
        "partialFingerprints": _fingerprints(diagnostic),
    }
    if diagnostic.fix:
        result["fixes"] = [_fix(diagnostic)]
    return result


def _fingerprints(diagnostic: Diagnostic) -> Json:
    """Returns what stays when lines above are added or removed."""
    parts = (diagnostic.code, diagnostic.span.path, diagnostic.address, repr(diagnostic.facts))
    return fingerprints(parts)


def _location(diagnostic: Diagnostic) -> Json:
    span = diagnostic.span
    location: dict[str, Json] = {"artifactLocation": artifact(span.path)}
    if span.line:
        region: dict[str, Json] = {"startLine": span.line}
        if span.column:
            region["startColumn"] = span.column
        location["region"] = region
    return location


def _fix(diagnostic: Diagnostic) -> Json:
    return {
        "description": {"text": f"Mend {diagnostic.code}: {diagnostic.summary}."},
        "artifactChanges": [
            {
                "artifactLocation": artifact(diagnostic.span.path),
                "replacements": [_replacement(edit) for edit in diagnostic.fix],
            }
        ],
    }


def _replacement(edit: Edit) -> Json:
    line, column = edit.span.line, edit.span.column
    return {
        "deletedRegion": {
            "startLine": line,
            "startColumn": column,
            "endLine": line,
            "endColumn": column + len(edit.old),
        },
        "insertedContent": {"text": edit.new},
    }
