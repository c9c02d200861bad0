"""The newest results of each site's tests, in ``.ssds/site-tests/<site>.json``."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ssds.core.canonical import Json, pretty_bytes

if TYPE_CHECKING:
    from ssds.kinds.test.results import Result
    from ssds.workspace import Workspace

FOLDER = "site-tests"
RESULTS_VERSION = 1
_LIMIT_BYTES = 64 << 20


def keep(
    workspace: Workspace, about: Mapping[str, Json], results: list[tuple[str, list[Result]]]
) -> dict[str, Json]:
    """Writes a site's results; those of other modules of the same content stay. Returns them."""
    from ssds.host.files import atomic_write

    path = os.path.join(workspace.state_folder, FOLDER, f"{about['site']}.json")
    old = _read(path)
    before = old["modules_tested"] if old.get("content") == about["content"] else {}
    found: dict[str, Json] = {
        label: [
            {
                "name": r.name,
                "result": r.result,
                "problems": list(r.problems),
                "duration_ms": r.duration_ms,
            }
            for r in several
        ]
        for label, several in results
    }
    document: dict[str, Json] = {
        "results_version": RESULTS_VERSION,
        **about,
        "modules_tested": {**before, **found},
    }
    os.makedirs(os.path.dirname(path), exist_ok=True)
    atomic_write(path, pretty_bytes(document), point="test.site")
    return document


def summaries(workspace: Workspace) -> list[dict[str, Any]]:
    """Returns a line for each site that was tested: site, generation, when, and counts."""
    folder = os.path.join(workspace.state_folder, FOLDER)
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    found = []
    for name in names:
        document = _read(os.path.join(folder, name))
        if not document:
            continue
        tested = document["modules_tested"]
        count = Counter(r["result"] for several in tested.values() for r in several)
        failing = sorted(m for m, s in tested.items() if any(r["result"] == "fail" for r in s))
        found.append(
            {
                **{key: document[key] for key in ("site", "tree", "generation", "at")},
                "modules": len(tested),
                **{word: count[word] for word in ("pass", "fail", "skip", "known")},
                "failing": failing,
            }
        )
    return found


def _read(path: str) -> dict[str, Any]:
    """Returns a site's results; nothing where there are none that can be read."""
    from ssds.host.local import head

    try:
        document: dict[str, Any] = json.loads(head(path, _LIMIT_BYTES))
        if document["results_version"] != RESULTS_VERSION:
            return {}
        rows = [row for several in document["modules_tested"].values() for row in several]
        keys = ("site", "tree", "generation", "at", "content")
        good = all(isinstance(row["result"], str) for row in rows)
        return document if good and all(key in document for key in keys) else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
