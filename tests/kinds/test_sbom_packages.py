"""Packages of apk, rpm, R, npm and Julia, and what hostile databases come to."""

from __future__ import annotations

import random
import struct

import pytest
from package_databases import (
    APK,
    ROCKY,
    alpine_files,
    blobs_of,
    language_files,
    ndb,
    rpm_database,
)
from sbom_images import layer

from ssds.core.errors import IntegrityError
from ssds.kinds.sbom.component import component_of
from ssds.kinds.sbom.inventory import take
from ssds.kinds.sbom.rpm_database import ndb_headers, sqlite_headers
from ssds.kinds.sbom.rpm_header import read_header
from ssds.oci.flatten import flatten


def inventory(folder, files, **more):
    path = folder / "layer.tar"
    path.write_bytes(layer(files, **more))
    return take(flatten([str(path)]))


def purls(found):
    return {str(component_of(p, found.distribution)["purl"]) for p in found.packages}


@pytest.fixture(scope="module")
def rpmdb(tmp_path_factory):
    return rpm_database(tmp_path_factory.mktemp("rpm"))


def test_apk_packages_carry_their_origin_and_own_their_files(tmp_path):
    found = inventory(tmp_path, alpine_files())

    assert purls(found) == {
        "pkg:apk/alpine/musl@1.2.4-r2?arch=x86_64&distro=alpine-3.18.4",
        "pkg:apk/alpine/libcrypto3@3.1.4-r1?arch=x86_64&distro=alpine-3.18.4&upstream=openssl",
    }
    assert found.owned == {"apk": 2}
    assert found.unowned == 2  # os-release and /opt/mine


@pytest.mark.component("rpm")
@pytest.mark.parametrize("name", ["rpmdb.sqlite", "Packages.db"])
@pytest.mark.parametrize("folder", ["var/lib/rpm", "usr/lib/sysimage/rpm"])
def test_rpm_packages_carry_epoch_and_source_and_own_their_files(tmp_path, rpmdb, folder, name):
    data = rpmdb if name == "rpmdb.sqlite" else ndb(blobs_of(rpmdb))
    files = {"usr/lib/os-release": ROCKY, "usr/share/tool/a": "a", f"{folder}/{name}": data}

    found = inventory(tmp_path, files, links={"etc/os-release": "../usr/lib/os-release"})

    rest = "1.2%5Egit1-3.el9?arch=noarch&distro=rocky-9.3&epoch=2&upstream="
    assert purls(found) == {
        f"pkg:rpm/rocky/tool@{rest}tool%401.2%5Egit1-3.el9".replace(
            "&upstream=tool%401.2%5Egit1-3.el9", ""
        ),
        f"pkg:rpm/rocky/tool-libs@{rest}tool",
    }
    assert found.owned == {"rpm": 1}
    assert found.unread == ()


def test_berkeley_databases_and_unfinished_logs_of_rpm_are_reported_as_unread(tmp_path):
    assert inventory(tmp_path, {"var/lib/rpm/Packages": "x"}).unread == ("rpm",)
    assert inventory(tmp_path, {"var/lib/rpm/rpmdb.sqlite-wal": "x"}).unread == ("rpm",)


@pytest.mark.component("rpm")
def test_a_damaged_rpm_database_is_an_error_or_is_read_and_nothing_else(rpmdb):
    small = ndb(blobs_of(rpmdb))
    chance = random.Random(8)
    refused = 0
    for whole, headers in ((rpmdb, sqlite_headers), (small, ndb_headers)):
        for _ in range(60):
            data = bytearray(
                whole[: chance.randrange(len(whole))] if chance.random() < 0.3 else whole
            )
            for _ in range(chance.randrange(1, 40)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            try:
                for blob in headers(bytes(data)):
                    read_header(blob)
            except IntegrityError:
                refused += 1
    assert refused > 20


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "0 bytes"),
        (struct.pack(">II", 0xFFFFFFFF, 8), "cut off"),
        (struct.pack(">II", 1, 0xFFFFFFFF) + bytes(16), "cut off"),
        (struct.pack(">IIIIII", 1, 4, 1000, 6, 99, 1) + b"abc\0", "outside"),
        (struct.pack(">IIIIII", 1, 4, 1000, 6, 0, 1) + b"abcd", "outside"),
        (struct.pack(">IIIIII", 1, 2, 1000, 6, 0, 1) + b"a\0", "no name or version"),
    ],
)
def test_a_header_that_does_not_fit_its_bytes_is_refused(data, why):
    with pytest.raises(IntegrityError, match=why):
        read_header(data)


def header_of_files(folder, names):
    """A package header whose files are ``names``, all in ``folder``."""
    parts = {
        1000: (6, 1, b"a\0"), 1001: (6, 1, b"1\0"), 1118: (8, 1, folder + b"\0"),
        1116: (4, len(names), bytes(4 * len(names))),
        1117: (8, len(names), b"".join(n + b"\0" for n in names)),
    }  # fmt: skip
    index, store = b"", b""
    for tag, (kind, count, data) in parts.items():
        index += struct.pack(">IIII", tag, kind, len(store), count)
        store += data
    return struct.pack(">II", len(parts), len(store)) + index + store


def test_a_small_header_that_unfolds_to_gigabytes_of_paths_is_refused():
    assert read_header(header_of_files(b"/a/", [b"b", b"c"])).files == ("/a/b", "/a/c")
    for folder, count in ((b"/" * 4097, 1), (b"/" * 4096, 20_000)):
        with pytest.raises(IntegrityError, match="too long"):
            read_header(header_of_files(folder, [b"x"] * count))


def test_a_view_in_place_of_rpms_table_is_refused(tmp_path):
    import sqlite3

    path = tmp_path / "x.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE VIEW Packages AS WITH RECURSIVE n(hnum) AS "
            "(SELECT 1 UNION ALL SELECT hnum + 1 FROM n) SELECT hnum, x'00' AS blob FROM n"
        )
    with pytest.raises(IntegrityError, match="no table Packages"):
        list(sqlite_headers(path.read_bytes()))


@pytest.mark.parametrize("text", [APK.replace("P:musl\n", ""), APK.replace("V:1.2.4-r2", "V:")])
def test_a_damaged_apk_database_is_an_error(tmp_path, text):
    with pytest.raises(IntegrityError, match="/lib/apk/db/installed is damaged"):
        inventory(tmp_path, {"lib/apk/db/installed": text})


def test_packages_of_r_npm_and_julia_are_found_with_their_files(tmp_path):
    found = inventory(tmp_path, language_files())

    uuids = "uuid=cd3eb016-35fb-5094-929b-558a96fad6f3"
    assert purls(found) == {
        "pkg:cran/Rcpp@1.0.11",
        "pkg:bioconductor/Biobase@2.60.0",
        "pkg:npm/lodash@4.17.20",
        "pkg:npm/inner@1.0.0",
        "pkg:npm/%40types/node@20.1.0",
        f"pkg:julia/HTTP@1.10.0?{uuids}",
        "pkg:julia/LibCURL_jll@8.4.0%2B0?uuid=deac9b47-8bc7-5906-a0fe-35ac56dc84c0",
    }
    assert found.owned == {"bioconductor": 1, "cran": 2, "julia": 2, "npm": 5}
    assert found.unreadable == ()


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("x/node_modules/a/package.json", '{"name": "../a", "version": "1 2"}'),
        ("x/node_modules/a/package.json", '{"name": ["a"], "version": "1"}'),
        ("x/node_modules/a/package.json", "[" * 100_000),
        ("x/library/a/DESCRIPTION", "Package: a\nPackage: b\nBuilt: x\n"),
        ("x/library/a/DESCRIPTION", "Package: a\nVersion: 1 2\nBuilt: x\n"),
        ("x/packages/A/abcde/Project.toml", "name = "),
        ("x/packages/A/abcde/Project.toml", 'name = 1\nversion = "1"\n'),
        ("x/packages/A/abcde/Project.toml", b"\xff\xfe"),
        ("x/environments/v1/Manifest.toml", '[[A]]\nversion = "1 2"\n'),
    ],
)
def test_a_hostile_record_of_a_language_is_reported_and_harms_nothing(tmp_path, path, content):
    found = inventory(tmp_path, {path: content})

    assert found.packages == ()
    assert found.unreadable == (path,)
