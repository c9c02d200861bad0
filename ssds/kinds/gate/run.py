"""Runs a gate node: findings in, verdict and report out.

"Not scanned" is no pass: without an advisory set, or with a distribution or language that the set
does not cover, the verdict is a failure unless the policy says ``unscanned: pass``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ssds.core.canonical import Json, canonical_bytes
from ssds.core.model import FAIL, PASS
from ssds.core.text import shown
from ssds.kinds.api import Bench, Outcome
from ssds.kinds.gate.findings import LIMIT_BYTES, read_inspection, read_scan
from ssds.kinds.gate.judge import judge

SHOWN = 20
"""How many reasons are said; the report has all."""


def run(bench: Bench) -> Outcome:
    """Returns the outputs ``verdict`` (PASS or FAIL) and ``report`` (canonical JSON)."""
    blobs = bench.store.blobs
    scan = read_scan(blobs.read(bench.action.inputs["findings"], limit_bytes=LIMIT_BYTES))
    rules = bench.action.node.slice
    waivers, debts = ([_map(w) for w in _list(rules.get(n, ()))] for n in ("waivers", "debts"))
    seen = bench.action.inputs.get("inspection")
    remarks = read_inspection(blobs.read(seen, limit_bytes=LIMIT_BYTES)) if seen is not None else ()
    found = judge(scan, _map(rules["policy"]), waivers, debts, remarks)
    why = [*found.refused, *(held.sentence(beyond=True) for held in found.held)]
    for line in why:
        bench.log(f"{shown(line)}\n".encode())
    if found.owed:
        bench.log(f"{found.owed_text}\n".encode())
        bench.say(found.owed_text)
    bench.log(f"verdict: {found.report['verdict']}\n".encode())
    for line in why[:SHOWN]:
        bench.say(line)
    if len(why) > SHOWN:
        bench.say(f"and {len(why) - SHOWN} more; the report has all")
    return Outcome(
        outputs={
            "verdict": blobs.put(PASS if found.passed else FAIL),
            "report": blobs.put(canonical_bytes(found.report)),
        },
        verdict="pass" if found.passed else "fail",
    )


def _map(value: Json) -> Mapping[str, Json]:
    assert isinstance(value, Mapping)
    return value


def _list(value: Json) -> Sequence[Json]:
    assert isinstance(value, list | tuple)
    return value
