"""CycloneDX's disclosure report, OpenVEX, and what is new and gone since an earlier report."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from ssds.core.errors import SsdsError
from ssds.kinds.gate.findings import Finding, Scan
from ssds.reports import markdown
from ssds.reports.model import Image, Report, to_json
from ssds.reports.openvex import openvex
from ssds.reports.since import difference
from ssds.reports.vdr import vdr

HOSTILE = "<script>`|\x1b[31m\n| x | @team"


def finding(name="CVE-2026-1", **more):
    known = Finding(
        id=name, names=frozenset((name, "GHSA-1")), ecosystem="PyPI", package="numpy",
        source="numpy", version="1.0", fixed="1.1", severity="high",
    )  # fmt: skip
    return replace(known, **more)


REMARK = finding("setuid", ecosystem="image", package="/opt/p", version="layer 2", what="root")


def image(name, *findings, scanned=True, date="2026-11-01", remarks=()):
    scan = Scan(
        scanned=scanned, uncovered={}, without_source={}, findings=findings,
        advisories=f"set {date}",
    )  # fmt: skip
    return Image(release=name, platform="linux/amd64", file="x", scan=scan, remarks=tuple(remarks))


def report(*images):
    return Report(images=images)


def earlier(*images):
    return json.dumps(to_json(report(*images))).encode()


def test_a_disclosure_report_is_valid_and_names_each_image_and_package():
    found = report(
        image("a@1.0", finding(), finding("CVE-2026-2", severity="negligible", kev="2026-01-01")),
        image("b@2.0", finding(), finding(package=HOSTILE, severity=HOSTILE), remarks=[REMARK]),
        Image(release="c@1", platform="linux/amd64", file="c", missing="never scanned"),
    )
    document = vdr(found)
    text = json.dumps(document)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    first, second = document["vulnerabilities"]
    assert [first["id"], second["id"]] == ["CVE-2026-1", "CVE-2026-2"]
    assert len(first["affects"]) == 3
    assert second["ratings"] == [{"severity": "info", "method": "other"}]
    names = {c["bom-ref"] for top in document["components"] for c in top.get("components", ())}
    assert {a["ref"] for v in (first, second) for a in v["affects"]} == names
    said = {p["value"] for c in document["components"] for p in c["properties"]}
    assert {"never scanned", "setuid (high): /opt/p (layer 2): root"} <= said
    assert json.dumps(vdr(found)) == text


def test_a_report_without_findings_is_a_valid_disclosure_report():
    text = json.dumps(vdr(report(image("a@1.0"))))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


WAIVER = {
    "id": "GHSA-1", "package": "numpy", "reason": "not called", "owner": "me",
    "until": "2034-12-31",
}  # fmt: skip


def test_openvex_says_what_is_accepted_what_has_a_fix_and_what_is_open():
    waived = replace(image("a@1.0", finding(names=frozenset(("CVE-2026-1", "GHSA-1")))))
    waived = replace(waived, waivers=(WAIVER,))
    others = image(
        "b@2.0", finding(names=frozenset(("CVE-2026-1",))),
        finding("CVE-2026-2", names=frozenset(("CVE-2026-2",)), fixed="",
                ecosystem="Debian:12", package="libx1"),
        remarks=[REMARK],
    )  # fmt: skip
    document = openvex(report(waived, others), "2026-11-27")
    assert document["@context"] == "https://openvex.dev/ns/v0.2.0"
    assert document["timestamp"] == "2026-11-27T00:00:00Z"
    one, two, three = document["statements"]
    assert one["vulnerability"] == {"name": "CVE-2026-1", "aliases": ["GHSA-1"]}
    assert one["status"] == "not_affected"
    assert one["impact_statement"] == "not called (me, until 2034-12-31)"
    assert (two["status"], two["action_statement"]) == ("affected", "fixed in 1.1: renew it.")
    assert three["status"] == "under_investigation"
    assert three["products"] == [
        {
            "@id": "pkg:generic/b@2.0",
            "subcomponents": [{"@id": "pkg:deb/debian/libx1@1.0?distro=debian-12"}],
        }
    ]
    assert openvex(report(waived, others), "2026-11-27") == document
    assert openvex(report(waived), "2026-11-27")["@id"] != document["@id"]


@pytest.mark.parametrize(
    ("ecosystem", "package", "purl"),
    [
        ("Go", "golang.org/x/net", "pkg:golang/golang.org/x/net@1.0"),
        ("Maven", "org.slf4j:slf4j-api", "pkg:maven/org.slf4j/slf4j-api@1.0"),
        ("Packagist", "symfony/yaml", "pkg:composer/symfony/yaml@1.0"),
        ("npm", "@babel/core", "pkg:npm/%40babel/core@1.0"),
        ("openEuler:24.03", "zlib", "pkg:rpm/openeuler/zlib@1.0?distro=openeuler-24.03"),
        ("conda-forge", "zlib", "pkg:generic/zlib@1.0"),
    ],
)
def test_openvex_names_a_package_as_its_ecosystem_does(ecosystem, package, purl):
    found = finding(ecosystem=ecosystem, package=package, source=package)
    statement = openvex(report(image("a@1.0", found)), "2026-11-27")["statements"][0]
    assert statement["products"][0]["subcomponents"] == [{"@id": purl}]


def test_new_gone_and_changed_findings_are_told():
    before = earlier(image("a@1.0", finding(), finding("CVE-2026-2"), finding("CVE-2026-3")))
    now = report(
        image(
            "a@1.0", finding(severity="critical", fixed=""), finding("CVE-2026-2"),
            finding("CVE-2026-4"), date="2026-11-20",
        )
    )  # fmt: skip
    found = difference(before, now)
    assert [row[2] for row in found.new] == ["CVE-2026-4"]
    assert [row[2] for row in found.gone] == ["CVE-2026-3"]
    assert [(row[2], was) for row, was in found.changed] == [("CVE-2026-1", "high, fixed in 1.1")]
    assert found.same == 1
    assert (found.before, found.now) == (("set 2026-11-01",), ("set 2026-11-20",))
    text = markdown.since(found)
    assert "| `1` | `1` | `1` | `1` |" in text
    assert text.index("## New") < text.index("CVE-2026-4") < text.index("## Gone")


def test_what_nobody_looks_at_any_more_is_not_gone():
    before = earlier(image("a@1.0", finding()), image("b@1.0", finding()))
    found = difference(before, report(image("a@1.0", scanned=False)))
    assert (found.new, found.gone) == ((), ())
    assert found.unseen == (
        ("a@1.0", "linux/amd64", "PyPI"),
        ("b@1.0", "linux/amd64", "PyPI"),
    )


def of(name, **scan):
    """An image without findings, and what its scan could not look at."""
    empty = image(name)
    return replace(empty, scan=replace(empty.scan, **scan))


@pytest.mark.parametrize(
    ("gap", "gone"),
    [
        ({}, ["CVE-2026-1", "CVE-2026-2"]),
        ({"uncovered": {"PyPI": 3}}, ["CVE-2026-2"]),
        ({"uncovered": {"rpm": 0}}, []),
        ({"problems": ("the package record /x cannot be read",)}, []),
        ({"problems": ("Debian:12 openssl 3x by CVE-2026-2: no version",)}, ["CVE-2026-1"]),
        (
            {"problems": ("Debian:12 other 3x by CVE-2026-2: no version",)},
            ["CVE-2026-1", "CVE-2026-2"],
        ),
    ],
    ids=["all", "uncovered", "unread", "record", "package", "other"],
)
def test_what_the_new_scan_could_not_judge_is_not_gone(gap, gone):
    system = finding("CVE-2026-2", ecosystem="Debian:12", package="libssl3", source="openssl")
    found = difference(earlier(image("a@1.0", finding(), system)), report(of("a@1.0", **gap)))
    assert [row[2] for row in found.gone] == gone
    assert len(found.gone) + len(found.unseen) == 2
    assert ("not looked at" in markdown.since(found).casefold()) == (len(gone) < 2)


def test_a_remark_is_gone_only_where_the_files_were_looked_at():
    before = earlier(image("a@1.0", remarks=[REMARK]))
    assert difference(before, report(image("a@1.0"))).gone == ()
    looked = replace(image("a@1.0"), inspected=True)
    assert [row[2] for row in difference(before, report(looked)).gone] == ["setuid"]
    closed = of("a@1.0", problems=("files that this user cannot read: /opt/p",))
    assert difference(before, report(replace(closed, inspected=True))).gone == ()


def test_of_an_earlier_report_only_what_was_asked_for_counts():
    two = (finding(), finding("CVE-2026-2", names=frozenset(("CVE-2026-2",))))
    before = earlier(image("a@1.0", *two, remarks=[REMARK]))
    now = report(image("a@1.0"))
    assert [row[2] for row in difference(before, now, only="ghsa-1").gone] == ["CVE-2026-1"]
    assert difference(before, report(), platform="linux/arm64").unseen == ()


def test_the_same_report_differs_in_nothing():
    same = (image("a@1.0", finding(), remarks=[REMARK]),)
    found = difference(earlier(*same), report(*same))
    assert (found.new, found.gone, found.changed, found.unseen, found.same) == ((), (), (), (), 2)


def test_a_difference_obeys_no_hostile_text():
    found = difference(earlier(image("a@1.0")), report(image("a@1.0", finding(package=HOSTILE))))
    (row,) = [line for line in markdown.since(found).splitlines() if "script" in line]
    assert row.replace("\\|", "").count("|") == 8
    assert "\x1b" not in row


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"{",
        b'{"scans": 1}',
        b'{"scans": [{"release": 1}]}',
        b'{"scans": [{"release": "a", "platform": "b", "findings": [{"id": "c"}]}]}',
        b'{"scans": [{"release": "a", "platform": "b", "findings": {}}]}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_earlier_report_is_refused(data):
    with pytest.raises(SsdsError) as caught:
        difference(data, report())
    assert "the earlier report" in caught.value.message


def test_files_that_nobody_could_read_are_told_without_advisories_too():
    closed = of("a@1.0", scanned=False, problems=("files that this user cannot read: /x",))
    assert closed.gaps[1:] == ("not judged: files that this user cannot read: /x",)
