"""From an SBOM and an advisory set to findings: grouping, severities, what is left out."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import replace

import pytest
from sbom_images import Workshop, debian_layer, target

from ssds.advisories.osv import read_advisories
from ssds.advisories.pack import pack
from ssds.core.canonical import canonical_bytes
from ssds.core.digest import sha256_of
from ssds.core.errors import IntegrityError, UnavailableError
from ssds.core.model import Input
from ssds.kinds.sbom import run as sbom_run
from ssds.kinds.sbom import spec as sbom_spec
from ssds.kinds.scan import run as scan_run
from ssds.kinds.scan import spec
from ssds.kinds.scan.components import Package, read_packages, read_sbom
from ssds.kinds.scan.match import findings, preferred
from ssds.kinds.scan.resolve import pin_advisories

V2 = "AV:N/AC:L/Au:N/C:P/I:P/A:P"
V3_CRITICAL = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
V3_MEDIUM = "CVSS:3.1/AV:N/AC:H/PR:N/UI:R/S:C/C:H/I:N/A:N"
V4_HIGH = "CVSS:4.0/AV:N/AC:L/AT:P/PR:L/UI:A/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"


def record(name, *, package="joblib", ecosystem="PyPI", fixed="1.2.0", **more):
    entry = {
        "package": {"ecosystem": ecosystem, "name": package},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}],
    }
    for key in ("ecosystem_specific", "affected_severity"):
        if key in more:
            entry[key.removeprefix("affected_")] = more.pop(key)
    return {"id": name, "affected": [entry], **more}


def advisories(*records, ecosystems=("Debian:12", "PyPI")):
    document = {
        "name": "test",
        "date": "2026-11-01",
        "ecosystems": list(ecosystems),
        "records": list(records),
    }
    return read_advisories(json.dumps(document).encode())


def python(name="joblib", version="1.1.0", **more):
    return Package(
        ecosystem="PyPI", name=name, version=version, source=name, source_version=version,
        type="pypi", **more,
    )  # fmt: skip


def debian(name, version, source="", source_version="", ecosystem="Debian:12"):
    return Package(
        ecosystem=ecosystem, name=name, version=version, source=source or name,
        source_version=source_version or version, type="deb",
    )  # fmt: skip


def severity(*records):
    (finding,) = findings([python()], advisories(*records))["findings"]
    return finding["severity"], finding["severity_source"]


def cvss(kind, vector):
    return [{"type": kind, "score": vector}]


def test_a_debian_package_is_looked_up_by_source_name_and_source_version():
    found = findings(
        [debian("postgresql", "15+248", "postgresql-common", "248")],
        advisories(
            record("CVE-1", package="postgresql", ecosystem="Debian:12", fixed="99"),
            record("CVE-2", package="postgresql-common", ecosystem="Debian:12", fixed="249"),
            record("CVE-3", package="postgresql-common", ecosystem="Debian:12", fixed="248"),
        ),
    )["findings"]
    assert [(f["id"], f["package"], f["fixed"]) for f in found] == [("CVE-2", "postgresql", "249")]


def test_an_advisory_of_another_release_does_not_match():
    sets = advisories(record("CVE-1", package="a", ecosystem="Debian:11", fixed="9"))
    assert findings([debian("a", "1")], sets)["findings"] == []


def test_an_advisory_of_the_whole_distribution_matches_every_release():
    sets = advisories(record("CVE-1", package="a", ecosystem="Debian", fixed="9"))
    assert len(findings([debian("a", "1")], sets)["findings"]) == 1


def test_a_distribution_package_never_matches_a_language_advisory():
    sets = advisories(record("CVE-1", package="mercurial", fixed="9"))
    assert findings([debian("mercurial", "1")], sets)["findings"] == []


def test_a_language_package_that_the_distribution_installed_is_not_matched():
    sets = advisories(record("CVE-1"))
    found = findings([python(owner="python3-joblib")], sets)
    assert found["findings"] == []
    assert found["packages"] == {"total": 1, "matched": 0, "owned": 1}


def test_python_names_match_in_normal_form():
    sets = advisories(record("CVE-1", package="Foo.Bar", fixed="9"))
    assert len(findings([python("foo_bar", "1")], sets)["findings"]) == 1


def test_withdrawn_advisories_are_dropped():
    assert findings([python()], advisories(record("CVE-1", withdrawn="2024")))["findings"] == []


def test_aliases_of_one_vulnerability_are_one_finding():
    found = findings(
        [python()],
        advisories(
            record("PYSEC-2022-288", aliases=["CVE-2022-21797"]),
            record("GHSA-6hrg-qmvc-2xh8", aliases=["CVE-2022-21797"], fixed="1.3.0"),
            record("CVE-2030-1"),
        ),
    )["findings"]
    assert [(f["id"], f["aliases"], f["fixed"]) for f in found] == [
        ("CVE-2022-21797", ["GHSA-6hrg-qmvc-2xh8", "PYSEC-2022-288"], "1.3.0"),
        ("CVE-2030-1", [], "1.2.0"),
    ]


def test_a_chain_of_aliases_is_one_finding_in_any_order():
    chain = [
        record("A", aliases=["B"]),
        record("C", aliases=["D"]),
        record("B", aliases=["C"]),
    ]
    documents = {
        canonical_bytes(findings([python()], advisories(*order))["findings"])
        for order in itertools.permutations(chain)
    }
    assert len(documents) == 1
    (only,) = json.loads(documents.pop())
    assert (only["id"], only["aliases"]) == ("A", ["B", "C", "D"])


def test_related_and_upstream_ids_are_no_aliases():
    found = findings(
        [python()], advisories(record("A", related=["B"], upstream=["B"]), record("B"))
    )["findings"]
    assert [f["id"] for f in found] == ["A", "B"]


def test_ids_are_preferred_cve_first():
    ids = ["PYSEC-1", "X-1", "GHSA-1", "CVE-2", "CVE-1", "DSA-1"]
    assert preferred(ids) == ["CVE-1", "CVE-2", "GHSA-1", "PYSEC-1", "DSA-1", "X-1"]


def test_a_severity_that_no_source_states_is_unknown():
    assert severity(record("A")) == ("unknown", "")


def test_the_newest_cvss_version_counts():
    stated = cvss("CVSS_V2", V2) + cvss("CVSS_V3", V3_CRITICAL) + cvss("CVSS_V4", V4_HIGH)
    assert severity(record("A", severity=stated)) == ("high", f"A: {V4_HIGH}")
    assert severity(record("A", severity=stated[:2])) == ("critical", f"A: {V3_CRITICAL}")
    assert severity(record("A", severity=stated[:1])) == ("high", f"A: {V2}")


def test_the_worse_of_two_sources_counts():
    assert severity(
        record("A", aliases=["C"], severity=cvss("CVSS_V3", V3_MEDIUM)),
        record("B", aliases=["C"], severity=cvss("CVSS_V3", V3_CRITICAL)),
    ) == ("critical", f"B: {V3_CRITICAL}")


def test_the_severity_of_the_affected_package_overrides_the_records():
    assert severity(
        record(
            "A",
            severity=cvss("CVSS_V3", V3_CRITICAL),
            affected_severity=cvss("CVSS_V3", V3_MEDIUM),
        )
    ) == ("medium", f"A: {V3_MEDIUM}")


def test_the_distributions_urgency_comes_before_cvss():
    sets = record(
        "A", severity=cvss("CVSS_V3", V3_CRITICAL), ecosystem_specific={"urgency": "unimportant"}
    )
    assert severity(sets) == ("negligible", "A: urgency unimportant")


def test_an_urgency_that_says_nothing_falls_back_to_cvss():
    sets = record(
        "A",
        severity=cvss("CVSS_V3", V3_CRITICAL),
        ecosystem_specific={"urgency": "not yet assigned"},
    )
    assert severity(sets)[0] == "critical"


def test_the_databases_word_is_the_last_resort():
    sets = record("A", severity=cvss("CVSS_V3", "?"), database_specific={"severity": "MODERATE"})
    assert severity(sets) == ("medium", "A: stated as MODERATE")


@pytest.mark.parametrize("vector", ["", "CVSS:3.1/AV:N", "x" * 500, "CVSS:9/AV:N"])
def test_a_vector_that_cannot_be_read_is_no_severity(vector):
    assert severity(record("A", severity=cvss("CVSS_V3", vector)))[0] == "unknown"


def test_without_advisories_the_image_is_not_scanned():
    found = findings([python(), debian("a", "1")], None)
    assert found["scanned"] is False
    assert found["findings"] == []
    assert found["uncovered"] == {"Debian:12": 1, "PyPI": 1}


def test_what_the_set_does_not_cover_is_counted():
    conda = Package(
        ecosystem="", name="openssl", version="3", source="openssl", source_version="3",
        type="conda",
    )  # fmt: skip
    found = findings([debian("a", "1", ecosystem="Debian:13"), conda, python()], advisories())
    assert found["uncovered"] == {"Debian:13": 1}
    assert found["without_source"] == {"conda": 1}


def test_package_systems_that_were_not_read_are_not_covered():
    found = findings([], advisories(), unread=("rpm",))
    assert found["uncovered"] == {"rpm": 0}


@pytest.mark.parametrize("purl", ["pkg:npm/a@1", "pkg:rpm/rocky/a@1", "pkg:golang/x/y@1"])
def test_other_languages_are_uncovered_not_clean(purl):
    document = {"bomFormat": "CycloneDX", "components": [{"name": "a", "purl": purl}]}
    found = findings(read_packages(json.dumps(document).encode()), advisories())
    assert list(found["uncovered"].values()) == [1]


def test_a_version_without_order_is_a_reported_problem():
    found = findings([python(version="not!one")], advisories(record("A")))
    assert "not!one" in found["problems"][0]


def test_what_cannot_be_judged_is_a_problem_and_what_no_record_names_is_none():
    maven = Package(
        ecosystem="Maven", name="g:a", version="2.14", source="g:a", source_version="2.14",
        type="maven",
    )  # fmt: skip
    sets = advisories(
        record("M", package="g:a", ecosystem="Maven", fixed="2.17"),
        record("W", package="b", fixed="2.0-weird"),
        {"id": "G", "affected": [{"package": {"ecosystem": "PyPI", "name": "git-only"}}]},
        ecosystems=("Maven", "PyPI"),
    )
    packages = [maven, python("b", "1"), python("git-only", "1"), python("c", "not!one")]
    found = findings(packages, sets, unreadable=("usr/x/METADATA",))
    assert found["findings"] == []
    assert found["problems"] == [
        "Maven g:a 2.14 by M: version '2.14' has no order",
        "PyPI b 1 by W: version '2.0-weird' has no order",
        "PyPI git-only 1 by G: the record names no versions",
        "the package record usr/x/METADATA cannot be read",
    ]


def test_package_records_that_the_inventory_could_not_read_are_seen_in_its_sbom():
    sbom = {
        "bomFormat": "CycloneDX",
        "metadata": {"properties": [{"name": "ssds:unreadable", "value": "a/METADATA"}]},
    }
    assert read_sbom(json.dumps(sbom).encode()).unreadable == ("a/METADATA",)


def test_a_record_of_the_bare_distribution_does_not_cover_its_releases():
    sets = advisories(
        record("CVE-1", package="a", ecosystem="Debian", fixed="9"), ecosystems=("Debian",)
    )
    assert findings([debian("openssl", "1")], sets)["uncovered"] == {"Debian:12": 1}


def by_id(packages, *records, **known):
    sets = advisories(*records)
    sets = replace(sets, known=known) if known else sets
    return {f["id"]: f for f in findings(packages, sets)["findings"]}


def test_a_record_of_two_cves_stands_under_each_and_joins_them_not():
    never = record("CVE-2001-1")
    never["affected"][0]["ranges"][0]["events"].pop()
    found = by_id(
        [python()],
        never,
        record("CVE-2001-2", fixed="9"),
        record("Z-1", aliases=["CVE-2001-1", "CVE-2001-2", "GHSA-of-one"], fixed="9"),
    )
    assert sorted(found) == ["CVE-2001-1", "CVE-2001-2"]
    one, two = found["CVE-2001-1"], found["CVE-2001-2"]
    assert (one["fixed"], one["partly_fixed"], one["aliases"]) == ("", "9", ["Z-1"])
    assert (two["fixed"], two["aliases"]) == ("9", ["Z-1"])
    assert "partly_fixed" not in two


def test_a_distributions_record_is_found_by_the_cve_that_it_is_about():
    alpine = record("ALPINE-CVE-2021-44228", upstream=["CVE-2021-44228"])
    known = {"CVE-2021-44228": {"kev": "2021-12-10"}}
    found = by_id([python()], alpine, record("GHSA-1", aliases=["CVE-2021-44228"]), **known)
    assert list(found) == ["CVE-2021-44228"]
    assert found["CVE-2021-44228"]["kev"] == "2021-12-10"
    assert found["CVE-2021-44228"]["aliases"] == ["GHSA-1", "ALPINE-CVE-2021-44228"]


def test_a_record_without_a_cve_goes_with_the_cve_of_its_alias():
    found = by_id(
        [python()],
        record("A", aliases=["B"]),
        record("C", aliases=["B", "D"]),
        record("D", aliases=["CVE-2001-1"]),
    )
    assert list(found) == ["CVE-2001-1"]
    assert found["CVE-2001-1"]["aliases"] == ["A", "B", "C", "D"]


def test_a_set_with_keys_in_a_wrong_order_is_not_pinned(tmp_path):
    entries = [{"package": {"ecosystem": "npm", "name": n}, "versions": ["1"]} for n in "ab"]
    head = {"name": "x", "date": "2026-01-01", "ecosystems": ["npm"], "basis": {}, "provenance": {}}
    data = pack(head, [{"id": "A", "affected": entries}], {})
    renamed = data.replace(b"npm\x00anpm\x00b", b"npm\x00cnpm\x00b")
    (tmp_path / "x.set").write_bytes(renamed)
    with pytest.raises(IntegrityError, match="advisory set is damaged"):
        pin_advisories(str(tmp_path), "x", "x.set")


def test_findings_do_not_depend_on_the_order_of_records():
    records = [record(f"CVE-{i}", aliases=[f"X-{i % 3}"]) for i in range(9)]
    one = findings([python()], advisories(*records))["findings"]
    random.Random(1).shuffle(records)
    assert findings([python()], advisories(*records))["findings"] == one


BAD_SETS = [
    b"",
    b"[]",
    b"\xff",
    b"{",
    b'{"name": "a"}',
    b'{"name": "a", "date": "b", "ecosystems": []}',
    b'{"name": "a", "date": "b", "ecosystems": ["PyPI"], "records": {}}',
    b'{"name": "a", "date": "b", "ecosystems": ["PyPI"], "records": [1]}',
    b'{"name": "a", "date": "b", "ecosystems": ["PyPI"], "records": [{}]}',
    b'{"name": "a", "date": "b", "ecosystems": ["PyPI"], "records": [{"id": NaN}]}',
    b'{"name": "a", "name": "b", "date": "b", "ecosystems": ["PyPI"]}',
    b'{"name": 1, "date": "b", "ecosystems": ["PyPI"]}',
    b"[" * 100_000,
    json.dumps({"name": "a", "date": "b", "ecosystems": ["PyPI"], "records": [
        {"id": "A", "affected": [{"package": {"name": "x", "ecosystem": "PyPI"},
         "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0", "fixed": "1"}]}]}]}]}
    ).encode(),
]  # fmt: skip


@pytest.mark.parametrize("data", BAD_SETS)
def test_a_malformed_advisory_set_is_refused(data):
    with pytest.raises(IntegrityError, match="advisory set"):
        read_advisories(data)


BAD_SBOMS = [
    b"{}",
    b'{"bomFormat": "SPDX"}',
    b'{"bomFormat": "CycloneDX", "components": {}}',
    b'{"bomFormat": "CycloneDX", "components": [1]}',
    b'{"bomFormat": "CycloneDX", "components": [{"name": 1}]}',
    b'{"bomFormat": "CycloneDX", "components": [{"name": "a", "purl": "nonsense"}]}',
    b'{"bomFormat": "CycloneDX", "components": [{"name": "a", "purl": 1}]}',
    (
        b'{"bomFormat": "CycloneDX", "components": [{"name": "a", "purl": "pkg:pypi/a",'
        b' "properties": [{"value": "x"}]}]}'
    ),
]


@pytest.mark.parametrize("data", BAD_SBOMS)
def test_a_malformed_sbom_is_refused(data):
    with pytest.raises(IntegrityError, match="SBOM"):
        read_packages(data)


@pytest.mark.parametrize(
    ("purl", "properties", "expected"),
    [
        ("pkg:deb/debian/a@1?distro=debian-12&upstream=b%402", {}, ("Debian:12", "b", "2")),
        ("pkg:deb/debian/a@1?distro=debian-12&upstream=b", {}, ("Debian:12", "b", "1")),
        ("pkg:deb/debian/a@1?distro=debian-12.5", {}, ("Debian:12", "a", "1")),
        ("pkg:deb/ubuntu/a@1?distro=ubuntu-22.04", {}, ("Ubuntu:22.04", "a", "1")),
        ("pkg:deb/debian/a@1", {}, ("Debian", "a", "1")),
        (
            "pkg:deb/debian/a@1?distro=debian-12",
            {"SrcName": "b", "SrcVersion": "2", "SrcRelease": "3", "SrcEpoch": "1"},
            ("Debian:12", "b", "1:2-3"),
        ),
    ],
)
def test_source_packages_are_read_from_other_tools_sboms(purl, properties, expected):
    component = {
        "name": "a",
        "purl": purl,
        "properties": [
            {"name": f"aquasecurity:trivy:{k}", "value": v} for k, v in properties.items()
        ],
    }
    (package,) = read_packages(
        json.dumps({"bomFormat": "CycloneDX", "components": [component]}).encode()
    )
    assert (package.ecosystem, package.source, package.source_version) == expected


def scan(workshop, digest=None, path=""):
    config = workshop.image(debian_layer())
    node = sbom_spec.node(target(), {}, Input(role="config", digest=config))
    sbom = sbom_run.run(workshop.bench(node, {"config": config})).outputs["sbom"]
    pinned = Input(role="advisories", digest=digest) if digest else None
    node = spec.node(target(), Input(role="sbom", digest=sbom), pinned, advisories_path=path)
    inputs = {"sbom": sbom, **({"advisories": digest} if digest else {})}
    return workshop.json(scan_run.run(workshop.bench(node, inputs)).outputs["findings"])


def real_set():
    from pathlib import Path

    return (Path(__file__).parents[2] / "catalog/advisories/debian-12.json").read_bytes()


def test_the_catalogs_own_advisories_find_real_vulnerabilities(tmp_path):
    workshop = Workshop(str(tmp_path))
    found = scan(workshop, workshop.store.blobs.put(real_set()))
    joblib = next(f for f in found["findings"] if f["package"] == "joblib")
    assert (joblib["id"], joblib["severity"], joblib["fixed"]) == (
        "CVE-2022-21797", "critical", "1.2.0",
    )  # fmt: skip
    assert joblib["aliases"] == ["GHSA-6hrg-qmvc-2xh8", "PYSEC-2022-288"]
    ssl = [f for f in found["findings"] if f["package"] == "libssl3"]
    assert len(ssl) > 5
    assert {f["severity"] for f in ssl} == {"unknown"}
    assert {tuple(f["origins"]) for f in ssl} == {("changelog",)}
    assert found["packages"]["owned"] == 1


def test_a_set_that_only_the_workspace_has_is_read_and_checked(tmp_path):
    workshop = Workshop(str(tmp_path))
    (tmp_path / "set.json").write_bytes(real_set())
    assert scan(workshop, sha256_of(real_set()), "set.json")["scanned"] is True


def test_a_set_with_other_bytes_than_the_pinned_ones_is_refused(tmp_path):
    workshop = Workshop(str(tmp_path))
    (tmp_path / "set.json").write_bytes(real_set() + b" ")
    with pytest.raises(IntegrityError, match="not the pinned one"):
        scan(workshop, sha256_of(real_set()), "set.json")


@pytest.mark.parametrize("path", ["", "set.json"])
def test_a_missing_set_says_how_to_get_it(tmp_path, path):
    with pytest.raises(UnavailableError) as caught:
        scan(Workshop(str(tmp_path)), sha256_of(real_set()), path)
    assert "ssds lock" in caught.value.hint


def test_without_a_set_the_scan_says_so(tmp_path):
    workshop = Workshop(str(tmp_path))
    found = scan(workshop)
    assert found["scanned"] is False
    assert "not scanned" in workshop.said[-2]


def test_a_set_is_pinned_by_its_bytes_and_the_date_of_its_newest_record(tmp_path):
    (tmp_path / "set.json").write_bytes(real_set())
    pin = pin_advisories(str(tmp_path), "debian-12", "set.json")
    assert (pin.name, pin.path, pin.size_bytes) == ("debian-12", "set.json", len(real_set()))
    assert pin.digest == sha256_of(real_set())
    assert pin.date == json.loads(real_set())["date"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "V003"),
        (b"{", "O002"),
        (b'{"name": "a", "date": "soon", "ecosystems": ["PyPI"]}', "V007"),
    ],
)
def test_what_cannot_be_pinned_is_an_error(tmp_path, content, code):
    if content is not None:
        (tmp_path / "set.json").write_bytes(content)
    with pytest.raises((IntegrityError, UnavailableError)) as caught:
        pin_advisories(str(tmp_path), "debian-12", "set.json")
    assert caught.value.code == code
    assert caught.value.hint
