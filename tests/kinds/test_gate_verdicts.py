"""Findings, a policy and dated waivers give a verdict."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sbom_images import Workshop, target

from ssds.core.digest import sha256_of
from ssds.core.errors import IntegrityError, InvalidValue
from ssds.core.model import FAIL, PASS, Input
from ssds.kinds.gate import spec
from ssds.kinds.gate.findings import read_scan
from ssds.kinds.gate.run import run
from ssds.recipe.debts import Debt, Debts, owed
from ssds.recipe.model import Policy, Waiver
from ssds.recipe.steps import RunStep

DAY = dt.date(2026, 11, 22)
POLICY = Policy(name="default", fail_on=("critical",))


def waiver(name="CVE-1", package="joblib", until="2034-12-31"):
    return Waiver(id=name, package=package, reason="not reachable", owner="me", until=until)


def finding(name="CVE-1", **more):
    return {
        "id": name,
        "aliases": ["GHSA-1"],
        "ecosystem": "PyPI",
        "package": "joblib",
        "source": "joblib",
        "version": "1.1.0",
        "fixed": "1.2.0",
        "severity": "critical",
        **more,
    }


RATCHET = Policy(name="default", fail_on=("critical",), no_worse_than_released=True)


def debt(name="CVE-1", package="joblib", until="2027-06-30", **more):
    return Debt(id=name, package=package, until=dt.date.fromisoformat(until), **more)


def gate(tmp_path, *findings, policy=POLICY, waivers=(), as_of=DAY, steps=(), debts=(), **document):
    workshop = Workshop(str(tmp_path))
    value = {
        "scanned": True, "uncovered": {}, "without_source": {}, "findings": list(findings),
        **document,
    }  # fmt: skip
    digest = workshop.store.blobs.put(json.dumps(value).encode())
    in_force = owed(Debts(findings=tuple(debts)), as_of).findings
    item = Input(role="findings", digest=digest)
    found = target(waivers=waivers, steps=steps)
    node = spec.node(found, item, policy, as_of, owed=in_force)
    outcome = run(workshop.bench(node, {"findings": digest}))
    verdict = workshop.store.blobs.read(outcome.outputs["verdict"])
    assert verdict == (PASS if outcome.verdict == "pass" else FAIL)
    return outcome.verdict, workshop.json(outcome.outputs["report"])


def test_a_critical_finding_holds_the_release(tmp_path):
    verdict, report = gate(tmp_path, finding())
    assert verdict == "fail"
    assert report["why"] == ["CVE-1 (critical) in joblib 1.1.0, fixed in 1.2.0"]


@pytest.mark.parametrize("severity", ["high", "medium", "low", "negligible", "unknown"])
def test_a_severity_that_the_policy_does_not_name_passes(tmp_path, severity):
    verdict, report = gate(tmp_path, finding(severity=severity))
    assert verdict == "pass"
    assert report["counts"] == {severity: 1}


def test_unknown_severity_holds_when_the_policy_says_so(tmp_path):
    policy = Policy(name="strict", fail_on=("critical", "unknown"))
    assert gate(tmp_path, finding(severity="unknown"), policy=policy)[0] == "fail"


def test_hundreds_of_findings_are_said_in_short_and_reported_whole(tmp_path):
    verdict, report = gate(tmp_path, *(finding(f"CVE-{i}") for i in range(300)))
    assert verdict == "fail"
    assert len(report["held"]) == len(report["why"]) == 300


def test_only_fixable_passes_what_has_no_fix(tmp_path):
    policy = Policy(name="fixable", fail_on=("critical",), only_fixable=True)
    assert gate(tmp_path, finding(fixed=""), policy=policy)[0] == "pass"
    (tmp_path / "b").mkdir()
    assert gate(tmp_path / "b", finding(), policy=policy)[0] == "fail"


def test_a_waiver_in_force_lets_a_finding_pass_and_is_named(tmp_path):
    verdict, report = gate(tmp_path, finding(), waivers=[waiver()])
    assert verdict == "pass"
    assert report["waived"][0]["waiver"]["until"] == "2034-12-31"
    assert report["unused_waivers"] == []


@pytest.mark.parametrize("name", ["CVE-1", "GHSA-1"])
@pytest.mark.parametrize("package", ["joblib", "JobLib"])
def test_a_waiver_matches_by_id_or_alias_and_normal_name(tmp_path, name, package):
    assert gate(tmp_path, finding(), waivers=[waiver(name, package)])[0] == "pass"


@pytest.mark.parametrize(
    "other", [waiver("CVE-2"), waiver(package="numpy"), waiver(until="2026-11-21")]
)
def test_a_waiver_for_something_else_or_expired_does_not_count(tmp_path, other):
    assert gate(tmp_path, finding(), waivers=[other])[0] == "fail"


def test_a_debian_finding_is_waived_by_binary_or_source_name(tmp_path):
    found = finding(ecosystem="Debian:12", package="libssl3", source="openssl")
    for number, package in enumerate(("libssl3", "openssl")):
        (tmp_path / str(number)).mkdir()
        assert gate(tmp_path / str(number), found, waivers=[waiver(package=package)])[0] == "pass"


def test_a_waiver_that_no_finding_needs_is_listed(tmp_path):
    verdict, report = gate(tmp_path, waivers=[waiver("CVE-9")])
    assert verdict == "pass"
    assert report["unused_waivers"][0]["id"] == "CVE-9"


def test_an_image_that_was_not_scanned_fails(tmp_path):
    verdict, report = gate(tmp_path, scanned=False)
    assert verdict == "fail"
    assert "not scanned" in report["why"][0]


def test_an_ecosystem_without_advisories_fails(tmp_path):
    verdict, report = gate(tmp_path, uncovered={"Debian:13": 96})
    assert verdict == "fail"
    assert report["why"] == ["96 packages of Debian:13 not scanned: no advisories for it"]


def test_a_package_system_that_was_not_read_fails(tmp_path):
    verdict, report = gate(tmp_path, uncovered={"rpm": 0})
    assert verdict == "fail"
    assert report["why"] == ["all packages of rpm not scanned: its database cannot be read"]


def test_what_the_scan_could_not_judge_fails_unless_the_policy_accepts_the_unscanned(tmp_path):
    problem = "Maven g:a 2.14 by M: version '2.14' has no order"
    verdict, report = gate(tmp_path, problems=[problem])
    assert verdict == "fail"
    assert report["why"] == [f"not judged: {problem}"]
    lax = Policy(name="lax", unscanned="pass")
    (tmp_path / "b").mkdir()
    assert gate(tmp_path / "b", problems=[problem], policy=lax)[0] == "pass"


def test_a_finding_that_is_fixed_in_part_is_said_so_and_counts_as_fixable(tmp_path):
    policy = Policy(name="fixable", fail_on=("critical",), only_fixable=True)
    verdict, report = gate(tmp_path, finding(fixed="", partly_fixed="9"), policy=policy)
    assert verdict == "fail"
    assert report["why"] == ["CVE-1 (critical) in joblib 1.1.0, partly fixed in 9"]
    assert report["held"][0]["partly_fixed"] == "9"


def test_conda_and_declared_software_have_no_advisories_anywhere_and_do_not_fail(tmp_path):
    assert gate(tmp_path, without_source={"conda": 5, "generic": 1})[0] == "pass"


def test_a_policy_may_accept_the_unscanned(tmp_path):
    policy = Policy(name="lax", unscanned="pass")
    assert gate(tmp_path, scanned=False, uncovered={"X": 1}, policy=policy)[0] == "pass"


def test_a_policy_may_refuse_builds_with_network(tmp_path):
    step = RunStep(address="build[0]", script="x", network=True)
    policy = Policy(name="closed", allow_network=False)
    verdict, report = gate(tmp_path, policy=policy, steps=(step,))
    assert verdict == "fail"
    assert "network" in report["why"][0]


EXPLOITED = Policy(name="exploited", fail_on=(), only_fixable=True, kev=True)
ENDED = {
    "id": "EOL-Debian-10", "aliases": [], "ecosystem": "Debian:10", "package": "debian",
    "source": "debian", "version": "10", "fixed": "", "severity": "unknown",
    "state": "end-of-life", "since": "2022-09-10",
}  # fmt: skip


def test_what_is_exploited_holds_whatever_its_severity_and_without_a_fix(tmp_path):
    found = finding(severity="low", fixed="", kev="2024-05-01")
    verdict, report = gate(tmp_path, found, finding("CVE-2"), policy=EXPLOITED)
    assert verdict == "fail"
    assert report["why"] == [
        "CVE-1 (low) in joblib 1.1.0, no fix is known: known to be exploited since 2024-05-01"
    ]
    assert report["held"][0]["kev"] == "2024-05-01"


def test_a_waiver_covers_what_is_exploited_too_and_the_report_says_both(tmp_path):
    found = finding(kev="2024-05-01")
    verdict, report = gate(tmp_path, found, policy=EXPLOITED, waivers=[waiver()])
    assert verdict == "pass"
    assert report["waived"][0]["why"] == ["known to be exploited since 2024-05-01"]
    assert report["waived"][0]["waiver"]["owner"] == "me"


@pytest.mark.parametrize(
    ("epss", "verdict"),
    [
        ("0.5", "fail"), ("0.50000", "fail"), ("1", "fail"), ("0.49999", "pass"), ("", "pass"),
        ("1e-5", "pass"), ("much", "fail"), ("nan", "fail"), ("7", "fail"),
    ],
)  # fmt: skip
def test_so_probable_an_exploitation_holds_and_what_cannot_be_read_is_no_pass(
    tmp_path, epss, verdict
):
    policy = Policy(name="probable", fail_on=(), epss_at_least="0.5")
    assert gate(tmp_path, finding(epss=epss), policy=policy)[0] == verdict


@pytest.mark.parametrize(
    ("rule", "fail_on", "verdict"),
    [
        ("fail", (), "fail"), ("note", ("unknown",), "pass"),
        ("", ("unknown",), "fail"), ("", (), "pass"),
    ],
)  # fmt: skip
def test_an_ended_base_is_judged_by_its_own_rule_where_there_is_one(
    tmp_path, rule, fail_on, verdict
):
    policy = Policy(name="ends", fail_on=fail_on, end_of_life=rule)
    found, report = gate(tmp_path, ENDED, policy=policy)
    assert found == verdict
    assert ("noted" in report) == (rule == "note")


def test_a_package_that_its_distribution_gave_up_is_no_ended_base(tmp_path):
    policy = Policy(name="ends", fail_on=(), end_of_life="fail")
    assert gate(tmp_path, finding(state="end-of-life"), policy=policy)[0] == "pass"


def test_a_report_says_where_a_severity_comes_from_where_the_policy_looks_further(tmp_path):
    found = finding(severity_source="GHSA-1: stated as CRITICAL")
    policy = Policy(name="both", kev=True)
    report = gate(tmp_path, found, policy=policy)[1]
    assert report["held"][0]["severity_source"] == "GHSA-1: stated as CRITICAL"
    assert report["why"][0].endswith(": severity critical by GHSA-1: stated as CRITICAL")
    (tmp_path / "b").mkdir()
    assert "severity_source" not in gate(tmp_path / "b", found)[1]["held"][0]


def test_rules_that_a_policy_does_not_have_are_not_in_its_key():
    def policy_of(**more):
        item = Input(role="findings", digest=sha256_of(b"x"))
        node = spec.node(target(), item, Policy(name="default", **more), DAY)
        return node.slice["policy"]

    assert policy_of().keys() == {"name", "fail_on", "only_fixable", "unscanned"}
    assert policy_of(kev=True, end_of_life="note").keys() - policy_of().keys() == {
        "kev", "end_of_life"
    }  # fmt: skip
    same = {policy_of(epss_at_least=text)["epss_at_least"] for text in ("0.5", "0.50", "0.500")}
    assert same == {"0.5"}
    ends = [policy_of(epss_at_least=text)["epss_at_least"] for text in ("0", "1", "1.0", "0.10")]
    assert ends == ["0", "1", "1", "0.1"]


def test_an_expired_waiver_is_a_new_key_and_nothing_else_is():
    digest = sha256_of(b"x")

    def key(as_of, *waivers):
        item = Input(role="findings", digest=digest)
        node = spec.node(target(waivers=waivers), item, POLICY, as_of)
        return node.resolve({"findings": digest}).key

    one = waiver(until="2026-12-01")
    assert key(DAY, one) == key(dt.date(2026, 12, 1), one)
    assert key(DAY, one) != key(dt.date(2026, 12, 2), one)
    assert key(dt.date(2026, 12, 2), one) == key(DAY)
    other = waiver("CVE-2")
    assert key(DAY, one, other) == key(DAY, other, one)


@given(
    st.lists(st.dates(dt.date(2026, 1, 1), dt.date(2026, 3, 1)), max_size=5),
    st.dates(dt.date(2026, 1, 1), dt.date(2026, 3, 1)),
)
def test_the_next_change_is_the_first_day_with_other_waivers_in_force(ends, as_of):
    waivers = [waiver(f"CVE-{i}", until=end.isoformat()) for i, end in enumerate(ends)]
    change = spec.next_change(waivers, as_of)
    now = spec.in_force(waivers, as_of)
    day = as_of
    while day <= dt.date(2026, 3, 3) and spec.in_force(waivers, day) == now:
        day += dt.timedelta(days=1)
    assert change == (day if now else None)


def test_a_waiver_without_a_date_is_refused():
    with pytest.raises(InvalidValue, match="is not a date"):
        spec.in_force([waiver(until="soon")], DAY)


def test_a_waiver_for_ever_never_changes():
    assert spec.next_change([waiver(until="9999-12-31")], DAY) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b'{"scanned": 1, "uncovered": {}, "without_source": {}}',
        b'{"scanned": true, "uncovered": {"a": -1}, "without_source": {}}',
        b'{"scanned": true, "uncovered": {}, "without_source": {}, "findings": [{"id": 1}]}',
    ],
)
def test_malformed_findings_are_refused(data):
    with pytest.raises(IntegrityError, match="findings"):
        read_scan(data)


def test_what_the_released_revision_owes_holds_nothing_until_its_day(tmp_path):
    owes = [debt(fixable=True)]
    verdict, report = gate(tmp_path, finding(), policy=RATCHET, debts=owes)
    assert (verdict, report["why"], report["held"]) == ("pass", [], [])
    assert [(o["id"], o["until"]) for o in report["owed"]] == [("CVE-1", "2027-06-30")]
    last, after = dt.date(2027, 6, 30), dt.date(2027, 7, 1)
    assert gate(tmp_path, finding(), policy=RATCHET, debts=owes, as_of=last)[0] == "pass"
    verdict, report = gate(tmp_path, finding(), policy=RATCHET, debts=owes, as_of=after)
    assert verdict == "fail"
    assert "owed" not in report


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (finding("CVE-2", aliases=[]), "CVE-2 (critical)"),
        (finding(package="numpy", source="numpy"), "in numpy"),
        (finding(), "it was owed without a fix, and there is one now"),
        (finding(fixed="", partly_fixed="1.1.1"), "it was owed without a fix"),
        (finding(fixed="", kev="2026-11-01"), "it was not known to be exploited"),
    ],
    ids=["new", "another package", "newly fixable", "newly fixable in part", "exploited"],
)
def test_a_finding_that_is_worse_than_the_released_one_holds(tmp_path, found, why):
    policy = replace(RATCHET, kev=True)
    verdict, report = gate(tmp_path, found, policy=policy, debts=[debt()])
    assert verdict == "fail"
    assert why in report["why"][0]


def test_a_debt_that_is_paid_is_told_and_one_of_another_policy_counts_nothing(tmp_path):
    verdict, report = gate(tmp_path, policy=RATCHET, debts=[debt()])
    assert (verdict, report["owed"], report["paid"][0]["id"]) == ("pass", [], "CVE-1")
    verdict, report = gate(tmp_path, finding(), debts=[debt(fixable=True)])
    assert (verdict, "owed" in report) == ("fail", False)


def test_a_catalog_that_owes_nothing_keeps_its_keys():
    item = Input(role="findings", digest=sha256_of(b"x"))
    nodes = [spec.node(target(), item, policy, DAY) for policy in (POLICY, RATCHET)]
    assert nodes[0].slice == nodes[1].slice


def test_the_day_after_a_debt_ends_is_a_change():
    ends = (dt.date(2026, 12, 1), dt.date(2026, 11, 1))
    assert spec.next_change([], DAY, ends) == dt.date(2026, 12, 2)


def aged(tmp_path, as_of, date="2026-11-01", **policy):
    workshop = Workshop(str(tmp_path))
    value = {
        "scanned": True, "uncovered": {}, "without_source": {}, "findings": [],
        "advisories": {"name": "set", "date": date},
    }  # fmt: skip
    digest = workshop.store.blobs.put(json.dumps(value).encode())
    node = spec.node(
        target(),
        Input(role="findings", digest=digest),
        Policy(name="p", **policy),
        as_of,
        advisories_date=date,
    )
    outcome = run(workshop.bench(node, {"findings": digest}))
    return node, outcome.verdict, workshop.json(outcome.outputs["report"])["why"]


def test_an_advisory_set_that_is_too_old_holds_from_the_day_after_its_last_one(tmp_path):
    fresh, verdict, why = aged(tmp_path, dt.date(2026, 12, 1), max_age_days=30)
    assert (verdict, why) == ("pass", [])
    assert fresh.slice == aged(tmp_path, dt.date(2026, 12, 1))[0].slice
    assert spec.next_change((), DAY, [dt.date(2026, 12, 1)]) == dt.date(2026, 12, 2)
    _, verdict, why = aged(tmp_path, dt.date(2026, 12, 2), max_age_days=30)
    assert verdict == "fail"
    assert why == ["the advisory set set 2026-11-01 is older than 30 days"]


@pytest.mark.parametrize("date", ["2026-11", "unknown", ""])
def test_an_advisory_set_whose_date_cannot_be_read_holds(tmp_path, date):
    node, verdict, why = aged(tmp_path, DAY, date, max_age_days=30)
    assert (verdict, dict(node.hints)) == ("fail", {})
    assert "does not say its day" in why[0]
    assert aged(tmp_path, DAY, date)[1] == "pass"


def test_an_advisory_set_of_a_day_to_come_holds_until_that_day(tmp_path):
    day = dt.date(2099, 1, 1)
    node, verdict, why = aged(tmp_path, dt.date(2098, 12, 31), "2099-01-01", max_age_days=30)
    assert (verdict, node.hints) == ("fail", {spec.AGE_UNTIL: "2098-12-31"})
    assert "still to come" in why[0]
    node, verdict, _ = aged(tmp_path, day, "2099-01-01", max_age_days=30)
    assert (verdict, node.hints) == ("pass", {spec.AGE_UNTIL: "2099-01-31"})
    assert aged(tmp_path, DAY, "9999-12-31", max_age_days=30)[1] == "fail"
