"""What a recipe owes shrinks only by what somebody looked at and did not find any more."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssds.core.errors import InputError
from ssds.kinds.gate.findings import Finding, Scan
from ssds.kinds.gate.owing import Scanned, owing
from ssds.recipe.debts import NAME_LIMIT, Debt, Debts, debts_text, parse_debts
from ssds.recipe.model import Policy

DAY = dt.date(2026, 11, 27)
LATER = dt.date(2031, 6, 30)
POLICY = Policy(name="p", fail_on=("high",), lint=("critical",))
OLD = Debt(id="CVE-1", package="zlib", until=LATER)


def finding(name: str = "CVE-1", package: str = "zlib") -> Finding:
    return Finding(
        id=name, names=frozenset((name,)), ecosystem="Debian:12", package=package, source=package,
        version="1", fixed="", severity="high",
    )  # fmt: skip


def scanned(*findings: Finding, inspection=(), **about) -> Scanned:
    given = {"scanned": True, "uncovered": {}, "without_source": {}, **about}
    return Scanned(scan=Scan(findings=findings, **given), policy=POLICY, inspection=inspection)


def owed(*scans, old=(OLD,), until=None, **more):
    return owing(scans, old, as_of=DAY, until=until, **more)


def test_what_a_whole_scan_finds_no_more_is_paid():
    found = owed(scanned())
    assert (found.debts, found.paid, found.unpaid) == ((), 1, ())


@pytest.mark.parametrize(
    ("about", "why"),
    [
        ({"scanned": False}, "was not scanned"),
        ({"uncovered": {"Debian:12": 5}}, "5 packages of Debian:12 not scanned"),
        ({"problems": ("x",)}, "not judged: x"),
    ],
    ids=["no set", "uncovered", "problem"],
)
def test_what_nobody_looked_at_is_not_paid(about, why):
    found = owed(scanned(), scanned(**about))
    assert (found.debts, found.paid) == ((OLD,), 0)
    assert [why in text for text in found.unpaid] == [True]


def test_a_platform_without_a_scan_pays_nothing():
    found = owed(scanned(), unseen=["tool@1 [linux/arm64] has no scan yet"])
    assert (found.debts, found.paid) == ((OLD,), 0)
    assert found.unpaid == ("tool@1 [linux/arm64] has no scan yet",)


def test_a_debt_that_has_ended_is_taken_on_anew_or_refused():
    ended = Debt(id="CVE-1", package="zlib", until=DAY - dt.timedelta(days=1))
    found = owed(scanned(finding()), old=(ended,))
    assert (found.debts, len(found.refused)) == ((ended,), 1)
    found = owed(scanned(finding()), old=(ended,), until=LATER)
    assert (found.debts, found.added, found.refused) == ((OLD,), 1, ())


def test_of_two_debts_the_one_that_still_covers_counts():
    ended = Debt(id="CVE-0", package="zlib", until=DAY - dt.timedelta(days=1))
    both = Finding(**{
        **{name: getattr(finding(), name) for name in Finding.__dataclass_fields__},
        "names": frozenset(("CVE-0", "CVE-1")),
    })  # fmt: skip
    assert owed(scanned(both), old=(ended, OLD)).refused == ()


def test_remarks_on_the_images_files_are_owed_as_findings_are():
    remark = Finding(
        id="secret", names=frozenset(("secret",)), ecosystem="image", package="/root/.netrc",
        source="/root/.netrc", version="layer 1", fixed="", severity="critical", what="a password",
    )  # fmt: skip
    debt = Debt(id="secret", package="/root/.netrc", until=LATER)
    assert owed(scanned(inspection=(remark,)), old=(debt,)).debts == (debt,)
    assert len(owed(scanned(inspection=(remark,)), old=()).refused) == 1
    assert owed(scanned(), old=(debt,)).paid == 1


@pytest.mark.parametrize(
    "name",
    ["C" * (NAME_LIMIT + 1), "C\ud800", "C\x7f", ""],
    ids=["long", "half", "control", "empty"],
)
def test_what_cannot_be_written_is_not_owed(name):
    found = owed(scanned(finding(name), finding("CVE-2")), old=(), until=LATER)
    assert ([d.id for d in found.debts], found.added) == (["CVE-2"], 1)
    assert ["cannot be owed" in text for text in found.refused] == [True]


NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)


@given(NAMES, NAMES, NAMES)
def test_a_written_file_says_what_was_owed(name, package, reason):
    debts = {"tool": Debts(
        findings=(Debt(id=name, package=package, until=LATER, fixable=True),),
        released="r", reason=reason, owner="o",
    ), "none": Debts()}  # fmt: skip
    assert parse_debts(debts_text(debts).encode(), "debts.yaml") == debts


@pytest.mark.parametrize(
    "name", ["a\x85b", "a\u2028b", "a\ufeffb", "\U0001f600", "a\nb"], ids=ascii
)
def test_characters_that_yaml_knows_otherwise_come_back(name):
    debts = {"t": Debts(findings=(Debt(id=name, package="p", until=LATER),), reason="r", owner="o")}
    assert parse_debts(debts_text(debts).encode(), "debts.yaml") == debts


def test_a_file_with_errors_is_told():
    with pytest.raises(InputError, match="2 problems"):
        parse_debts(b"tool: {findings: {owed: []}}", "debts.yaml")
