"""Advisory sets of public data in its published forms, and what hostile ones come to."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssds.advisories import sources
from ssds.advisories.build import Request, Source, build
from ssds.advisories.export import osv_zip
from ssds.advisories.osv import evaluate
from ssds.advisories.pack import MAGIC, pack, read_set, verify
from ssds.core.errors import IntegrityError, SsdsError, UsageError

ALPINE = {
    "id": "ALPINE-CVE-2023-5363",
    "modified": "2024-02-01T00:00:00Z",
    "upstream": ["CVE-2023-5363"],
    "affected": [
        {
            "package": {"ecosystem": "Alpine:v3.18", "name": "openssl"},
            "ranges": [
                {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.1.4-r0"}]}
            ],
        }
    ],
}
NPM = {
    "id": "GHSA-xxxx-yyyy-zzzz",
    "modified": "2024-03-01T00:00:00Z",
    "aliases": ["CVE-2021-23337"],
    "database_specific": {"severity": "HIGH"},
    "affected": [
        {
            "package": {"ecosystem": "npm", "name": "lodash"},
            "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "4.17.21"}]}],
        }
    ],
}
WITHDRAWN = {**NPM, "id": "GHSA-gone", "withdrawn": "2024-01-01T00:00:00Z"}
TRACKER = {
    "openssl": {
        "CVE-2024-0001": {
            "description": "Text that must not be copied.",
            "releases": {
                "bookworm": {
                    "status": "resolved",
                    "fixed_version": "3.0.13-1~deb12u1",
                    "urgency": "not yet assigned",
                },
                "trixie": {"status": "resolved", "fixed_version": "0", "urgency": "unimportant"},
                "sid": {"status": "resolved", "fixed_version": "3.1-1"},
            },
        },
        "CVE-2024-0002": {
            "releases": {
                "bookworm": {
                    "status": "open",
                    "urgency": "unimportant",
                    "nodsa": "Minor",
                    "nodsa_reason": "ignored",
                },
                "bullseye": {"status": "open", "urgency": "end-of-life"},
                "trixie": {"status": "undetermined"},
            }
        },
    }
}
JULIA = """```toml
schema_version = "1.7.3"
id = "JLSEC-2025-7"
modified = 2025-10-22T22:35:32.167Z
upstream = ["CVE-2020-36423"]

[[affected]]
pkg = "MbedTLS_jll"
ranges = ["< 2.16.8+0", ">= 2.20.0+0, < 2.24.0+0"]
```

# Text that must not be copied
"""
KEV = {
    "dateReleased": "2025-08-25",
    "vulnerabilities": [{"cveID": "CVE-2021-23337", "dateAdded": "2022-01-10"}],
}
EPSS = (
    "#model_version:v2025.03.14,score_date:2025-08-25\ncve,epss,percentile\n"
    "CVE-2021-23337,0.00421,0.61\nCVE-1999-0001,0.1,0.9\n"
)


def zip_of(path, entries, **more):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in entries:
            archive.writestr(name, value if isinstance(value, bytes) else json.dumps(value))
    return str(path)


def source(kind, path, label=""):
    return Source(kind=kind, path=str(path), label=label or kind)


@pytest.fixture
def published(tmp_path):
    """Every kind of source, as it is published."""
    (tmp_path / "julia").mkdir()
    (tmp_path / "julia" / "JLSEC-2025-7.md").write_text(JULIA)
    (tmp_path / "julia" / "README.md").write_text("# Advisories\n")
    (tmp_path / "julia" / "package.json").write_text('{"name": "no advisory"}')
    (tmp_path / "tracker.json").write_text(json.dumps(TRACKER))
    (tmp_path / "kev.json").write_text(json.dumps(KEV))
    (tmp_path / "epss.csv.gz").write_bytes(gzip.compress(EPSS.encode()))
    (tmp_path / "debian.csv").write_text(
        "version,codename,series,created,release,eol\n10,Buster,buster,2017-06-17,2019-07-06,2022-09-10\n"
        "11,Bullseye,bullseye,2019-07-06,2021-08-14,2024-08-14\n"
    )
    export = zip_of(
        tmp_path / "all.zip", [("A.json", ALPINE), ("N.json", NPM), ("W.json", WITHDRAWN)]
    )
    return (
        source("osv", export),
        source("folder", tmp_path / "julia", "julia"),
        source("debian", tmp_path / "tracker.json"),
        source("kev", tmp_path / "kev.json"),
        source("epss", tmp_path / "epss.csv.gz"),
        source("eol", tmp_path / "debian.csv"),
    )


def made(sources_, **more):
    return build(Request(name="all", sources=tuple(sources_), **more))


def ids(found, ecosystem, name):
    return sorted(record.id for record, _ in found.about(ecosystem, name))


@pytest.mark.parametrize("as_json", [False, True])
def test_a_set_says_what_its_sources_said(published, as_json):
    found = read_set(made(published, as_json=as_json))

    assert found.date == "2025-10-22"
    assert ids(found, "Alpine:v3.18", "openssl") == ["ALPINE-CVE-2023-5363"]
    assert ids(found, "npm", "lodash") == ["GHSA-xxxx-yyyy-zzzz"]
    assert ids(found, "Debian:12", "openssl") == ["CVE-2024-0001", "CVE-2024-0002"]
    assert ids(found, "Debian:13", "openssl") == ["CVE-2024-0002"]
    assert ids(found, "Debian:12", "no-such-package") == []
    states = {
        (e, r.id): (a.state, a.urgency)
        for e in ("Debian:11", "Debian:12", "Debian:13")
        for r, a in found.about(e, "openssl")
    }
    assert states == {
        ("Debian:11", "CVE-2024-0002"): ("end-of-life", ""),
        ("Debian:12", "CVE-2024-0001"): ("", ""),
        ("Debian:12", "CVE-2024-0002"): ("ignored", "unimportant"),
        ("Debian:13", "CVE-2024-0002"): ("undetermined", ""),
    }
    ((_, julia),) = found.about("Julia", "MbedTLS_jll")
    hits = {
        v: evaluate(julia, "Julia", v).affected
        for v in ("2.16.7+9", "2.16.8+0", "2.20.0+1", "2.24.0+0")
    }
    assert list(hits.values()) == [True, False, True, False]
    assert found.facts("CVE-2021-23337") == {"kev": "2022-01-10", "epss": "0.00421"}
    assert found.facts("CVE-1999-0001") == {}
    assert found.facts("Debian:11") == {"eol": "2024-08-14"}
    assert found.covers("Debian:12")
    assert not found.covers("PyPI")
    assert verify(found) == 7


def test_the_same_sources_give_the_same_bytes_in_any_order(published):
    assert made(published) == made(reversed(published))
    assert b"must not be copied" not in made(published)


def test_only_wanted_ecosystems_are_kept(published):
    found = read_set(made(published, ecosystems=frozenset({"Debian:12", "npm"})))

    assert found.ecosystems == ("Debian:12", "npm")
    assert ids(found, "Julia", "MbedTLS_jll") == []


def test_sources_without_an_advisory_are_no_set(published):
    with pytest.raises(UsageError, match="no source has an advisory"):
        made(published[3:])


def test_an_export_for_other_scanners_is_read_back_as_the_same_set(published, tmp_path):
    found = read_set(made(published))
    (tmp_path / "again.zip").write_bytes(osv_zip(found))

    again = read_set(made([source("osv", tmp_path / "again.zip"), *published[3:]]))

    assert dict(again.packages).keys() == dict(found.packages).keys()
    for ecosystem, name in found.packages:
        assert [a for _, a in again.about(ecosystem, name)] == [
            a for _, a in found.about(ecosystem, name)
        ]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_set_of_some_packages_covers_no_others(tmp_path, as_json):
    records = [
        {
            "id": f"X-{name}",
            "affected": [{"package": {"ecosystem": "PyPI", "name": name}, "versions": ["1"]}],
        }
        for name in ("PyYAML", "numpy", "scipy")
    ]
    export = zip_of(tmp_path / "all.zip", [(f"{r['id']}.json", r) for r in records])
    wanted = frozenset({"PyYAML", "NumPy"})
    found = read_set(made([source("osv", export)], packages=wanted, as_json=as_json))

    assert ids(found, "PyPI", "pyyaml") == ["X-PyYAML"]
    assert ids(found, "PyPI", "numpy") == ["X-numpy"]
    assert found.covers("PyPI", "pyyaml")
    assert found.covers("PyPI", "Numpy")
    assert not found.covers("PyPI", "scipy")
    assert read_set(made([source("osv", export)])).covers("PyPI", "scipy")


def test_a_record_of_git_commits_only_is_kept_and_decides_nothing(tmp_path):
    git = {"type": "GIT", "repo": "x", "events": [{"introduced": "0"}]}
    entry = {"package": {"ecosystem": "PyPI", "name": "a"}, "ranges": [git]}
    export = zip_of(tmp_path / "all.zip", [("A.json", {"id": "A", "affected": [entry]})])
    ((_, seen),) = read_set(made([source("osv", export)])).about("PyPI", "a")
    assert evaluate(seen, "PyPI", "1").undecided


def test_facts_on_the_cve_that_a_distributions_record_is_about_are_kept(tmp_path):
    export = zip_of(tmp_path / "all.zip", [("A.json", ALPINE)])
    (tmp_path / "kev.json").write_text(
        json.dumps({"vulnerabilities": [{"cveID": "CVE-2023-5363", "dateAdded": "2023-11-01"}]})
    )
    found = read_set(made([source("osv", export), source("kev", tmp_path / "kev.json")]))
    ((seen, _),) = found.about("Alpine:v3.18", "openssl")
    assert seen.upstream == ("CVE-2023-5363",)
    assert found.facts("CVE-2023-5363") == {"kev": "2023-11-01"}


def test_the_family_of_a_table_of_ends_is_in_its_name_and_not_in_its_folders(published, tmp_path):
    home = tmp_path / "ubuntu"
    home.mkdir()
    (home / "debian.csv").write_text("version,eol\n11,2024-08-14\n")
    found = read_set(made([published[2], source("eol", home / "debian.csv")]))
    assert found.facts("Debian:11") == {"eol": "2024-08-14"}


# --- hostile sources -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([("../A.json", NPM)], "leaves its folder"),
        ([("/A.json", NPM)], "leaves its folder"),
        ([("a\\..\\A.json", NPM)], "leaves its folder"),
        ([("A.json", NPM), ("A.json", NPM)], "stands twice"),
        ([("A.json", b"[]")], "expected a map"),
        ([("A.json", b"{")], "not JSON"),
        ([("A.json", b'{"modified": "x"}')], "id"),
        ([("A.json", b" " * 9_000_000)], "too large"),
        ([("A.json", b" " * 4_000_000)], "too large"),  # it grows a thousandfold
        ([("README", b"x")], "no OSV record"),
        ([("A.json", b'{"id": "X", "affected": [{"package": {"name": "x"}}]}')], "ecosystem"),
        ([("A.json", b'{"id": "X", "id": "Y"}')], "twice"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_hostile_export_is_refused_and_says_where(tmp_path, entries, why):
    path = zip_of(tmp_path / "all.zip", entries)

    with pytest.raises(IntegrityError, match=why) as caught:
        made([source("osv", path)])
    assert "all.zip" in caught.value.message


@pytest.mark.parametrize("cut", [0, 10, 100, -30])
def test_a_truncated_export_is_refused(tmp_path, cut):
    path = tmp_path / "all.zip"
    zip_of(path, [("A.json", NPM), ("B.json", ALPINE)])
    path.write_bytes(path.read_bytes()[:cut])

    with pytest.raises(IntegrityError, match="damaged or unknown zip"):
        made([source("osv", path)])


def test_a_damaged_lzma_entry_is_refused(tmp_path):
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("A.json", json.dumps(NPM))
    data = bytearray(path.read_bytes())
    data[40:49] = b"\xff" * 9  # the properties of LZMA
    path.write_bytes(bytes(data))

    with pytest.raises(IntegrityError, match="damaged or unknown zip"):
        made([source("osv", path)])


def test_yaml_aliases_are_refused_before_they_unfold(tmp_path):
    bomb = "a0: &a0 [x, x]\n" + "".join(
        f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60)
    )
    (tmp_path / "A.yaml").write_text(f"id: A\nmodified: 2024-01-01\n{bomb}affected: *a59\n")

    with pytest.raises(IntegrityError, match=r"A\.yaml: has a YAML alias"):
        made([source("folder", tmp_path)])


def test_a_star_that_is_no_alias_is_read(tmp_path):
    (tmp_path / "A.yaml").write_text(
        "id: A\nmodified: '2024-01-01'\ndetails: 'R & D: *p'\n"
        "affected: [{package: {ecosystem: CRAN, name: a}, versions: ['1']}]\n"
    )
    assert ids(read_set(made([source("folder", tmp_path)])), "CRAN", "a") == ["A"]


def test_a_publishers_record_cannot_stand_among_the_facts(tmp_path):
    entry = {"package": {"ecosystem": "~facts", "name": "CVE-2021-23337"}, "versions": ["1"]}
    forged = {"id": "F", "affected": [entry]}
    export = zip_of(tmp_path / "all.zip", [("F.json", forged), ("N.json", NPM)])
    found = read_set(made([source("osv", export)]))
    assert found.facts("CVE-2021-23337") == {}
    assert verify(found) == 1


def test_an_entry_that_lies_about_its_size_is_refused(tmp_path):
    path = tmp_path / "all.zip"
    zip_of(path, [("A.json", json.dumps({**NPM, "x": "y" * 5000}).encode())])
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\x01\x02")
    struct.pack_into("<I", data, at + 24, 50)  # the size after unpacking, in the directory
    path.write_bytes(bytes(data))

    with pytest.raises(IntegrityError):
        made([source("osv", path)])


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("kev", b"{"),
        ("kev", b'{"vulnerabilities": []}'),
        ("kev", b'{"vulnerabilities": [{"cveID": "no", "dateAdded": "2022-01-01"}]}'),
        ("kev", b'{"vulnerabilities": [{"cveID": "CVE-2022-1234", "dateAdded": "soon"}]}'),
        ("kev", b'{"vulnerabilities": {"cveID": 1}}'),
        ("epss", b"a,b\n1,2\n"),
        ("epss", b"cve,epss\nCVE-2022-1234,2.5\n"),
        ("epss", b"cve,epss\nCVE-2022-1234,nan\n"),
        ("epss", b"cve,epss\nhttp://x,0.5\n"),
        ("epss", b"\x1f\x8b\x08garbage"),
        ("debian", b"[]"),
        ("debian", b'{"a": 3}'),
        ("debian", b'{"a": {"CVE-1": {"releases": {"bookworm": []}}}}'),
        ("debian", b'{"a": {"CVE-1": {"releases": {"bookworm": {"status": 3}}}}}'),
        ("eol", b"\xff\xfe\x00"),
        ("eol", b"version,eol\n12,soon\n"),
    ],
)
def test_a_hostile_table_is_refused(published, tmp_path, kind, data):
    path = tmp_path / "hostile"
    path.write_bytes(data)

    with pytest.raises(IntegrityError, match="hostile"):
        made([published[0], source(kind, path)])


@pytest.mark.parametrize(
    "text",
    [
        JULIA.replace('id = "JLSEC-2025-7"', "id = "),
        JULIA.replace('"< 2.16.8+0"', '"> 2.16.8+0"'),
        JULIA.replace('"< 2.16.8+0"', '"about 2"'),
        JULIA.replace('pkg = "MbedTLS_jll"', ""),
        JULIA.replace("ranges = [", "ranges = 3 #"),
    ],
)
def test_a_hostile_record_of_julia_is_refused(tmp_path, text):
    (tmp_path / "A.md").write_text(text)

    with pytest.raises(IntegrityError, match=r"A\.md"):
        made([source("folder", tmp_path)])


def test_a_folder_is_not_left_through_a_link(tmp_path):
    (tmp_path / "secret.json").write_text(json.dumps(NPM))
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / "a.json").symlink_to(tmp_path / "secret.json")

    with pytest.raises(SsdsError, match="holds no advisory"):
        list(sources.folder(str(tmp_path / "checkout")))


# --- forged sets ---------------------------------------------------------------------------------

HEAD = {"name": "x", "date": "2024-01-01", "ecosystems": ["npm"], "basis": {}, "provenance": {}}


def tiny():
    record = {
        "id": "A",
        "affected": [{"package": {"ecosystem": "npm", "name": "a"}, "versions": ["1"]}],
    }
    return pack(HEAD, [record, {**record, "id": "B"}], {"A": {"kev": "2024-01-01"}})


def test_a_set_of_which_a_record_stands_under_another_name_is_refused():
    data = tiny().replace(b"npm\x00a", b"npm\x00b")
    with pytest.raises(IntegrityError, match="another name"):
        verify(read_set(data))


def test_a_set_whose_keys_are_not_sorted_is_refused():
    entries = [{"package": {"ecosystem": "npm", "name": n}, "versions": ["1"]} for n in "ab"]
    data = pack(HEAD, [{"id": "A", "affected": entries}], {})
    for one, other in ((b"npm\x00anpm\x00b", b"npm\x00bnpm\x00a"), (b'"a"', b'"!"')):
        data = data.replace(one, other)
    data = data.replace(b'"b"', b'"a"').replace(b'"!"', b'"b"')
    with pytest.raises(IntegrityError, match="not sorted"):
        verify(read_set(data))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_set_is_refused_or_read_and_nothing_else(data):
    whole = bytearray(tiny())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    for damaged in (bytes(whole), bytes(whole[:cut])):
        try:
            found = read_set(damaged)
            verify(found)
            found.about("npm", "a")
            found.facts("A")
        except IntegrityError:
            pass


def test_sizes_that_do_not_fit_are_refused_before_anything_is_reserved():
    huge = MAGIC + struct.pack("<QQQQ", 1 << 62, 1 << 62, 1 << 62, 1 << 62) + bytes(100)
    with pytest.raises(IntegrityError, match="sizes do not fit"):
        read_set(huge)
    assert io.BytesIO(huge).read(8) == MAGIC
