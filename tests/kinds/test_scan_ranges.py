"""What OSV ranges mean, and the version orders that they rest on."""

from __future__ import annotations

import shutil
import subprocess
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssds.advisories.osv import Affected, evaluate, in_range
from ssds.advisories.versions import order_of, same_name

N, F, L, T = "introduced", "fixed", "last_affected", "limit"


def affected(*ranges, versions=(), ecosystem="PyPI"):
    return Affected(
        ecosystem=ecosystem, name="x", ranges=tuple(map(tuple, ranges)), versions=tuple(versions)
    )


TABLE = [
    ("before the fix", [(N, "0"), (F, "2.0")], "1.9", True, "2.0"),
    ("the fix itself", [(N, "0"), (F, "2.0")], "2.0", False, ""),
    ("before the introduction", [(N, "1.5"), (F, "2.0")], "1.4", False, ""),
    ("the introduction itself", [(N, "1.5"), (F, "2.0")], "1.5", True, "2.0"),
    ("never fixed", [(N, "1.0")], "99", True, ""),
    ("zero is before every version", [(N, "0"), (F, "1")], "0.0.dev1", True, "1"),
    ("last affected is included", [(N, "0"), (L, "2.0")], "2.0", True, ""),
    ("after last affected", [(N, "0"), (L, "2.0")], "2.0.1", False, ""),
    ("before last affected", [(N, "0"), (L, "2.0")], "1.0", True, ""),
    ("last affected is where it began", [(N, "2.0"), (L, "2.0")], "2.0", True, ""),
    ("after a one-version interval", [(N, "2.0"), (L, "2.0")], "2.0.1", False, ""),
    ("first of two intervals", [(N, "1"), (F, "2"), (N, "3"), (F, "4")], "1.5", True, "2"),
    ("between two intervals", [(N, "1"), (F, "2"), (N, "3"), (F, "4")], "2.5", False, ""),
    ("second of two intervals", [(N, "1"), (F, "2"), (N, "3"), (F, "4")], "3.5", True, "4"),
    ("after both", [(N, "1"), (F, "2"), (N, "3"), (F, "4")], "4", False, ""),
    ("unsorted events", [(F, "4"), (N, "3"), (F, "2"), (N, "1")], "1.5", True, "2"),
    ("reintroduced where it was fixed", [(N, "1"), (F, "2"), (N, "2"), (F, "3")], "2", True, "3"),
    ("an empty interval", [(N, "2"), (F, "2")], "2", False, ""),
    ("not affected at all", [(N, "0"), (F, "0")], "1", False, ""),
    ("below a limit", [(N, "0"), (T, "2.0")], "1.0", True, ""),
    ("at a limit", [(N, "0"), (T, "2.0")], "2.0", False, ""),
    ("one of two limits", [(N, "0"), (T, "1.0"), (T, "3.0")], "2.0", True, ""),
    ("no limit", [(N, "0"), (T, "*")], "2.0", True, ""),
    ("pre-release before the fix", [(N, "0"), (F, "2.0")], "2.0rc1", True, "2.0"),
    ("post-release after the fix", [(N, "0"), (F, "2.0")], "2.0.post1", False, ""),
    ("local version of the fix", [(N, "0"), (F, "2.0")], "2.0+site1", False, ""),
    ("epoch", [(N, "0"), (F, "2.0")], "1!1.0", False, ""),
    ("no events", [], "1.0", False, ""),
]


@pytest.mark.parametrize(
    ("events", "version", "hit", "fixed"), [t[1:] for t in TABLE], ids=[t[0] for t in TABLE]
)
def test_a_range_says_whether_a_version_is_affected(events, version, hit, fixed):
    answer = evaluate(affected(events), "PyPI", version)
    assert (answer.affected, answer.fixed) == (hit, fixed)


def test_a_listed_version_outside_every_range_is_affected():
    answer = evaluate(affected([(N, "0"), (F, "23.9.0")], versions=["23.9.0"]), "PyPI", "23.9.0")
    assert answer.affected
    assert answer.fixed == ""


def test_a_version_is_listed_by_its_value_not_its_spelling():
    assert evaluate(affected(versions=["2.0.0"]), "PyPI", "2.0").affected
    assert not evaluate(affected(versions=["2.0.1"]), "PyPI", "2.0").affected


def test_a_listed_version_names_the_next_fix_above_it():
    facts = affected([(N, "3"), (F, "4")], [(N, "5"), (F, "6")], versions=["2"])
    assert evaluate(facts, "PyPI", "2").fixed == "4"


def test_a_range_with_a_version_without_order_leaves_undecided_what_no_other_includes():
    facts = affected([(N, "0"), (F, "not a version")], [(N, "0"), (F, "2")])
    assert evaluate(facts, "PyPI", "1").affected
    assert not evaluate(facts, "PyPI", "1").undecided
    assert not evaluate(facts, "PyPI", "3").affected
    assert "'not a version' has no order" in evaluate(facts, "PyPI", "3").undecided


def test_an_installed_version_without_order_matches_only_when_listed():
    assert evaluate(affected([(N, "0")], versions=["weird!"]), "PyPI", "weird!").affected
    assert evaluate(affected([(N, "0")]), "PyPI", "weird!").affected, "all versions are"
    bounded = evaluate(affected([(N, "0"), (F, "2")]), "PyPI", "weird!")
    assert not bounded.affected
    assert "'weird!' has no order" in bounded.undecided


def test_an_ecosystem_whose_order_is_unknown_is_undecided_and_not_clean():
    facts = affected([(N, "0"), (F, "2.17")], ecosystem="Maven")
    assert evaluate(facts, "Maven", "2.14").undecided
    assert not evaluate(affected(versions=["2.13"]), "Maven", "2.14").undecided


def test_a_record_that_names_no_versions_decides_nothing():
    assert evaluate(affected(), "PyPI", "1").undecided == "the record names no versions"


def test_an_unknown_ecosystem_has_no_order():
    assert order_of("Hackage") is None
    bounded = affected([(N, "0"), (F, "2")], ecosystem="Hackage")
    assert not evaluate(bounded, "Hackage", "1").affected


def test_debian_ranges_use_dpkg_order():
    facts = affected([(N, "0"), (F, "3.0.17-1~deb12u2")], ecosystem="Debian:12")
    assert evaluate(facts, "Debian:12", "3.0.17-1~deb12u1").affected
    assert not evaluate(facts, "Debian:12", "3.0.17-1").affected
    assert not evaluate(facts, "Debian:12", "1:1.0").affected


def test_python_names_are_compared_in_normal_form():
    assert same_name("PyPI", "Ruamel.Yaml__Clib") == "ruamel-yaml-clib"
    assert same_name("Debian:12", "libX11") == "libX11"


@given(st.data())
def test_intervals_agree_with_a_naive_model(data):
    bounds = data.draw(st.lists(st.integers(1, 40), unique=True, max_size=8).map(sorted))
    events, inside = [], set()
    for low, high in zip(bounds[::2], bounds[1::2], strict=False):
        closed_by_fix = data.draw(st.booleans())
        events += [(N, str(low)), (F if closed_by_fix else L, str(high))]
        inside.update(range(low, high if closed_by_fix else high + 1))
    if len(bounds) % 2:
        events.append((N, str(bounds[-1])))
        inside.update(range(bounds[-1], 60))
    limits = data.draw(st.lists(st.integers(1, 45), max_size=2))
    if limits:
        events += [(T, str(limit)) for limit in limits]
        inside = {v for v in inside if v < max(limits)}
    events = data.draw(st.permutations(events))
    order = order_of("PyPI")
    for version in range(1, 60):
        hit, fixed = in_range(events, order(str(version)), order)
        assert hit == (version in inside), (events, version)
        if fixed:
            assert int(fixed) > version
            assert int(fixed) not in inside


VERSIONS = [
    "0", "1", "1.0", "1.0-0", "1.0-1", "1.0-1+b1", "1.0-1~deb12u1", "1.0-1~bpo12+1", "1.0~rc1-1",
    "1.0~~", "1.0~", "1:0.9", "2:0", "1.0a", "1.0+dfsg-2", "1.0.1", "1.00", "10", "9", "1.0-10",
    "1.0-9", "3.0.17-1~deb12u2", "3.0.17-1~deb12u10", "5.36.0-7+deb12u3", "5.36.0-7", "2.36-9",
    "2022.1.10", "0.0~git20200101", "1.0-1ubuntu1", "1.0-1.1", "1a", "1Z", "1z", "1+", "1.",
]  # fmt: skip


@pytest.mark.skipif(not shutil.which("dpkg"), reason="dpkg is the judge")
def test_debian_order_is_the_order_of_dpkg():
    order = order_of("Debian:12")
    assert all(order(v) for v in VERSIONS)
    pairs = [*pairwise(VERSIONS), *pairwise(reversed(VERSIONS)), *pairwise(VERSIONS[::3])]
    for left, right in pairs:
        judged = subprocess.run(["dpkg", "--compare-versions", left, "lt", right], check=False)
        assert (order(left) < order(right)) == (judged.returncode == 0), (left, right)


@given(st.text(alphabet="0123456789abz.+~-:", max_size=12), st.text(max_size=6))
def test_no_version_text_breaks_the_orders(version, junk):
    for ecosystem in ("Debian:12", "PyPI"):
        key = order_of(ecosystem)(version + junk)
        assert key is None or key <= key
