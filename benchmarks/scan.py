"""Measures scans: one image of 244 packages, and 1,000 images, against 100,000 advisories.

usage: python benchmarks/scan.py [ADVISORIES] [IMAGES]

The advisories have the shape of Debian's: a few source packages with thousands, most with few, some
with two ranges. The images are those of a catalog: 100 packages of the base, 144 of 3,000 others,
each in one of two versions. Seconds of CPU of one core.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import time

from ssds.advisories.pack import pack, read_set
from ssds.kinds.scan.components import read_sbom
from ssds.kinds.scan.match import findings

PACKAGES = 244
SOURCES = 20_000


def version(chance: random.Random) -> str:
    return (
        f"{chance.randrange(9)}.{chance.randrange(30)}.{chance.randrange(30)}-{chance.randrange(5)}"
    )


def record(number: int, chance: random.Random) -> dict:
    source = int(SOURCES * chance.random() ** 4)  # a few have most
    events = [{"introduced": "0"}, {"fixed": version(chance)}]
    ranges = [{"type": "ECOSYSTEM", "events": events}]
    if number % 10 == 0:
        ranges.append({"type": "ECOSYSTEM", "events": [{"introduced": "8.1"}, {"fixed": "8.9"}]})
    package = {"ecosystem": "Debian:12", "name": f"source{source}"}
    return {
        "id": f"CVE-2026-{number:06}",
        "modified": "2026-01-01",
        "origin": "debian",
        "affected": [{"package": package, "ranges": ranges}],
    }


def sbom(chance: random.Random) -> bytes:
    components = []
    others = chance.sample(range(2101, SOURCES, 5)[:3000], PACKAGES - 100)
    for number in (*range(100, 2100, 20), *sorted(others)):
        text = version(random.Random(number * 2 + chance.randrange(2)))  # two bases
        purl = f"pkg:deb/debian/p{number}@{text}?distro=debian-12&upstream=source{number}"
        components.append({"name": f"p{number}", "version": text, "purl": purl})
    return json.dumps({"bomFormat": "CycloneDX", "components": components}).encode()


def main() -> None:
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    images = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    chance = random.Random(1)
    head = {"name": "x", "date": "2026-01-01", "ecosystems": ["Debian:12"], "basis": {}}
    data = pack(head, (record(n, chance) for n in range(records)), {})
    boms = [sbom(chance) for _ in range(images)]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "set")
        with open(path, "wb") as file:
            file.write(data)
        start = time.process_time()
        with open(path, "rb") as file:
            found = read_set(file.read())
        opened = time.process_time()
        packages = read_sbom(boms[0]).packages
        read = time.process_time()
        one = findings(packages, found)["findings"]
        matched = time.process_time()
        memo: dict = {}
        total = sum(
            len(findings(read_sbom(bom).packages, found, memo=memo)["findings"]) for bom in boms
        )
        whole = time.process_time() - matched
    print(f"{records} advisories, {len(data) / 1e6:.1f} MB")
    print(f"open the set        {opened - start:.3f} s")
    print(f"read one SBOM       {read - opened:.3f} s, {len(packages)} packages")
    print(f"match it            {matched - read:.3f} s, {len(one)} findings")
    print(f"one image together  {matched - start:.3f} s")
    print(f"{images} images        {whole:.1f} s, {total} findings")


if __name__ == "__main__":
    main()
