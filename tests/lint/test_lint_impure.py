"""``ssds check`` notes steps with the network, and says what to write instead."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssds.core.diagnostics import Severity
from ssds.lint.impure import impure_steps
from ssds.recipe.catalog import read_catalog

HEAD = """\
name: tool
version: "1.0"
summary: A tool.
licenses: [MIT]
platforms: {linux/amd64: required, linux/arm64: optional}
base: debian-12
build:
  - run: make
"""
BASES = "debian-12: {suite: bookworm, platforms: [linux/amd64, linux/arm64]}\n"


def notes(folder: Path, script: str, network: str = "true") -> list[tuple[str, dict[str, str]]]:
    """Returns place and facts of each note about a recipe with this script at line 12."""
    recipe = folder / "catalog/tool/recipe.yaml"
    recipe.parent.mkdir(parents=True, exist_ok=True)
    (folder / "catalog/bases.yaml").write_text(BASES)
    block = script.replace("\n", "\n        ")
    step = f"  - run:\n      network: {network}\n      script: |\n        {block}\n"
    recipe.write_text(HEAD + step)
    reading = read_catalog(str(folder))
    assert not reading.collector.failed, list(reading.collector)
    found = impure_steps(reading)
    assert all(note.severity is Severity.NOTE for note in found)
    return [(f"{note.span} {note.address}", dict(note.facts)) for note in found]


def test_a_step_with_the_network_is_noted_once_for_all_platforms(tmp_path: Path) -> None:
    assert notes(tmp_path, "make all") == [
        ("catalog/tool/recipe.yaml:10:7 build[1].run.network", {}),
    ]


def test_a_step_without_it_is_not_noted(tmp_path: Path) -> None:
    assert notes(tmp_path, "apt-get install -y bwa", network="false") == []


@pytest.mark.parametrize(
    ("command", "instead"),
    [
        ("apt-get -qq install -y bwa samtools=1.16.1-1", "apt: [bwa, samtools=1.16.1-1]"),
        ("apt install -t bookworm zlib1g && make", "apt: [zlib1g]"),
        ("python3 -m pip install -c c.txt 'numpy<2' ./here", "pip: [numpy<2]"),
        ("pip install scipy", "pip: [scipy]"),
        (
            "mamba install -y -c bioconda star=2.7",
            "conda: {channels: [bioconda], packages: [star=2.7]}",
        ),
        ("git clone -b v1 https://git.example.org/a.git a", "git: https://git.example.org/a.git"),
        ("wget -q https://example.org/a.tar.gz", "url: https://example.org/a.tar.gz"),
        ("curl -o x $ADDRESS", "url: its address"),
        ("curl -O 'https://e.example.org/f?x=1&y=2'", "url: https://e.example.org/f?x=1&y=2"),
        ("apt-get install foo # with words", "apt: [foo]"),
        ("conda install -c bioconda samtools=1.2 -n base", "packages: [samtools=1.2]"),
        ("pip3.11 install -r requirements.txt", "pip: [its packages by name]"),
    ],
)
def test_what_fetches_is_told_with_its_line_and_what_to_write(
    tmp_path: Path, command: str, instead: str
) -> None:
    ((_, facts),) = notes(tmp_path, f"set -e\n{command}")
    assert list(facts) == ["line 13"]
    assert instead in facts["line 13"]


@pytest.mark.parametrize("line", ["# curl is great", "curl-config --libs", "  # apt install x"])
def test_what_fetches_nothing_has_no_advice(tmp_path: Path, line: str) -> None:
    assert notes(tmp_path, line) == [("catalog/tool/recipe.yaml:10:7 build[1].run.network", {})]


def test_a_command_over_several_lines_is_one(tmp_path: Path) -> None:
    ((_, facts),) = notes(tmp_path, "apt-get install -y \\\n    bwa \\\n    samtools\nmake")
    assert facts == {"line 12": "a step of its own: apt: [bwa, samtools]"}


@given(st.text(alphabet="apt-get install pip curl 'git\\;&|\"$(", max_size=300))
def test_no_script_is_too_strange(tmp_path_factory: pytest.TempPathFactory, script: str) -> None:
    folder = tmp_path_factory.mktemp("strange")
    recipe = folder / "catalog/tool/recipe.yaml"
    recipe.parent.mkdir(parents=True)
    (folder / "catalog/bases.yaml").write_text(BASES)
    text = json.dumps(script or "x")
    recipe.write_text(HEAD + f"  - run: {{network: true, script: {text}}}\n")
    reading = read_catalog(str(folder))
    if not reading.collector.failed:
        assert len(impure_steps(reading)) == 1
