"""Other scanners over the same advisories: dep-scan's engine (vdb), debsecan, apt's version order.

None shares code with ssds. Each answers with the pairs of package and vulnerability that it finds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib

_VDB = """
import json, sys
from vdb.lib import db, search
from vdb.lib.osv import OSVSource
asked = json.load(sys.stdin)
db.get(read_only=False)
source = OSVSource()
source.store([v for record in asked["records"] for v in source.convert(record)])
found = {p: search.search_by_purl_like(p) for p in asked["purls"]}
json.dump({p: sorted({hit["cve_id"] for hit in hits}) for p, hits in found.items()}, sys.stdout)
"""


def by_vdb(records, purls, home):
    """Returns purl → ids of what vdb finds in OSV records; its database is made in ``home``.

    It passes over a PYSEC record that names a GHSA, for it takes those from GitHub: the records
    that it is given name none.
    """
    given = [
        {**r, "aliases": [a for a in r.get("aliases", ()) if not a.startswith("GHSA-")]}
        for r in records
    ]
    done = subprocess.run(
        [sys.executable, "-c", _VDB],
        input=json.dumps({"records": given, "purls": list(purls)}),
        env={**os.environ, "VDB_HOME": str(home), "NVD_START_YEAR": "1990"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def by_debsecan(status, fixed, folder):
    """Returns the pairs (CVE, binary package) that debsecan finds in a dpkg status file.

    Args:
        status: the file.
        fixed: (CVE, source package) → the version that has the fix, empty for none.
        folder: where its data is written, as Debian's tracker would serve it.
    """
    names = sorted({cve for cve, _ in fixed})
    lines = ["VERSION 1", *(f"{name},,text" for name in names), ""]
    lines += [
        f"{source},{names.index(cve)},S  {'F' if version else ' '},{version},"
        for (cve, source), version in sorted(fixed.items())
    ]
    (folder / "bookworm").write_bytes(zlib.compress("\n".join([*lines, "", "", ""]).encode()))
    place = f"--source=file://{folder}"
    done = subprocess.run(
        ["debsecan", "--suite=bookworm", place, f"--status={status}", "--format=simple"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {tuple(line.split()[:2]) for line in done.stdout.splitlines()}


def by_apt(pairs):
    """Returns -1, 0 or 1 for each pair of Debian versions, as apt compares them."""
    program = (
        "import apt_pkg, json, sys\napt_pkg.init_system()\n"
        "said = [apt_pkg.version_compare(a, b) for a, b in json.load(sys.stdin)]\n"
        "print(json.dumps([(n > 0) - (n < 0) for n in said]))"
    )
    return _ask(["/usr/bin/python3", "-c", program], json.dumps(pairs))


def by_rpm(pairs):
    """Returns -1, 0 or 1 for each pair of versions, as rpm compares them."""
    calls = ";".join(f"print(rpm.vercmp('{a}','{b}') .. ',')" for a, b in pairs)
    said = ""
    for part in _parts(calls.split(";"), 1000):
        done = subprocess.run(
            ["rpm", "--eval", "%{lua:" + ";".join(part) + "}"],
            capture_output=True,
            text=True,
            check=True,
        )
        said += done.stdout
    return [int(number) for number in said.replace("\n", "").split(",") if number.strip()]


def _parts(items, size):
    return [items[start : start + size] for start in range(0, len(items), size)]


def _ask(command, text):
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)
