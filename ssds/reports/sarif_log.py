"""What every SARIF 2.1.0 log has: one run of one tool, files of the workspace, fingerprints.

Source: OASIS, Static Analysis Results Interchange Format 2.1.0, sections 3.13 to 3.58.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from urllib.parse import quote

from ssds.core.canonical import Json
from ssds.version import VERSION

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def one_run(
    tool: str, rules: Sequence[Json], results: Sequence[Json], **more: Json
) -> dict[str, Json]:
    """Returns a log of one run; ``more`` are further members of the run."""
    driver: Json = {"name": tool, "semanticVersion": VERSION, "rules": list(rules)}
    run: Json = {"tool": {"driver": driver}, **more, "results": list(results)}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def artifact(path: str) -> Json:
    """Returns the place of a file that is relative to the workspace (``SRCROOT``)."""
    uri = quote(path.encode("utf-8", "surrogateescape"), safe="/")
    return {"uri": uri, "uriBaseId": "SRCROOT"}


def fingerprints(parts: Sequence[str]) -> Json:
    """Returns what tells a result from others, in this log and in later ones."""
    text = "\0".join(parts).encode("utf-8", "surrogatepass")
    return {"finding/v1": hashlib.sha256(text).hexdigest()}
