"""Other scanners find the same pairs on the same advisories; others' version orders are ours."""

from __future__ import annotations

import json
import platform
import random
import re
from pathlib import Path

import pytest
from other_scanners import by_apt, by_debsecan, by_rpm, by_vdb
from packaging.version import Version
from sbom_images import Workshop, layer, target

from ssds.advisories import pack
from ssds.advisories.export import osv_zip
from ssds.advisories.osv import read_advisories
from ssds.advisories.sources import osv_zip as records_of
from ssds.advisories.versions import order_of
from ssds.core.model import Input
from ssds.kinds.sbom import run, spec
from ssds.kinds.scan.components import read_packages
from ssds.kinds.scan.match import findings

STARTER = Path(__file__).parents[2] / "catalog" / "advisories" / "debian-12.json"
STATUS = Path("/var/lib/dpkg/status")


def ours(purls, advisories):
    """Returns purl → the names of each finding."""
    found = {}
    for purl in purls:
        document = {"bomFormat": "CycloneDX", "components": [{"name": "x", "purl": purl}]}
        said = findings(read_packages(json.dumps(document).encode()), advisories)["findings"]
        found[purl] = [{f["id"], *f["aliases"]} for f in said]
    return found


def different(ours, theirs):
    """Returns (purl, what only we find, what only they find)."""
    rows = []
    for purl, groups in ours.items():
        there = set(theirs[purl])
        missed = [min(names) for names in groups if not names & there]
        more = there.difference(*groups)
        if missed or more:
            rows.append((purl, sorted(missed), sorted(more)))
    return rows


def starter_purls(advisories):
    """Returns every version that an advisory of a Python package names, and some beside it."""
    purls = []
    for (ecosystem, name), said in sorted(advisories.packages.items()):
        if ecosystem != "PyPI":
            continue
        named = {v for _, a in said for r in a.ranges for _, v in r}.union(
            *(a.versions for _, a in said)
        ) - {"0"}
        beside = {f"{v}{end}" for v in named if v.replace(".", "").isdigit() for end in ENDS}
        purls += [f"pkg:pypi/{name}@{v}" for v in sorted(named | beside | {"0.0.1", "9999"})]
    return purls


ENDS = (".post1", "rc1", ".1")


def made_up(chance):
    """Returns records of npm and PyPI with one to three intervals, and versions in and around."""
    candidate = {"npm": "-rc.{}", "PyPI": "rc{}"}
    records, purls = [], []

    def version(ecosystem):
        text = ".".join(str(chance.randrange(size)) for size in (4, 12, 12))
        return text + candidate[ecosystem].format(chance.randrange(9)) * (chance.random() < 0.2)

    for number in range(60):
        ecosystem = ("npm", "PyPI")[number % 2]
        count = chance.choice((1, 2, 4, 6))
        bounds = sorted(
            {version(ecosystem) for _ in range(count)},
            key=lambda v: Version(v.replace("-rc.", "rc")),
        )
        events = []
        for low, high in zip(bounds[::2], bounds[1::2], strict=False):
            end = chance.choice(("fixed", "fixed", "last_affected"))
            events += [{"introduced": low}, {end: high}]
        if len(bounds) % 2:  # vdb passes over an open interval after closed ones: none is made
            events = events or [{"introduced": bounds[0]}]
        if chance.random() < 0.4:
            events[0] = {"introduced": "0"}
        name, kind = f"made-up-{number}", "SEMVER" if ecosystem == "npm" else "ECOSYSTEM"
        affected = {
            "package": {"ecosystem": ecosystem, "name": name},
            "ranges": [{"type": kind, "events": events}],
        }
        records.append(
            {
                "id": f"CVE-2024-{10000 + number}",
                "modified": "2024-01-01T00:00:00Z",
                "affected": [affected],
            }
        )
        tried = sorted({*bounds, *(version(ecosystem) for _ in range(9))})
        purls += [f"pkg:{ecosystem.lower()}/{name}@{v}" for v in tried]
    return records, purls


@pytest.mark.component("vdb")
def test_another_scanner_finds_the_same_pairs_of_package_and_vulnerability(tmp_path):
    starter = pack.read_set(STARTER.read_bytes())
    (tmp_path / "all.zip").write_bytes(osv_zip(starter, "PyPI"))
    real = [place.value for place in records_of(str(tmp_path / "all.zip"))]
    records, purls = made_up(random.Random(8))
    synthetic = read_advisories(
        json.dumps(
            {"name": "x", "date": "2026-01-01", "ecosystems": ["npm", "PyPI"], "records": records}
        ).encode()
    )
    found = {**ours(starter_purls(starter), starter), **ours(purls, synthetic)}
    theirs = by_vdb([*real, *records], found, tmp_path)
    # 2.5.post1 comes before 2.5.1 (PEP 440), and so before the fix in 2.5.3
    explained = ("pkg:pypi/pillow@2.5.post1", ["CVE-2014-3589", "CVE-2014-3598"], [])
    assert different(found, theirs) == [explained]
    assert sum(map(len, found.values())) > 4700


def is_debian_12():
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return False
    known = (release.get("ID"), release.get("VERSION_ID"))
    return known == ("debian", "12") and STATUS.exists()


@pytest.mark.component("debsecan")
@pytest.mark.skipif(not is_debian_12(), reason="this machine is no Debian 12")
@pytest.mark.parametrize("aged", [False, True], ids=["as it is", "as it was released"])
def test_debsecan_finds_the_same_pairs_on_this_machines_packages(tmp_path, aged):
    text = STATUS.read_text()
    if aged:  # without the revisions of Debian's updates
        text = re.sub(r"^(Version: \S+?)[+~]deb12u\d+$", r"\1", text, flags=re.MULTILINE)
        text = re.sub(r"^(Source: \S+ \(\S+?)[+~]deb12u\d+\)$", r"\1)", text, flags=re.MULTILINE)
    status = tmp_path / "status"
    status.write_text(text)
    starter = pack.read_set(STARTER.read_bytes())
    fixed = {
        (record.id, name): next(v for kind, v in affected.ranges[0] if kind == "fixed")
        for (ecosystem, name), said in starter.packages.items()
        if ecosystem == "Debian:12"
        for record, affected in said
    }
    release = 'ID=debian\nVERSION_ID="12"\n'
    workshop = Workshop(str(tmp_path / "shop"))
    digest = workshop.image(layer({"usr/lib/os-release": release, "var/lib/dpkg/status": text}))
    node = spec.node(target(), {}, Input(role="config", digest=digest))
    outcome = run.run(workshop.bench(node, {"config": digest}))
    packages = read_packages(workshop.store.blobs.read(outcome.outputs["sbom"]))
    pairs = {(f["id"], f["package"]) for f in findings(packages, starter)["findings"]}
    assert pairs == by_debsecan(status, fixed, tmp_path)
    assert pairs or not aged


def generated(chance, alphabet, count):
    return ["".join(chance.choices(alphabet, k=chance.randrange(1, 9))) for _ in range(count)]


def said_by(order, pairs):
    return [(order(a) > order(b)) - (order(a) < order(b)) for a, b in pairs]


@pytest.mark.component("debsecan")  # it brings apt's library
def test_ten_thousand_pairs_of_debian_versions_have_apts_order():
    chance = random.Random(1)
    epochs, ends = ("", "", "0:", "1:"), ("", "-1", "-0", "-1~b", "-1+deb12u10", "-1+deb12u9")
    texts = [
        f"{chance.choice(epochs)}{chance.choice('0129')}{text}{chance.choice(ends)}"
        for text in generated(chance, "0019az.+~", 2000)
    ]
    pairs = [tuple(chance.sample(texts, 2)) for _ in range(10_000)]
    assert said_by(order_of("Debian:12"), pairs) == by_apt(pairs)


@pytest.mark.component("rpm")
def test_four_thousand_pairs_of_rpm_versions_have_rpms_order():
    chance = random.Random(2)
    texts = [f"1{t}" for t in generated(chance, "0019aZ._~^", 1500)]
    pairs = [tuple(chance.sample(texts, 2)) for _ in range(4_000)]
    assert said_by(order_of("Rocky Linux:9"), pairs) == by_rpm(pairs)


@pytest.mark.component("vdb")  # it brings the library semver
def test_semantic_versions_have_the_order_of_the_library_semver():
    semver = pytest.importorskip("semver")
    chance = random.Random(3)
    ends = ["", "", "-1", "-10", "-9", "-a", "-a.1", "-a.b", "-rc.1", "-rc.11", "+b", "-rc-1"]
    texts = [
        ".".join(str(chance.randrange(12)) for _ in range(3)) + chance.choice(ends)
        for _ in range(1500)
    ]
    pairs = [tuple(chance.sample(texts, 2)) for _ in range(10_000)]
    theirs = [semver.Version.parse(a).compare(b) for a, b in pairs]
    assert said_by(order_of("npm"), pairs) == theirs


def test_versions_of_apk_have_the_order_of_the_library_univers():
    from univers.versions import AlpineLinuxVersion

    chance = random.Random(4)
    suffixes = ["", "", "a", "_alpha", "_beta2", "_rc1", "_p1", "_p10"]
    texts = [
        ".".join(str(chance.randrange(1, 20)) for _ in range(chance.randrange(1, 4)))
        + chance.choice(suffixes)
        + f"-r{chance.randrange(12)}"
        for _ in range(600)
    ]
    pairs = [tuple(chance.sample(texts, 2)) for _ in range(3_000)]
    theirs = [
        (AlpineLinuxVersion(a) > AlpineLinuxVersion(b))
        - (AlpineLinuxVersion(a) < AlpineLinuxVersion(b))
        for a, b in pairs
    ]
    assert said_by(order_of("Alpine:v3.18"), pairs) == theirs
