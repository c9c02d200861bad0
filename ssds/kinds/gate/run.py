"""Runs a gate node: findings in, verdict and report out.

"Not scanned" is no pass: without an advisory set, or with a distribution or language that the set
does not cover, the verdict is a failure unless the policy says ``unscanned: pass``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ssds.core.canonical import Json, canonical_bytes
from ssds.core.model import FAIL, PASS
from ssds.kinds.api import Bench, Outcome
from ssds.oci.document import Place, load_document

LIMIT_BYTES = 256 * 1024 * 1024
LIMIT_FINDINGS = 1_000_000
SHOWN = 20
"""How many reasons are said; the report has all."""
_SEPARATORS = re.compile(r"[-_.]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding, as the scan wrote it; ``names`` are its id and aliases."""

    id: str
    names: frozenset[str]
    ecosystem: str
    package: str
    source: str
    version: str
    fixed: str
    severity: str

    def to_json(self) -> dict[str, Json]:
        """Returns what the report says of it."""
        return {
            "id": self.id,
            "ecosystem": self.ecosystem,
            "package": self.package,
            "source": self.source,
            "version": self.version,
            "fixed": self.fixed,
            "severity": self.severity,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The findings document: whether there was a scan, what it did not cover, what it found."""

    scanned: bool
    uncovered: Mapping[str, int]
    without_source: Mapping[str, int]
    findings: tuple[Finding, ...]


def run(bench: Bench) -> Outcome:
    """Returns the outputs ``verdict`` (PASS or FAIL) and ``report`` (canonical JSON)."""
    blobs = bench.store.blobs
    scan = read_scan(blobs.read(bench.action.inputs["findings"], limit_bytes=LIMIT_BYTES))
    rules = bench.action.node.slice
    report = judge(scan, _map(rules["policy"]), [_map(w) for w in _list(rules["waivers"])])
    passed = report["verdict"] == "pass"
    why = _list(report["why"])
    for line in why:
        bench.log(f"{line}\n".encode())
    bench.log(f"verdict: {report['verdict']}\n".encode())
    for line in why[:SHOWN]:
        bench.say(str(line))
    if len(why) > SHOWN:
        bench.say(f"and {len(why) - SHOWN} more; the report has all")
    return Outcome(
        outputs={
            "verdict": blobs.put(PASS if passed else FAIL),
            "report": blobs.put(canonical_bytes(report)),
        },
        verdict="pass" if passed else "fail",
    )


def read_scan(data: bytes) -> Scan:
    """Returns the findings document; raises IntegrityError when it is not one."""
    top = load_document(data, "findings", limit_bytes=LIMIT_BYTES)
    scanned = top.child("scanned").value
    if not isinstance(scanned, bool):
        top.child("scanned").fail("expected true or false")
    return Scan(
        scanned=scanned,
        uncovered=_counts(top, "uncovered"),
        without_source=_counts(top, "without_source"),
        findings=tuple(_finding(f) for f in top.items("findings", limit=LIMIT_FINDINGS)),
    )


def _counts(top: Place, key: str) -> dict[str, int]:
    place = top.child(key)
    return {name: place.integer(name, low=0, high=1 << 40) for name in place.map()}


def _finding(item: Place) -> Finding:
    name = item.text("id")
    return Finding(
        id=name,
        names=frozenset((name, *item.texts("aliases"))),
        ecosystem=item.text("ecosystem"),
        package=item.text("package"),
        source=item.text("source"),
        version=item.text("version"),
        fixed=item.text("fixed", ""),
        severity=item.text("severity"),
    )


def judge(
    scan: Scan, policy: Mapping[str, Json], waivers: Sequence[Mapping[str, Json]]
) -> dict[str, Json]:
    """Returns the report: ``{verdict, why, policy, counts, held, waived, unused_waivers}``.

    ``why`` are sentences for people; empty for a pass.
    """
    fail_on = {str(s) for s in _list(policy["fail_on"])}
    held: list[Json] = []
    waived: list[Json] = []
    used: set[int] = set()
    counts: dict[str, int] = {}
    why = _unscanned(scan) if policy["unscanned"] == "fail" else []
    if policy.get("network") == "refused":
        why.append("a build step uses the network and the policy does not allow that")
    for finding in scan.findings:
        counts[finding.severity] = counts.get(finding.severity, 0) + 1
        by = [i for i, waiver in enumerate(waivers) if covers(waiver, finding)]
        used.update(by)
        if finding.severity not in fail_on or (policy["only_fixable"] and not finding.fixed):
            continue
        if by:
            waived.append({**finding.to_json(), "waiver": dict(waivers[by[0]])})
        else:
            held.append(finding.to_json())
            why.append(_sentence(finding))
    return {
        "verdict": "fail" if why else "pass",
        "why": why,
        "policy": dict(policy),
        "counts": counts,
        "held": held,
        "waived": waived,
        "unused_waivers": [dict(w) for i, w in enumerate(waivers) if i not in used],
    }


def _unscanned(scan: Scan) -> list[str]:
    if not scan.scanned:
        return ["the image was not scanned: no advisory set is pinned"]
    return [
        f"{count or 'all'} package{'' if count == 1 else 's'} of {name} not scanned: "
        + ("no advisories for it" if count else "its database cannot be read")
        for name, count in sorted(scan.uncovered.items())
    ]


def _sentence(finding: Finding) -> str:
    fix = f"fixed in {finding.fixed}" if finding.fixed else "no fix is known"
    return f"{finding.id} ({finding.severity}) in {finding.package} {finding.version}, {fix}"


def covers(waiver: Mapping[str, Json], finding: Finding) -> bool:
    """Whether a waiver names the finding (id or alias) and its package or source package."""
    if waiver["id"] not in finding.names:
        return False
    wanted = str(waiver["package"])
    if finding.ecosystem == "PyPI":
        return _normal(wanted) in (_normal(finding.package), _normal(finding.source))
    return wanted in (finding.package, finding.source)


def _normal(name: str) -> str:
    return _SEPARATORS.sub("-", name).lower()


def _map(value: Json) -> Mapping[str, Json]:
    assert isinstance(value, Mapping)
    return value


def _list(value: Json) -> Sequence[Json]:
    assert isinstance(value, list | tuple)
    return value
