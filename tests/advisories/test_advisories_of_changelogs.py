"""The advisory set: built from changelogs and OSV records, facts only, the same bytes again."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from ssds.advisories.build import Request, Source, build
from ssds.advisories.changelogs import fixes_of
from ssds.advisories.osv import evaluate, read_advisories
from ssds.core.errors import IntegrityError
from ssds.packages.debian import changelog_entries

COMMITTED = Path(__file__).parents[2] / "catalog/advisories/debian-12.json"

CHANGELOG = """zlib (1:1.2.13.dfsg-1+deb12u2) bookworm-security; urgency=high

  * Drop the patch of CVE-2023-0001, upstream has it.
  * Fix CVE-2023-0002 and CVE-2023-0003.

 -- A Person <a@example.org>  Tue, 04 Mar 2025 10:00:00 +0100

zlib (1:1.2.13.dfsg-1+deb12u1) bookworm; urgency=medium

  * Fix CVE-2023-0001.

 -- A Person <a@example.org>  Mon, 01 Jan 2024 23:30:00 -0100

zlib (1:1.2.13.dfsg-1) unstable; urgency=medium

  * Fix CVE-2022-9999.

 -- A Person <a@example.org>  Sat, 05 Nov 2022 10:00:00 +0100

other (1.0) bookworm; urgency=low

  * Fix CVE-2020-1111 in what was another package then.

 -- A Person <a@example.org>  not a date
"""

PYSEC = """id: PYSEC-2022-288
details: Text that must not be copied.
modified: 2024-01-01T00:00:00Z
published: '2022-09-26T05:15:00Z'
aliases: [CVE-2022-21797]
affected:
- package: {name: Job_Lib, ecosystem: PyPI, purl: pkg:pypi/joblib}
  ranges:
  - type: GIT
    repo: https://git.example.org/joblib
    events: [{introduced: '0'}, {fixed: abc}]
  - type: ECOSYSTEM
    events: [{introduced: '0'}, {fixed: 1.2.0}]
  versions: [0.1, 1.10, 1.1.0, 1.2.1]
references: [{type: WEB, url: 'https://example.org/'}]
"""


def tar_of(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def deb(path, *, package="zlib1g", source="zlib (1:1.2.13.dfsg-1+deb12u2)", changelog=CHANGELOG):
    control = f"Package: {package}\nVersion: 1\nArchitecture: amd64\nSource: {source}\n"
    parts = {
        "debian-binary": b"2.0\n",
        "control.tar": tar_of({"./control": control.encode()}),
        "data.tar": tar_of(
            {f"./usr/share/doc/{package}/changelog.Debian.gz": gzip.compress(changelog.encode())}
        ),
    }
    data = b"!<arch>\n"
    for name, content in parts.items():
        data += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        data += content + b"\n" * (len(content) % 2)
    path.write_bytes(data)


@pytest.fixture
def inputs(tmp_path):
    (tmp_path / "debs").mkdir()
    deb(tmp_path / "debs" / "zlib1g.deb")
    deb(tmp_path / "debs" / "zlib1g-dev.deb", package="zlib1g-dev")
    (tmp_path / "osv" / "joblib").mkdir(parents=True)
    (tmp_path / "osv" / "joblib" / "PYSEC-2022-288.yaml").write_text(PYSEC)
    return tmp_path


def request(folder, **more):
    return Request(
        name="debian-12",
        suite="bookworm",
        release="Debian:12",
        sources=(
            Source(kind="debs", path=str(folder / "debs"), label="changelog"),
            Source(kind="folder", path=str(folder / "osv"), label="pypa"),
        ),
        as_json=True,
        **more,
    )


def by_id(data):
    return {record["id"]: record for record in json.loads(data)["records"]}


def test_changelogs_say_which_version_fixed_what(inputs):
    records = by_id(build(request(inputs)))
    fixed = {
        name: record["affected"][0]["ranges"][0]["events"][1]["fixed"]
        for name, record in records.items()
        if record["origin"] == "changelog"
    }
    assert fixed == {
        "CVE-2023-0001": "1:1.2.13.dfsg-1+deb12u1",
        "CVE-2023-0002": "1:1.2.13.dfsg-1+deb12u2",
        "CVE-2023-0003": "1:1.2.13.dfsg-1+deb12u2",
    }
    assert records["CVE-2023-0001"]["modified"] == "2024-01-02"
    assert "severity" not in records["CVE-2023-0001"]


def test_entries_of_other_suites_and_other_sources_are_left_out():
    fixes = list(fixes_of(changelog_entries(CHANGELOG), "zlib", "bookworm"))
    assert {fix.id for fix in fixes}.isdisjoint({"CVE-2022-9999", "CVE-2020-1111"})
    assert {fix.suite for fix in fixes} == {"bookworm", "bookworm-security"}


def test_osv_records_keep_facts_only(inputs):
    data = build(request(inputs))
    assert by_id(data)["PYSEC-2022-288"] == {
        "id": "PYSEC-2022-288",
        "aliases": ["CVE-2022-21797"],
        "modified": "2024-01-01",
        "origin": "pypa",
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": "job-lib"},
                "ranges": [
                    {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.2.0"}]}
                ],
                "versions": ["1.10", "1.2.1"],
            }
        ],
    }
    assert b"must not be copied" not in data


def test_a_trimmed_record_gives_the_same_answers(inputs):
    ((_, affected),) = read_advisories(build(request(inputs))).about("PyPI", "job_lib")
    for version, hit in {
        "0.1": True,
        "1.1.0": True,
        "1.2.0": False,
        "1.2.1": True,
        "1.10": True,
    }.items():
        assert evaluate(affected, "PyPI", version).affected is hit


def test_the_set_has_the_date_of_its_newest_record_and_is_the_same_again(inputs):
    data = build(request(inputs))
    assert json.loads(data)["date"] == "2025-03-04"
    assert build(request(inputs)) == data
    assert len(data.splitlines()) == len(json.loads(data)["records"]) + 9


def test_only_the_wanted_packages_are_kept(inputs):
    data = build(request(inputs, packages=frozenset({"numpy"})))
    assert "PYSEC-2022-288" not in by_id(data)
    assert json.loads(data)["ecosystems"] == ["Debian:12"]


def test_withdrawn_records_are_not_in_the_set(inputs):
    (inputs / "osv" / "joblib" / "PYSEC-2022-288.yaml").write_text(PYSEC + "withdrawn: 2024\n")
    assert "PYSEC-2022-288" not in by_id(build(request(inputs)))


@pytest.mark.parametrize("text", ["[1, 2", "id: 1\nid: [\n", "id: X\nmodified: [a]\naffected: 3\n"])
def test_a_broken_record_is_named(inputs, text):
    (inputs / "osv" / "joblib" / "PYSEC-2022-288.yaml").write_text(text)
    with pytest.raises(IntegrityError, match="PYSEC-2022-288"):
        build(request(inputs))


def test_the_committed_set_is_small_sorted_and_says_where_its_records_come_from():
    data = COMMITTED.read_bytes()
    document = json.loads(data)
    assert len(data) < 300_000
    assert set(document["provenance"]) == {r["origin"] for r in document["records"]}
    assert document["ecosystems"] == ["Debian:12", "PyPI"]
    assert [r["id"] for r in document["records"]] == sorted(r["id"] for r in document["records"])
    assert document["date"] == max(r["modified"] for r in document["records"])
    assert not {"details", "summary", "references"} & {k for r in document["records"] for k in r}
    assert read_advisories(data).covers("Debian:12")


def test_every_waiver_of_the_catalog_is_for_a_vulnerability_that_the_set_knows():
    import yaml

    known = {
        (name, affected["package"]["name"])
        for record in json.loads(COMMITTED.read_bytes())["records"]
        for name in (record["id"], *record.get("aliases", ()))
        for affected in record["affected"]
    }
    waivers = [
        (waiver["id"], waiver["package"])
        for recipe in COMMITTED.parents[1].glob("*/recipe.yaml")
        for waiver in (yaml.safe_load(recipe.read_text()).get("scan") or {}).get("waivers", ())
    ]
    assert waivers
    assert set(waivers) <= known
