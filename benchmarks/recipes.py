"""Reading 1,000 recipes against a bare CSafeLoader loop; CPU seconds, medians of five.

Run as ``python benchmarks/recipes.py [COUNT]``.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from ssds.recipe.catalog import read_catalog
from ssds.recipe.yamlmarks import load

RECIPE = """\
name: NAME
version: "1.16.1"
summary: Reads, writes and sorts alignments
description: |
  A suite of programs for high-throughput sequencing data.
  It reads, writes, edits, indexes and views alignment files.
homepage: https://www.example.org/
licenses: [MIT]
citations:
  - {doi: "10.1093/gigascience/giab008", title: Twelve years of tools}
identifiers: {biotools: NAME, bioconda: NAME}
edam: {topics: [topic_0102], operations: [operation_0335]}
categories: [genomics]
maintainers:
  - {name: A Person, github: someone}
platforms: {linux/amd64: required, linux/arm64: optional}
base: debian-12
variables: {prefix: "/opt/{{ name }}"}
sources:
  data: {deb-src: samtools/1.16.1-1, unpack: true}
  archive:
    url: "https://example.org/{{ name }}-{{ version }}.tar.gz"
    sha256: 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a
build:
  - apt: [zlib1g, libbz2-1.0]
  - run:
      script: |
        cd /run/ssds/sources/archive
        make -C . prefix={{ prefix }}
        make install
      tools: [gcc, make, libc6-dev]
      sources: [archive]
  - env: {A: b, PATH: "{{ prefix }}/bin:/usr/bin"}
  - file:
      path: /etc/tool.conf
      content: |
        threads = 4
deploy: {commands: [NAME], paths: [/opt/x/bin], environment: {X: y}}
tests:
  - name: sorts by position
    run: |
      NAME sort /run/ssds/sources/data/test.bam -o out.bam
      NAME view -H out.bam | head -1
    stdout: ["SO:coordinate"]
    files: [{path: out.bam, min_size_bytes: 10}]
    sources: [data]
    time_limit_s: 60
scan:
  policy: default
  waivers: [{id: CVE-2023-1, package: zlib, reason: not reached, owner: me, until: 2031-12-31}]
publish: [local]
# A comment, as people write them: why this version, what was tried, what to watch for next time.
"""


def measured(work: Callable[[], object]) -> float:
    """Returns CPU seconds."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for number in range(count):
            recipe = root / f"catalog/tool{number}/recipe.yaml"
            recipe.parent.mkdir(parents=True)
            recipe.write_text(RECIPE.replace("NAME", f"tool{number}"))
        (root / "catalog/bases.yaml").write_text(
            "debian-12: {suite: bookworm, platforms: [linux/amd64, linux/arm64]}\n"
        )
        (root / "catalog/channels.yaml").write_text("local: {kind: layout, location: dist}\n")
        read_catalog(folder).collector.raise_if_failed()
        files = sorted(root.glob("catalog/*/recipe.yaml"))
        ways: dict[str, Callable[[], object]] = {
            "bare CSafeLoader": lambda: [
                yaml.load(f.read_bytes(), Loader=yaml.CSafeLoader) for f in files
            ],
            "our YAML alone": lambda: [load(f.read_bytes(), f.name) for f in files],
            "the whole catalog": lambda: read_catalog(folder),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(5):
            for name, work in ways.items():
                times[name].append(measured(work))
    bare = statistics.median(times["bare CSafeLoader"])
    print(f"{count} recipes of {len(RECIPE)} bytes")
    for name, values in times.items():
        middle = statistics.median(values)
        print(f"{name:18} {middle:7.3f} s  {middle / bare:5.2f} x")


if __name__ == "__main__":
    main()
