"""What a recipe owes from now on: the findings that its policy would hold. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator

from ssds.core.records import dataclass
from ssds.kinds.gate.findings import Finding, Scan
from ssds.kinds.gate.judge import covers, rules_met, worse_than
from ssds.kinds.gate.spec import in_force, rules_of, waiver_form
from ssds.recipe.debts import NAME_LIMIT, Debt
from ssds.recipe.model import Policy, Waiver

_UNFIT = (
    f"it cannot be owed: its id or package is no printable text of 1 to {NAME_LIMIT} characters"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """A scan with the remarks on the image's files, and what judges them."""

    scan: Scan
    policy: Policy
    waivers: tuple[Waiver, ...] = ()
    inspection: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Owing:
    """What is owed from now on.

    Attributes:
        debts: all of it, in stable order.
        added: how many are new; paid: how many old ones no finding needs any more.
        refused: findings that are new or worse, or whose debt has ended, in words, where nobody
            said to take them on; and those that cannot be written down.
        unpaid: why nothing counts as paid, in words; empty where all was looked at.
    """

    debts: tuple[Debt, ...]
    added: int
    paid: int
    refused: tuple[str, ...]
    unpaid: tuple[str, ...] = ()


def owing(
    scans: Iterable[Scanned],
    old: Iterable[Debt],
    *,
    as_of: dt.date,
    until: dt.date | None,
    unseen: Iterable[str] = (),
) -> Owing:
    """Returns what is owed; an old debt keeps its day, so that what is owed only shrinks.

    A debt that has ended covers nothing. What nobody looked at pays nothing.

    Args:
        until: the last day of what is new or worse; None to refuse that.
        unseen: what was not looked at besides the scans' own gaps, in words.
    """
    before = {(debt.id, debt.package): debt for debt in old}
    forms = {key: debt.to_json() for key, debt in before.items()}
    by_id: dict[str, list[tuple[str, str]]] = {}
    for key in before:
        by_id.setdefault(key[0], []).append(key)
    kept: dict[tuple[str, str], Debt] = {}
    new: dict[tuple[str, str], list[Finding]] = {}
    unpaid = list(unseen)
    for one in scans:
        unpaid += one.scan.gaps
        for finding in _held(one, as_of):
            known = [k for n in sorted(finding.names) for k in by_id.get(n, ())]
            known = [k for k in known if covers(forms[k], finding)]
            kept.update((k, before[k]) for k in known)
            if not any(
                before[k].until >= as_of and not worse_than(forms[k], finding) for k in known
            ):
                name = (finding.id, finding.source or finding.package)
                new.setdefault(known[0] if known else name, []).append(finding)
    unfit = {key for key in new if not all(map(_fits, key))}
    added = {} if until is None else {k: _debt(k, f, until) for k, f in new.items()}
    refused = [
        found[0].sentence + (f": {_UNFIT}" if key in unfit else "")
        for key, found in sorted(new.items())
        if key in unfit or key not in added
    ]
    debts = {
        **(before if unpaid else kept),
        **{key: debt for key, debt in added.items() if key not in unfit},
    }
    return Owing(
        debts=tuple(debt for _, debt in sorted(debts.items())),
        added=len(added.keys() - unfit),
        paid=len(before.keys() - debts.keys()),
        refused=tuple(refused),
        unpaid=tuple(dict.fromkeys(unpaid)),
    )


def _held(one: Scanned, as_of: dt.date) -> Iterator[Finding]:
    """Gives what a policy holds and no waiver covers."""
    waivers = [waiver_form(w) for w in in_force(one.waivers, as_of)]
    rules = rules_of(one.policy)
    for finding in (*one.scan.findings, *one.inspection):
        if rules_met(finding, rules) and not any(covers(w, finding) for w in waivers):
            yield finding


def _fits(name: str) -> bool:
    """Whether an id or a package can stand in the file."""
    return 0 < len(name) <= NAME_LIMIT and name.isprintable()


def _debt(key: tuple[str, str], found: list[Finding], until: dt.date) -> Debt:
    return Debt(
        id=key[0],
        package=key[1],
        until=until,
        fixable=any(f.fixed or f.partly for f in found),
        exploited=any(f.kev for f in found),
    )
