"""What a recipe owes from now on: the findings that its policy would hold. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from ssds.core.records import dataclass
from ssds.kinds.gate.findings import Finding, Scan
from ssds.kinds.gate.judge import covers, rules_met, worse_than
from ssds.kinds.gate.spec import in_force, rules_of
from ssds.recipe.debts import Debt
from ssds.recipe.model import Policy, Waiver


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """A scan, and what judges it."""

    scan: Scan
    policy: Policy
    waivers: tuple[Waiver, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Owing:
    """What is owed from now on.

    Attributes:
        debts: all of it, in stable order.
        added: how many are new; paid: how many old ones no finding needs any more.
        refused: findings that are new or worse, in words, where nobody said to take them on.
    """

    debts: tuple[Debt, ...]
    added: int
    paid: int
    refused: tuple[str, ...]


def owing(
    scans: Iterable[Scanned],
    old: Iterable[Debt],
    *,
    as_of: dt.date,
    until: dt.date | None,
) -> Owing:
    """Returns what is owed; an old debt keeps its day, so that what is owed only shrinks.

    Args:
        until: the last day of what is new or worse; None to refuse that.
    """
    before = {(debt.id, debt.package): debt for debt in old}
    kept: dict[tuple[str, str], Debt] = {}
    new: dict[tuple[str, str], list[Finding]] = {}
    for one in scans:
        waivers = [{"id": w.id, "package": w.package} for w in in_force(one.waivers, as_of)]
        for finding in one.scan.findings:
            waived = any(covers(waiver, finding) for waiver in waivers)
            if waived or not rules_met(finding, rules_of(one.policy)):
                continue
            known = next((k for k, d in before.items() if covers(d.to_json(), finding)), None)
            if known is not None:
                kept[known] = before[known]
            if known is None or worse_than(before[known].to_json(), finding):
                name = (finding.id, finding.source or finding.package)
                new.setdefault(known or name, []).append(finding)
    added = {key: _debt(key, found, until) for key, found in new.items() if until is not None}
    refused = () if until else tuple(found[0].sentence for _, found in sorted(new.items()))
    debts = {**kept, **added}
    return Owing(
        debts=tuple(debt for _, debt in sorted(debts.items())),
        added=len(added),
        paid=len(before.keys() - debts.keys()),
        refused=refused,
    )


def _debt(key: tuple[str, str], found: list[Finding], until: dt.date) -> Debt:
    return Debt(
        id=key[0],
        package=key[1],
        until=until,
        fixable=any(f.fixed or f.partly for f in found),
        exploited=any(f.kev for f in found),
    )
