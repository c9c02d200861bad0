"""A report as SARIF 2.1.0: a rule for each vulnerability, a result for each package that has it.

Source: OASIS, Static Analysis Results Interchange Format 2.1.0, sections 3.13 to 3.58.
"""

from __future__ import annotations

from ssds.core.canonical import Json
from ssds.core.text import shown
from ssds.kinds.gate.findings import Finding
from ssds.reports.model import Image, Report, remarks
from ssds.reports.sarif_log import artifact, fingerprints, one_run

_LEVELS = {"critical": "error", "high": "error", "low": "note", "negligible": "note"}
"""Others are warnings; so is what no source gives a severity."""


def sarif(report: Report) -> dict[str, Json]:
    """Returns one run; a result's file is the recipe (``SRCROOT``: the workspace).

    What nobody looked at stands in the invocation's notifications, for no results is not "clean".
    """
    pairs = [(image, found) for image in report.images for found in image.findings]
    order = {name: index for index, name in enumerate(sorted({f.id for _, f in pairs}))}
    notes: list[Json] = [
        {"level": "warning", "message": {"text": shown(f"{release} {platform}: {gap}")}}
        for release, platform, gap in report.gaps
    ]
    return one_run(
        "ssds scan",
        rules=[{"id": shown(name)} for name in order],
        results=[_result(image, found, order[found.id]) for image, found in pairs],
        invocations=[{"executionSuccessful": True, "toolExecutionNotifications": notes}],
    )


def _result(image: Image, found: Finding, rule: int) -> Json:
    more = remarks(found)
    text = f"{image.release} {image.platform}: {found.sentence}{f'; {more}' if more else ''}."
    parts = (image.release, image.platform, found.id, found.ecosystem, found.package, found.version)
    return {
        "ruleId": shown(found.id),
        "ruleIndex": rule,
        "level": _LEVELS.get(found.severity, "warning"),
        "message": {"text": shown(text)},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": artifact(image.file)},
                "logicalLocations": [
                    {"name": shown(found.package), "fullyQualifiedName": shown(" ".join(parts[:2]))}
                ],
            }
        ],
        "partialFingerprints": fingerprints(parts),
    }
