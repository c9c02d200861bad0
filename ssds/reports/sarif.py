"""A report as SARIF 2.1.0: a rule for each vulnerability, a result for each package that has it.

Source: OASIS, Static Analysis Results Interchange Format 2.1.0, sections 3.13 to 3.58.
"""

from __future__ import annotations

import hashlib
from urllib.parse import quote

from ssds.core.canonical import Json
from ssds.core.text import shown
from ssds.kinds.gate.findings import Finding
from ssds.reports.model import Image, Report, remarks
from ssds.version import VERSION

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
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
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "ssds scan",
                        "semanticVersion": VERSION,
                        "rules": [{"id": shown(name)} for name in order],
                    }
                },
                "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": notes}],
                "results": [_result(image, found, order[found.id]) for image, found in pairs],
            }
        ],
    }


def _result(image: Image, found: Finding, rule: int) -> Json:
    text = f"{found.id} ({found.severity}) in {found.package} {found.version}, {found.remedy}"
    more = remarks(found)
    text = f"{image.release} {image.platform}: {text}{f'; {more}' if more else ''}."
    parts = (image.release, image.platform, found.id, found.ecosystem, found.package, found.version)
    return {
        "ruleId": shown(found.id),
        "ruleIndex": rule,
        "level": _LEVELS.get(found.severity, "warning"),
        "message": {"text": shown(text)},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {
                        "uri": quote(image.file.encode("utf-8", "surrogateescape"), safe="/"),
                        "uriBaseId": "SRCROOT",
                    }
                },
                "logicalLocations": [
                    {"name": shown(found.package), "fullyQualifiedName": shown(" ".join(parts[:2]))}
                ],
            }
        ],
        "partialFingerprints": {
            "finding/v1": hashlib.sha256(
                "\0".join(parts).encode("utf-8", "surrogatepass")
            ).hexdigest()
        },
    }
