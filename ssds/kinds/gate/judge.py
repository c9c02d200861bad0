"""Judges findings by a policy and the waivers in force. Pure.

A policy that looks beyond severity (``kev``, ``epss_at_least``, ``end_of_life``) gets a report
that says more of each finding. That of any other is as it was before there were such rules, as
its key is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from ssds.advisories.versions import same_name
from ssds.core.canonical import Json
from ssds.kinds.gate.findings import Finding, Scan

BEYOND_SEVERITY = frozenset({"kev", "epss_at_least", "end_of_life"})
"""The rules that look at more than severity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A finding that a rule names: ``why`` in words, and the waiver or debt that covers it."""

    finding: Finding
    why: tuple[str, ...]
    waiver: Mapping[str, Json] | None = None
    debt: Mapping[str, Json] | None = None

    def sentence(self, *, beyond: bool) -> str:
        """Returns it for people; ``beyond``: with what holds it."""
        text = self.finding.sentence
        return f"{text}: {'; '.join(self.why)}" if beyond else text

    def to_json(self, *, beyond: bool) -> dict[str, Json]:
        """Returns what the report says of it."""
        found = self.finding
        said = found.to_json()
        if beyond:
            more = {"severity_source": found.severity_source, "kev": found.kev, "epss": found.epss}
            said.update({name: text for name, text in more.items() if text})
            said["why"] = list(self.why)
        if self.waiver is not None:
            said["waiver"] = dict(self.waiver)
        if self.debt is not None:
            said["until"] = self.debt["until"]
        return said


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What holds a release.

    Attributes:
        refused: reasons that are no finding, in words.
        held: findings that hold the release.
        report: ``{verdict, why, policy, counts, held, waived, unused_waivers, noted?, owed?,
            paid?}``; ``why`` are sentences for people, empty for a pass; ``noted`` are ends of
            life that the policy only wants noted; ``owed`` are findings that hold nothing until
            their day, ``paid`` debts that no finding needs any more; both where there are debts.
        owed: findings that the debts cover.
    """

    refused: tuple[str, ...]
    held: tuple[Held, ...]
    report: Mapping[str, Json]
    owed: tuple[Held, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing holds it."""
        return not self.refused and not self.held

    @property
    def owed_text(self) -> str:
        """How much is owed and until when, in words; empty for nothing."""
        ends = sorted(str(h.debt["until"]) for h in self.owed if h.debt is not None)
        if not ends:
            return ""
        last = f", the last {ends[-1]}" if ends[-1] != ends[0] else ""
        word = "debt" if len(ends) == 1 else "debts"
        return f"{len(ends)} {word} of the released revision; the first ends {ends[0]}{last}"


def judge(
    scan: Scan,
    policy: Mapping[str, Json],
    waivers: Sequence[Mapping[str, Json]],
    debts: Sequence[Mapping[str, Json]] = (),
    inspection: Sequence[Finding] = (),
) -> Judgement:
    """Returns the judgement; ``policy``, ``waivers`` and ``debts`` are those of the node's slice.

    A debt covers its finding while that is no worse than it was: no fix that there was not, and
    no exploitation that nobody knew of. ``inspection`` are remarks on the image's files; they are
    not among the ``counts``.
    """
    beyond = not BEYOND_SEVERITY.isdisjoint(policy)
    refused = list(scan.gaps) if policy["unscanned"] == "fail" else []
    if "max_age_days" in policy:  # it is there only where the set is older
        refused.append(_age(scan, policy))
    if policy.get("network") == "refused":
        refused.append("a build step uses the network and the policy does not allow that")
    held: list[Held] = []
    waived: list[Held] = []
    noted: list[Json] = []
    owed: list[Held] = []
    used: set[int] = set()
    due: set[int] = set()
    counts: dict[str, int] = {}
    for finding in (*scan.findings, *inspection):
        if not finding.what:
            counts[finding.severity] = counts.get(finding.severity, 0) + 1
        by = [i for i, waiver in enumerate(waivers) if covers(waiver, finding)]
        used.update(by)
        why = rules_met(finding, policy)
        if why and by:
            waived.append(Held(finding=finding, why=why, waiver=waivers[by[0]]))
        elif why:
            one = _owed(finding, why, debts, due)
            (held if one.debt is None else owed).append(one)
        elif finding.ended and policy.get("end_of_life") == "note":
            noted.append(finding.to_json())
    why_held = [h.sentence(beyond=beyond) for h in held]
    report: dict[str, Json] = {
        "verdict": "fail" if refused or held else "pass",
        "why": [*refused, *why_held],
        "policy": dict(policy),
        "counts": counts,
        "held": [h.to_json(beyond=beyond) for h in held],
        "waived": [h.to_json(beyond=beyond) for h in waived],
        "unused_waivers": [dict(w) for i, w in enumerate(waivers) if i not in used],
    }
    if noted:
        report["noted"] = noted
    if debts:
        report["owed"] = [h.to_json(beyond=beyond) for h in owed]
        report["paid"] = [dict(d) for i, d in enumerate(debts) if i not in due]
    return Judgement(refused=tuple(refused), held=tuple(held), report=report, owed=tuple(owed))


def _age(scan: Scan, policy: Mapping[str, Json]) -> str:
    days = f"the policy allows {policy['max_age_days']} days"
    if policy.get("age") == "future":
        return f"the advisory set {scan.advisories} is of a day that is still to come; {days}"
    if policy.get("age") == "unreadable":
        return f"the advisory set {scan.advisories} does not say its day (YYYY-MM-DD); {days}"
    return f"the advisory set {scan.advisories} is older than {policy['max_age_days']} days"


def _owed(
    finding: Finding, why: tuple[str, ...], debts: Sequence[Mapping[str, Json]], due: set[int]
) -> Held:
    """Returns the finding with the debt that covers it, or why that one does not any more."""
    worse: tuple[str, ...] = ()
    for index, debt in enumerate(debts):
        if not covers(debt, finding):
            continue
        due.add(index)
        worse = worse_than(debt, finding)
        if not worse:
            return Held(finding=finding, why=why, debt=debt)
    return Held(finding=finding, why=(*why, *worse))


def worse_than(debt: Mapping[str, Json], finding: Finding) -> tuple[str, ...]:
    """Returns in which way a finding is worse than what is owed, in words; empty for none."""
    worse = []
    if (finding.fixed or finding.partly) and not debt.get("fixable"):
        worse.append("it was owed without a fix, and there is one now")
    if finding.kev and not debt.get("exploited"):
        worse.append("it was not known to be exploited when it was owed")
    return tuple(worse)


def rules_met(finding: Finding, policy: Mapping[str, Json]) -> tuple[str, ...]:
    """Returns why a policy holds a finding, each rule in words; empty where none does.

    ``only_fixable`` narrows ``fail_on`` only: what is exploited, or probably will be, is no less
    so because nobody mended it yet.
    """
    if finding.what:
        lint = policy.get("lint", ())
        assert isinstance(lint, list | tuple)
        return (f"severity {finding.severity}",) if finding.severity in lint else ()
    if finding.ended and "end_of_life" in policy:
        return (
            (f"without support since {finding.ended}",) if policy["end_of_life"] == "fail" else ()
        )
    why: list[str] = []
    fail_on = policy["fail_on"]
    assert isinstance(fail_on, list | tuple)
    fixable = finding.fixed or finding.partly or not policy["only_fixable"]
    if finding.severity in fail_on and fixable:
        source = f" by {finding.severity_source}" if finding.severity_source else ""
        why.append(f"severity {finding.severity}{source}")
    if "kev" in policy and finding.kev:
        why.append(f"known to be exploited since {finding.kev}")
    if "epss_at_least" in policy and finding.epss:
        least = str(policy["epss_at_least"])
        probability = _probability(finding.epss)
        if probability is None:
            why.append(f"its EPSS cannot be read: {finding.epss[:40]!r}")
        elif probability >= Decimal(least):
            why.append(f"EPSS {finding.epss}, at least {least}")
    return tuple(why)


def _probability(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if value.is_finite() and 0 <= value <= 1 else None


def covers(waiver: Mapping[str, Json], finding: Finding) -> bool:
    """Whether a waiver names the finding (id or alias) and its package or source package."""
    if waiver["id"] not in finding.names:
        return False
    wanted, *own = (
        same_name(finding.ecosystem, name)
        for name in (str(waiver["package"]), finding.package, finding.source)
    )
    return wanted in own
