"""Matching on other distributions and languages; rpm itself judges rpm's order."""

from __future__ import annotations

import itertools
import json
import subprocess

import pytest

from ssds.advisories.osv import read_advisories
from ssds.advisories.versions import order_of
from ssds.kinds.scan.components import Package, read_packages
from ssds.kinds.scan.match import findings


def advisories(*affected, date="2026-11-01", facts=None, **more):
    records = [{"id": f"CVE-2026-{i:04}", "affected": [a], **more} for i, a in enumerate(affected)]
    ecosystems = sorted({a["package"]["ecosystem"] for a in affected}) or ["Debian:12"]
    document = {
        "name": "x",
        "date": date,
        "ecosystems": ecosystems,
        "records": records,
        "facts": facts or {},
    }
    return read_advisories(json.dumps(document).encode())


def about(ecosystem, name, fixed, **more):
    events = [{"introduced": "0"}, *([{"fixed": fixed}] if fixed else [])]
    return {
        "package": {"ecosystem": ecosystem, "name": name},
        "ranges": [{"type": "ECOSYSTEM", "events": events}],
        **more,
    }


def packages(*purls):
    components = [{"name": p.partition("@")[0].rpartition("/")[2], "purl": p} for p in purls]
    document = {"bomFormat": "CycloneDX", "components": components}
    return read_packages(json.dumps(document).encode())


def found(purl, *affected, **more):
    return findings(packages(purl), advisories(*affected, **more))["findings"]


OPENSSL = "?distro=alpine-3.18.4&upstream=openssl"
ALMA, VIM = "?distro=almalinux-9.3", "8.2-20.el9?distro=almalinux-9.3&epoch=2"
ROCKY = "?distro=rocky-9.3&upstream=tool-1.2-3.el9.src.rpm"


@pytest.mark.parametrize(
    ("purl", "ecosystem", "name", "fixed", "hit"),
    [
        (f"apk/alpine/libcrypto3@3.1.3-r0{OPENSSL}", "Alpine:v3.18", "openssl", "3.1.4-r0", True),
        (f"apk/alpine/libcrypto3@3.1.4-r1{OPENSSL}", "Alpine:v3.18", "openssl", "3.1.4-r0", False),
        (
            "apk/alpine/musl@1.2.4_git2023-r9?distro=alpine-3.18.4",
            *("Alpine:v3.18", "musl", "1.2.4_git2023-r10", True),
        ),
        (f"rpm/almalinux/bash@5.1.8-6.el9{ALMA}", "AlmaLinux:9", "bash", "5.1.8-9.el9", True),
        (f"rpm/almalinux/vim-min@{VIM}", "AlmaLinux:9", "vim-min", "2:8.2-20.el9_4", True),
        (f"rpm/almalinux/vim-min@{VIM}", "AlmaLinux:9", "vim-min", "9.0-1.el9", False),
        (f"rpm/rocky/tool-libs@1.2-3.el9{ROCKY}", "Rocky Linux:9", "tool", "1.2-4.el9", True),
        (
            f"rpm/almalinux/nodejs@18.1-1.el9{ALMA}",
            *("AlmaLinux:9", "nodejs", "1:20.1-1.module_el9.1+1", False),
        ),
        (
            f"rpm/almalinux/nodejs@18.1-1.module_el9.0{ALMA}",
            *("AlmaLinux:9", "nodejs", "18.2-1.module_el9.1+1", True),
        ),
        ("npm/%40a/b@1.0.0-rc.1", "npm", "@a/b", "1.0.0", True),
        ("npm/%40a/b@1.0.0", "npm", "@a/b", "1.0.0", False),
        ("npm/b@0.9.0", "npm", "@a/b", "1.0.0", False),
        ("npm/a@0.9.0", "PyPI", "a", "1.0.0", False),
        ("cran/Rcpp@1.0-9", "CRAN", "Rcpp", "1.0.10", True),
        ("cran/rcpp@1.0-9", "CRAN", "Rcpp", "1.0.10", False),
        ("julia/A_jll@2.16.8%2B0", "Julia", "A_jll", "2.16.8+1", True),
        ("julia/A_jll@2.16.8%2B1", "Julia", "A_jll", "2.16.8+1", False),
    ],
)
def test_a_package_is_found_under_the_names_and_in_the_order_of_its_system(
    purl, ecosystem, name, fixed, hit
):
    assert bool(found(f"pkg:{purl}", about(ecosystem, name, fixed))) is hit


@pytest.mark.component("rpm")
def test_versions_have_the_order_that_rpm_itself_says():
    texts = ["1.0", "1.0~rc1", "1.0~rc2", "1.0^git1", "1.0^git2", "1.0.1", "1.0a", "1.a", "1.10"]
    texts += ["1.9", "01.9", "1.0-1.el9", "1.0-1.el9_2", "1.0-10.el9", "1.0-2.el9", "2_0", "2.0"]
    pairs = list(itertools.combinations(texts, 2))
    lua = ";".join(f"print(rpm.vercmp('{a}','{b}') .. ' ')" for a, b in pairs)
    done = subprocess.run(
        ["rpm", "--eval", "%{lua:" + lua + "}"], capture_output=True, text=True, check=True
    )
    order = order_of("Rocky Linux:9")
    said = [(order(a) > order(b)) - (order(a) < order(b)) for a, b in pairs]
    assert said == [int(line) for line in done.stdout.split()]


def test_a_release_is_after_its_candidates_in_semantic_order():
    texts = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2"]
    texts += ["1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.10.0"]  # semver.org, item 11
    order = order_of("npm")
    mixed = sorted(texts)
    assert sorted(mixed, key=order) == texts
    assert order("1.0.0+a") == order("1.0.0+b")


def test_apks_versions_have_apks_order():
    texts = ["1.2.4_alpha1", "1.2.4_beta2", "1.2.4_pre1", "1.2.4_rc1", "1.2.4-r0", "1.2.4-r10"]
    texts += ["1.2.4_git20230101-r3", "1.2.4_git20230717-r0", "1.2.4_p1-r0", "1.2.4a-r0"]
    texts += ["1.2.05-r0", "1.2.10-r0", "1.2.10.1-r0", "1.10-r0"]
    order = order_of("Alpine:v3.18")
    mixed = sorted(texts)
    assert sorted(mixed, key=order) == [texts[10], *texts[:10], *texts[11:]]


@pytest.mark.parametrize("ecosystem", ["npm", "CRAN", "Julia", "Alpine:v3.18", "AlmaLinux:9"])
@pytest.mark.parametrize("text", ["", "9" * 400, "not a version", "1..2-", "\x00", "٣.٤"])
def test_a_text_that_is_no_version_has_no_order_and_harms_nothing(ecosystem, text):
    key = order_of(ecosystem)(text)
    assert key is None or key < order_of(ecosystem)("99999.0") or key


DEBIAN = "pkg:deb/debian/openssl@3.0.1?distro=debian-12"


@pytest.mark.parametrize("state", ["ignored", "postponed", "no-dsa", "end-of-life"])
def test_what_stays_open_says_why(state):
    (one,) = found(DEBIAN, about("Debian:12", "openssl", "", ecosystem_specific={"state": state}))
    assert (one["fixed"], one["state"]) == ("", state)


def test_what_has_a_fix_has_no_state():
    specific = {"state": "ignored"}
    (one,) = found(DEBIAN, about("Debian:12", "openssl", "3.1", ecosystem_specific=specific))
    assert "state" not in one


def test_a_finding_says_since_when_it_is_exploited_and_how_likely_that_is():
    facts = {"CVE-2026-0000": {"kev": "2026-01-02"}, "GHSA-a": {"epss": "0.9"}}
    (one,) = found(DEBIAN, about("Debian:12", "openssl", "4"), facts=facts, aliases=["GHSA-a"])
    assert (one["kev"], one["epss"]) == ("2026-01-02", "0.9")


def test_a_base_whose_support_ended_before_the_set_was_made_is_a_finding():
    facts = {"Debian:12": {"eol": "2026-06-10"}}
    (one,) = found(DEBIAN, about("Debian:12", "other", "1"), facts=facts)
    assert (one["id"], one["since"], one["severity"]) == ("EOL-Debian-12", "2026-06-10", "unknown")
    assert found(DEBIAN, about("Debian:12", "other", "1"), facts=facts, date="2026-06-10") == []


def test_a_language_package_that_rpm_installed_is_not_matched():
    owned = Package(
        ecosystem="npm",
        name="a",
        version="1",
        source="a",
        source_version="1",
        type="npm",
        owner="nodejs-a",
    )
    assert findings([owned], advisories(about("npm", "a", "2")))["findings"] == []
