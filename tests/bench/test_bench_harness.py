"""The benchmark itself runs, with a few recipes; no time is asserted."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "benchmarks"


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(FOLDER / "run.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """The benchmark's own modules, imported as its scripts see them, and forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(FOLDER))
    yield {name: importlib.import_module(name) for name in ("measure", "report", "picture")}
    for name in set(sys.modules) - before:
        if (FOLDER / f"{name}.py").exists():
            del sys.modules[name]


@pytest.mark.slow
def test_every_case_is_measured_and_told(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    done = bench(
        "--sizes", "3", "--rounds", "1", "--cache", str(tmp_path / "c"), "--json", str(out)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(out.read_text())
    assert [case["case"] for case in results["cases"]] == ["start", "no-op", "one edit", "cold"]
    for case in results["cases"]:
        assert all(used["cpu_s"] >= 0 < used["peak_mib"] for used in case["ways"].values())
    assert "lstat loop in Python" in results["cases"][1]["ways"]
    assert "CSafeLoader loop" in results["cases"][3]["ways"]
    ways = {name for case in results["cases"] for name in case["ways"]}
    assert set(results["commands"]) == ways
    with_ninja = bool(results["machine"]["ninja"])
    assert ("ninja" in results["cases"][1]["ways"]) is with_ninja
    assert any(text.startswith("ninja is not here") for text in results["skipped"]) != with_ninja
    assert str(tmp_path) not in out.read_text()
    assert "one edit, 3 recipes" in done.stdout


def test_the_page_and_the_picture_follow_from_the_kept_results() -> None:
    done = bench("--check")
    assert done.returncode == 0, done.stderr
    results = json.loads((FOLDER / "results/latest.json").read_text())
    page = (ROOT / "docs/explanation/speed.md").read_text()
    assert results["date"] in page
    assert results["commit"] in page


def case(name: str, recipes: int, **ways: tuple[list[float], float]) -> tuple[str, int, Any]:
    return name, recipes, ways


def results_of(report: ModuleType, measure: ModuleType, *cases: tuple[str, int, Any]) -> Any:
    """Returns whole results; ways are name=([CPU seconds of each round], MiB)."""
    found = [
        report.case_result(
            name,
            recipes,
            {
                way.replace("_", " "): [
                    measure.Sample(cpu_s=value, peak_mib=peak, wall_s=value) for value in values
                ]
                for way, (values, peak) in ways.items()
            },
        )
        for name, recipes, ways in cases
    ]
    machine = {"cores": 2, "memory_gib": 4, "kernel": "6", "python": "3.11", "ninja": "1.13"}
    return {
        "command": "make bench",
        "date": "2026-01-01",
        "commit": "abc",
        "machine": {"processor": "Fast <& furious>", **machine},
        "cases": found,
        "targets": report.judge(found),
        "checked": {},
        "skipped": [],
    }


def test_a_target_is_met_by_the_ratio_of_medians_and_by_memory(
    modules: dict[str, ModuleType],
) -> None:
    report = modules["report"]
    results = results_of(
        report,
        modules["measure"],
        case("no-op", 10_000, ssds_plan=([0.1, 9.0, 0.2], 41.0), ninja=([1.0, 1.0, 1.0], 50.0)),
        case("cold", 10_000, ssds_plan=([1.5], 9.0), CSafeLoader_loop=([1.0], 9.0)),
    )
    by_name = {(t["case"], t["recipes"]): t for t in results["targets"]}
    assert by_name["no-op", 10_000]["ratio"] == 0.2
    assert by_name["no-op", 10_000]["met"] is False  # 41 MiB are more than 40
    assert by_name["cold", 10_000]["met"] is False
    assert "met" not in by_name["no-op", 100_000]
    ratio = results["cases"][0]["ratios"]["ninja"]
    assert (ratio["least"], ratio["most"]) == (0.1, 9.0)
    text = report.targets_table(results)
    assert "| no     |" in text or "| no " in text
    assert "not measured" in text


def test_the_picture_has_a_bar_for_each_measured_target(modules: dict[str, ModuleType]) -> None:
    results = results_of(
        modules["report"],
        modules["measure"],
        case("no-op", 10_000, ssds_plan=([0.1], 20.0), ninja=([1.0], 50.0)),
        case("cold", 10_000, ssds_plan=([9.0], 9.0), CSafeLoader_loop=([1.0], 9.0)),
    )
    root = ET.fromstring(modules["picture"].picture(results))
    name = "{http://www.w3.org/2000/svg}"
    bars = root.findall(f"{name}rect")[1:]
    assert [bar.get("fill") for bar in bars] == ["#2f7d4f", "#b5442c"]
    texts = [text.text or "" for text in root.findall(f"{name}text")]
    assert any("Fast <& furious>" in text for text in texts)
    assert "9.00 x of 1.35 x" in texts


def test_a_command_that_does_something_else_is_not_measured(
    modules: dict[str, ModuleType], tmp_path: Path
) -> None:
    measure = modules["measure"]
    for command, said in (
        (["/bin/sh", "-c", "echo other"], "other"),
        (["/bin/sh", "-c", "echo right; exit 3"], "ended with 3"),
        (["/no/such/program"], "ended with 127"),
    ):
        way = measure.Way(name="x", shown="x", command=command, folder=tmp_path, expected="right")
        with pytest.raises(measure.WrongOutput, match=said):
            measure.run(way, tmp_path)


def test_memory_of_the_measuring_program_is_not_counted(
    modules: dict[str, ModuleType], tmp_path: Path
) -> None:
    measure = modules["measure"]
    ballast = bytearray(100 << 20)
    way = measure.Way(name="x", shown="x", command=["/bin/true"], folder=tmp_path)
    assert measure.run(way, tmp_path)[0].peak_mib < 30 < len(ballast) >> 20
