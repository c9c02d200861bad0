"""Compiles a target to a gate node. Pure.

The waivers in force on the as-of date are in the key, so an expiry is a new key (C15).
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ssds.core.canonical import Json
from ssds.core.errors import InvalidValue
from ssds.core.model import Input, Node, NodeId
from ssds.recipe.model import Policy, Target, Waiver
from ssds.recipe.steps import RunStep

if TYPE_CHECKING:
    from ssds.recipe.debts import Debt

KIND_VERSION = 2
AGE_UNTIL = "age_until"
"""The hint that says the last day on which what is said of the advisory set's age stands."""


def node(
    target: Target,
    findings: Input,
    policy: Policy,
    as_of: dt.date,
    *,
    inspection: Input | None = None,
    advisories_date: str | None = None,
    recipe_path: str = "",
    owed: Sequence[Debt] = (),
) -> Node:
    """Returns the gate node of one platform.

    Args:
        target: the release on one platform, with its waivers.
        findings: the scan node's ``findings`` output, role ``findings``.
        policy: the rules.
        as_of: the date that decides which waivers are in force.
        inspection: the inspect node's ``inspection`` output, role ``inspection``, where the policy
            has a rule on it.
        advisories_date: of the set that was asked, or None where none is.
        recipe_path: the recipe's file.
        owed: findings of the released revision that hold nothing until their day, in force.
    """
    rules = _rules(policy, not policy.allow_network and _uses_network(target))
    age, age_until = age_rules(policy, advisories_date, as_of)
    if age:
        own = rules["policy"]
        assert isinstance(own, dict)
        rules = {**rules, "policy": {**own, **age}}
    active = in_force(target.waivers, as_of) if target.waivers else ()
    if owed and policy.no_worse_than_released:
        rules = {**rules, "debts": [debt.to_json() for debt in owed]}
    return Node(
        id=NodeId(str(target.release), "gate", str(target.platform)),
        kind_version=KIND_VERSION,
        slice={**rules, "waivers": [waiver_form(w) for w in active]} if active else rules,
        inputs=(findings,) if inspection is None else (findings, inspection),
        origin={
            f"slice.waivers[{i}]": f"scan.waivers[{target.waivers.index(w)}]"
            for i, w in enumerate(active)
        },
        hints={AGE_UNTIL: age_until.isoformat()} if age_until is not None else {},
        recipe_path=recipe_path,
        required=target.required,
    )


def rules_of(policy: Policy) -> Mapping[str, Json]:
    """Returns a policy's rules as judgements take them; nothing is said of the network."""
    rules = _rules(policy, False)["policy"]
    assert isinstance(rules, dict)
    return rules


@functools.lru_cache(64)  # many releases share it: it is written as text once
def _rules(policy: Policy, refused: bool) -> dict[str, Json]:
    """Returns the slice without waivers."""
    rules: dict[str, Json] = {
        "name": policy.name,
        "fail_on": sorted(set(policy.fail_on)),
        "only_fixable": policy.only_fixable,
        "unscanned": policy.unscanned,
    }
    if refused:
        rules["network"] = "refused"
    rules.update(_exploitation(policy))
    return {"policy": rules, "waivers": []}


def _exploitation(policy: Policy) -> dict[str, Json]:
    """Returns the rules that look beyond severity; a policy without them has none in its key."""
    rules: dict[str, Json] = {}
    if policy.kev:
        rules["kev"] = "fail"
    if policy.epss_at_least:  # one text for one number: 0.50 is 0.5
        whole, _, part = policy.epss_at_least.partition(".")
        rules["epss_at_least"] = f"{whole}.{part}".rstrip("0").rstrip(".") if part else whole
    if policy.end_of_life:
        rules["end_of_life"] = policy.end_of_life
    if policy.lint:
        rules["lint"] = sorted(set(policy.lint))
    return rules


def age_rules(
    policy: Policy, advisories_date: str | None, as_of: dt.date
) -> tuple[Mapping[str, Json], dt.date | None]:
    """Returns what a set's age adds to the rules, and the last day on which that is so (or None).

    Nothing where the set is not too old. One whose age nobody can tell holds as an old one does:
    its date cannot be read, or is still to come.
    """
    if not policy.max_age_days or advisories_date is None:
        return {}, None
    rules: dict[str, Json] = {"max_age_days": policy.max_age_days}
    try:
        date = dt.date.fromisoformat(advisories_date)
    except ValueError:
        return {**rules, "age": "unreadable"}, None
    if date > as_of:
        return {**rules, "age": "future"}, date - dt.timedelta(days=1)
    if (as_of - date).days > policy.max_age_days:
        return rules, None
    try:
        return {}, date + dt.timedelta(days=policy.max_age_days)
    except OverflowError:
        return {}, None


def in_force(waivers: Iterable[Waiver], as_of: dt.date) -> tuple[Waiver, ...]:
    """Returns the waivers that hold on ``as_of`` (``until`` is inclusive), in stable order."""
    return tuple(
        sorted(
            (w for w in waivers if _until(w) >= as_of),
            key=lambda w: (w.id, w.package, w.until, w.owner, w.reason),
        )
    )


def next_change(
    waivers: Iterable[Waiver], as_of: dt.date, debts: Iterable[dt.date] = ()
) -> dt.date | None:
    """Returns the next date on which a waiver or debt ends and the key changes, or None (C4)."""
    ends = [until for until in (*map(_until, waivers), *debts) if until >= as_of]
    if not ends or min(ends) == dt.date.max:
        return None
    return min(ends) + dt.timedelta(days=1)


def _until(waiver: Waiver) -> dt.date:
    try:
        return dt.date.fromisoformat(waiver.until)
    except ValueError as error:
        raise InvalidValue(
            f"waiver {waiver.id}: {waiver.until[:40]!r} is not a date",
            hint="Write the last day on which it holds as YYYY-MM-DD.",
        ) from error


def waiver_form(waiver: Waiver) -> dict[str, Json]:
    """Returns a waiver as judgements take it."""
    return {
        "id": waiver.id,
        "package": waiver.package,
        "reason": waiver.reason,
        "owner": waiver.owner,
        "until": waiver.until,
    }


def _uses_network(target: Target) -> bool:
    return any(isinstance(step, RunStep) and step.network for step in target.steps)
