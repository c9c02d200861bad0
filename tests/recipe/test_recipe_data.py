"""Reference data sets as people write them: what is read, and every problem with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssds.core.diagnostics import Collector
from ssds.core.model import ReleaseName
from ssds.recipe.catalog import read_catalog
from ssds.recipe.data_model import DataSet, Placement

GOOD = """\
title: A small genome
licenses: [CC0-1.0]
citations: [{doi: 10.1000/1}]
sources:
  archive: {url: "https://example.org/g-{{ version }}.tar.gz", sha256: "ONE", unpack: true}
  table: {url: "https://example.org/t.tsv", sha256: "TWO"}
unpack:
  - {source: archive, path: g/genome.fa, to: genome.fa}
  - {source: table}
index:
  - {name: fai, with: tool@1.0, run: tool genome.fa}
environment: {GENOME: "{path}/genome.fa"}
loc:
  fasta: [{value: g, dbkey: g, path: "{path}/genome.fa"}]
resources: {disk_mib: 100}
""".replace("ONE", "1" * 64).replace("TWO", "2" * 64)
TOOL = """\
name: tool
version: "1.0"
summary: A tool.
licenses: [MIT]
platforms: {linux/amd64: required}
base: d
build: [{run: "true"}]
deploy: {commands: [tool]}
"""


def read(root: Path, text: str = GOOD, name: str = "genome/1.0.yaml") -> tuple[Collector, DataSet]:
    files = {
        f"catalog/data/{name}": text,
        "catalog/tool/recipe.yaml": TOOL,
        "catalog/bases.yaml": "d: {suite: bookworm, platforms: [linux/amd64]}\n",
    }
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    reading = read_catalog(str(root))
    return reading.collector, reading.catalog.data.get(
        ReleaseName("genome", "1.0"), DataSet(id=ReleaseName("", ""), path="")
    )


def codes(collector: Collector) -> list[str]:
    return sorted(d.code for d in collector)


def test_a_data_set_is_read_with_its_sources_places_steps_and_words(tmp_path: Path) -> None:
    collector, data = read(tmp_path)
    assert [d.render() for d in collector if d.code != "R064"] == []
    assert data.sources["archive"].url == "https://example.org/g-1.0.tar.gz"
    assert data.unpack == (
        Placement(source="archive", path="g/genome.fa", to="genome.fa"),
        Placement(source="table"),
    )
    assert [(s.name, s.recipe, s.time_limit_s) for s in data.index] == [("fai", "tool@1.0", 3600)]
    assert data.about["licenses"] == ["CC0-1.0"]
    assert data.environment == {"GENOME": "{path}/genome.fa"}


def test_without_unpack_all_of_each_source_is_in_the_set(tmp_path: Path) -> None:
    head, _, tail = GOOD.partition("unpack:\n")
    _, data = read(tmp_path, head + tail[tail.index("index:") :])
    assert data.unpack == (Placement(source="archive"), Placement(source="table"))


EDITS = {
    "licenses[0]": ("[CC0-1.0]", "[CC0-9]", "R013"),
    "unpack[1].source": ("source: table", "source: tabel", "R020"),
    "unpack[0].path": ("path: g/genome.fa", "path: ../genome.fa", "G011"),
    "unpack[0].to": ("to: genome.fa", "to: /genome.fa", "G011"),
    "index[0].with": ("with: tool@1.0", "with: tool@1.1", "G017"),
    "environment.GENOME": ("{path}/genome.fa", "{pth}/genome.fa", "G014"),
    "loc.fasta[0].path": ('path: "{path}', 'path: "{path', "G014"),
    "resources.disk_mb": ("disk_mib", "disk_mb", "G001"),
    "sources.table.url": ("https://example.org/t.tsv", "example.org/t.tsv", "R017"),
}


@pytest.mark.parametrize("address", EDITS)
def test_a_problem_is_told_at_its_place(address: str, tmp_path: Path) -> None:
    old, new, code = EDITS[address]
    collector, _ = read(tmp_path, GOOD.replace(old, new, 1))
    found = {d.code: d for d in collector}
    assert found[code].address == address
    assert found[code].span.path == "catalog/data/genome/1.0.yaml"
    assert found[code].span.line > 1


def test_all_problems_are_told_at_once_and_near_names_are_offered(tmp_path: Path) -> None:
    text = GOOD
    for old, new, _ in EDITS.values():
        text = text.replace(old, new, 1)
    collector, _ = read(tmp_path, text)
    assert {code for _, _, code in EDITS.values()} <= set(codes(collector))
    hints = " ".join(d.hint for d in collector)
    for near in ("table", "tool@1.0", "{path}", "disk_mib"):
        assert f'Did you mean "{near}"?' in hints


@pytest.mark.parametrize(
    "name", ["genome/current.yaml", "genome/1.0.yml", "Genome/1.0.yaml", "genome/a b.yaml"]
)
def test_a_file_that_is_no_data_set_is_told(name: str, tmp_path: Path) -> None:
    assert "G010" in codes(read(tmp_path, name=name)[0])


def test_a_set_is_not_called_as_a_recipe(tmp_path: Path) -> None:
    assert "G018" in codes(read(tmp_path, name="tool/1.0.yaml")[0])


def test_steps_with_one_name_and_uneven_rows_are_told(tmp_path: Path) -> None:
    step = "  - {name: fai, with: tool@1.0, run: tool genome.fa}\n"
    row = '[{value: g, dbkey: g, path: "{path}/genome.fa"}'
    text = GOOD.replace(step, step * 2).replace(row, row + ", {value: h}")
    assert {"G013", "G016"} <= set(codes(read(tmp_path, text)[0]))
