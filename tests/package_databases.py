"""Package databases as their own programs write them: rpm's by rpm, others by their formats."""

from __future__ import annotations

import json
import sqlite3
import struct
import subprocess
import zlib

APK = """C:Q1abc=
P:musl
V:1.2.4-r2
A:x86_64
S:1
L:MIT
o:musl
F:lib
R:ld-musl-x86_64.so.1
a:0:0:755
F:usr/share

C:Q1def=
P:libcrypto3
V:3.1.4-r1
A:x86_64
L:Apache-2.0
o:openssl
F:lib
R:libcrypto.so.3

"""
ALPINE = 'ID=alpine\nVERSION_ID=3.18.4\nPRETTY_NAME="Alpine Linux v3.18"\n'
ROCKY = 'ID="rocky"\nVERSION_ID="9.3"\nPRETTY_NAME="Rocky Linux 9.3"\n'
SPEC = """Name: tool
Version: 1.2^git1
Release: 3.el9
Epoch: 2
Summary: x
License: MIT
BuildArch: noarch
%description
x
%package libs
Summary: y
%description libs
y
%install
mkdir -p %{buildroot}/usr/share/tool
echo a > %{buildroot}/usr/share/tool/a
echo b > %{buildroot}/usr/share/tool/b
%files
/usr/share/tool/a
%files libs
/usr/share/tool/b
"""


def alpine_files():
    """Returns the files of a tiny Alpine root."""
    return {
        "etc/os-release": ALPINE,
        "lib/apk/db/installed": APK,
        "lib/ld-musl-x86_64.so.1": "x",
        "lib/libcrypto.so.3": "x",
        "opt/mine": "x",
    }


def rpm_database(folder):
    """Returns the bytes of a rpmdb.sqlite into which rpm installed two packages that it built."""
    (folder / "tool.spec").write_text(SPEC)
    quiet = {"check": True, "capture_output": True}
    subprocess.run(
        ["rpmbuild", "-bb", "--define", f"_topdir {folder}", str(folder / "tool.spec")], **quiet
    )
    built = [str(path) for path in (folder / "RPMS").rglob("*.rpm")]
    root = folder / "root"
    root.mkdir()
    where = ["--root", str(root), "--define", "_dbpath /var/lib/rpm"]
    subprocess.run(["rpm", *where, "--justdb", "--nodeps", "--noscripts", "-i", *built], **quiet)
    return (root / "var/lib/rpm/rpmdb.sqlite").read_bytes()


def blobs_of(database):
    """Returns the headers in a rpmdb.sqlite, read by SQLite from a file of its own."""
    connection = sqlite3.connect(":memory:")
    connection.deserialize(database[:18] + b"\x01\x01" + database[20:])
    rows = connection.execute("SELECT blob FROM Packages ORDER BY hnum").fetchall()
    connection.close()
    return [blob for (blob,) in rows]


def ndb(blobs):
    """Returns the bytes of an ndb Packages.db with these headers."""
    slots, body, block = b"", b"", 4096 // 16
    for index, blob in enumerate(blobs, 1):
        head = struct.pack("<4sIII", b"BlbS", index, 1, len(blob))
        room = -(len(blob) + 28) % 16
        checked = head + blob + bytes(room)
        tail = struct.pack("<II4s", zlib.adler32(checked), len(blob), b"BlbE")
        blocks = (len(checked) + 12) // 16
        slots += struct.pack("<4sIII", b"Slot", index, block, blocks)
        body += checked + tail
        block += blocks
    free = struct.pack("<4sIII", b"Slot", 0, 0, 0)
    header = struct.pack("<4sIIII", b"RpmP", 0, 1, 1, len(blobs) + 1) + bytes(12)
    page = header + slots
    return page + free * ((4096 - len(page)) // 16) + body


def language_files():
    """Returns installed packages of R, npm and Julia, and what only looks like one."""
    modules = "opt/app/node_modules"
    return {
        "usr/local/lib/R/site-library/Rcpp/DESCRIPTION": (
            "Package: Rcpp\nVersion: 1.0.11\nLicense: GPL (>= 2)\nBuilt: R 4.3.1; ; x; unix\n"
            "Description: Seamless\n    integration.\n"
        ),
        "usr/local/lib/R/site-library/Rcpp/libs/Rcpp.so": "x",
        "usr/local/lib/R/site-library/Biobase/DESCRIPTION": (
            "Package: Biobase\nVersion: 2.60.0\nbiocViews: Infrastructure\nBuilt: R 4.3.1\n"
        ),
        "src/library/notbuilt/DESCRIPTION": "Package: notbuilt\nVersion: 1\n",
        f"{modules}/lodash/package.json": json.dumps(
            {"name": "lodash", "version": "4.17.20", "license": "MIT"}
        ),
        f"{modules}/lodash/lodash.js": "x",
        f"{modules}/lodash/node_modules/inner/package.json": json.dumps(
            {"name": "inner", "version": "1.0.0"}
        ),
        f"{modules}/@types/node/package.json": json.dumps(
            {"name": "@types/node", "version": "20.1.0"}
        ),
        f"{modules}/lodash/esm/package.json": json.dumps({"type": "module"}),
        "opt/julia/packages/HTTP/sJD5V/Project.toml": (
            'name = "HTTP"\nuuid = "cd3eb016-35fb-5094-929b-558a96fad6f3"\nversion = "1.10.0"\n'
        ),
        "opt/julia/packages/HTTP/sJD5V/src/HTTP.jl": "x",
        "opt/julia/environments/v1.10/Manifest.toml": (
            'julia_version = "1.10.0"\nmanifest_format = "2.0"\n\n'
            '[[deps.HTTP]]\nuuid = "cd3eb016-35fb-5094-929b-558a96fad6f3"\nversion = "1.10.0"\n\n'
            '[[deps.LibCURL_jll]]\nuuid = "deac9b47-8bc7-5906-a0fe-35ac56dc84c0"\n'
            'version = "8.4.0+0"\n\n[[deps.Dates]]\nuuid = "ade2ca70-3891-5945-98fb-dc099432e06a"\n'
        ),
    }
