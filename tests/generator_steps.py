"""A recipe around one step of a generator, read by the real reader."""

from __future__ import annotations

from pathlib import Path

from ssds.core.diagnostics import Diagnostic
from ssds.core.platform import Platform
from ssds.recipe.catalog import CatalogReading, read_catalog
from ssds.recipe.model import Target
from ssds.recipe.steps import Step

_RECIPE = """\
name: tool
version: "1.0"
summary: A tool
licenses: [MIT]
platforms: {linux/amd64: required, linux/arm64: optional}
base: debian-12
tests:
  - name: works
    run: tool
    stdout: ["1.0"]
# the step stands in line 13
build:
  %s
%s
"""
BASES = "debian-12: {suite: bookworm, platforms: [linux/amd64, linux/arm64]}\n"


def read(root: Path, step: str, more: str = "") -> CatalogReading:
    """Reads a catalog of one recipe."""
    folder = root / "catalog" / "tool"
    folder.mkdir(parents=True, exist_ok=True)
    (root / "catalog" / "bases.yaml").write_text(BASES)
    (folder / "recipe.yaml").write_text(_RECIPE % (step, more))
    return read_catalog(str(root))


def problems(root: Path, step: str, more: str = "") -> list[Diagnostic]:
    """Returns the diagnostics."""
    return list(read(root, step, more).collector)


def target(root: Path, step: str, more: str = "", platform: str = "linux/amd64") -> Target:
    """Returns the target of one platform; the recipe must be good."""
    reading = read(root, step, more)
    assert not reading.collector.failed, [str(d) for d in reading.collector]
    return next(iter(reading.catalog.releases.values())).targets[Platform(platform)]


def steps(root: Path, step: str, more: str = "", platform: str = "linux/amd64") -> tuple[Step, ...]:
    """Returns the steps of one platform."""
    return target(root, step, more, platform).steps
