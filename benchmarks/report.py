"""Results to JSON, to tables and into the documentation; targets judged."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cases import BARE, NINJA, PLAN, VERSION, YAML
from measure import Sample, summary

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks/results/latest.json"
PICTURE = ROOT / "benchmarks/results/latest.svg"
PAGE = ROOT / "docs/explanation/speed.md"
BEGIN, END = "<!-- from benchmarks/results/latest.json -->\n", "<!-- end -->\n"

Samples = Mapping[str, Sequence[Sample]]
Results = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A promise: a way may cost so many times another one, and hold so much memory.

    Attributes:
        sizes: numbers of recipes at which it is promised; empty where none is concerned.
        peak_mib: the most memory by size.
    """

    case: str
    way: str
    against: str
    most: float
    sizes: tuple[int, ...] = ()
    peak_mib: Mapping[int, float] | None = None


TARGETS = (
    Target(
        case="no-op",
        way=PLAN,
        against=NINJA,
        most=0.35,
        sizes=(10_000, 100_000),
        peak_mib={10_000: 40, 100_000: 160},
    ),
    Target(
        case="one edit",
        way=PLAN,
        against=f"{NINJA} -n",
        most=0.45,
        sizes=(10_000, 100_000),
    ),
    Target(case="cold", way=PLAN, against=YAML, most=1.35, sizes=(10_000, 100_000)),
    Target(case="start", way=VERSION, against=BARE, most=2.5),
)


def case_result(case: str, recipes: int, samples: Samples) -> Results:
    """Returns what is kept of one case: every way, and its ratios to the others."""
    ways = {name: dict(summary(found)) for name, found in samples.items()}
    return {"case": case, "recipes": recipes, "ways": ways, "ratios": _ratios(samples)}


def _ratios(samples: Samples) -> Results:
    """Returns way → {of medians, least and most of a round}, for our way against all others."""
    first, *others = samples
    found = {}
    for other in others:
        rounds = [a.cpu_s / b.cpu_s for a, b in zip(samples[first], samples[other], strict=True)]
        medians = [statistics.median(s.cpu_s for s in samples[n]) for n in (first, other)]
        found[other] = {
            "ratio": round(medians[0] / medians[1], 3),
            "least": round(min(rounds), 3),
            "most": round(max(rounds), 3),
        }
    return found


def judge(cases: Sequence[Results]) -> list[Results]:
    """Returns every target at every size: what was measured, and whether it is met."""
    found = {(case["case"], case["recipes"]): case for case in cases}
    return [
        _judged(target, recipes, found.get((target.case, recipes)))
        for target in TARGETS
        for recipes in target.sizes or (0,)
    ]


def _judged(target: Target, recipes: int, case: Results | None) -> Results:
    entry: Results = {
        "case": target.case,
        "recipes": recipes,
        "way": target.way,
        "against": target.against,
        "most": target.most,
    }
    limit = (target.peak_mib or {}).get(recipes)
    if limit:
        entry["most_mib"] = limit
    if case is None or target.against not in case["ratios"]:
        return entry
    entry["ratio"] = case["ratios"][target.against]["ratio"]
    entry["met"] = entry["ratio"] <= target.most
    if limit:
        entry["peak_mib"] = case["ways"][target.way]["peak_mib"]
        entry["met"] = entry["met"] and entry["peak_mib"] <= limit
    return entry


def _number(value: int) -> str:
    return f"{value:,}"


def case_name(case: Results) -> str:
    return str(case["case"]) + (f", {_number(case['recipes'])} recipes" if case["recipes"] else "")


def table(results: Results) -> str:
    """Returns the measured times as a Markdown table; people read it on a terminal as well."""
    rows = [["case", "what", "CPU s", "range", "peak MiB", "ours / this"]]
    rows.append(["---", "---", "---:", "---:", "---:", "---:"])
    for case in results["cases"]:
        for number, (name, used) in enumerate(case["ways"].items()):
            ratio = case["ratios"].get(name)
            rows.append(
                [
                    "" if number else case_name(case),
                    f"`{name}`",
                    f"{used['cpu_s']:.3f}",
                    f"{used['cpu_min_s']:.3f} to {used['cpu_max_s']:.3f}",
                    f"{used['peak_mib']:.0f}",
                    f"{ratio['ratio']:.2f} x" if ratio else "",
                ]
            )
    return _aligned(rows)


def targets_table(results: Results) -> str:
    """Returns the targets as a Markdown table."""
    rows = [["target", "at most", "measured", "met"], ["---", "---:", "---:", "---"]]
    for entry in results["targets"]:
        name = f"{case_name(entry)}: `{entry['way']}` against `{entry['against']}`"
        most = f"{entry['most']:.2f} x"
        measured = f"{entry['ratio']:.2f} x" if "ratio" in entry else "not measured"
        if "most_mib" in entry:
            most += f", {entry['most_mib']} MiB"
        if "peak_mib" in entry:
            measured += f", {entry['peak_mib']:.0f} MiB"
        met = {True: "yes", False: "no"}.get(entry.get("met"), "")
        rows.append([name, most, measured, met])
    return _aligned(rows)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = []
        for width, cell, mark in zip(widths, row, rows[1], strict=True):
            right = mark.endswith(":")
            if cell.strip(":-") == "" and cell:
                cell = "-" * (width - 1) + (":" if right else "-")  # noqa: PLW2901
            cells.append(cell.rjust(width) if right else cell.ljust(width))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def page_part(results: Results) -> str:
    """Returns the part of the documentation's page that follows from the results."""
    machine = results["machine"]
    about = (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB",
        f"Linux {machine['kernel']}, Python {machine['python']}",
        f"ninja {machine['ninja'] or 'none'}",
    )
    lines = [
        f"Measured on {results['date']} at commit `{results['commit']}`.",
        f"Command: `{results['command']}`. Machine: {', '.join(about)}.",
        "",
        targets_table(results),
        table(results),
    ]
    checked = [f"{_number(int(n))} recipes: {text}" for n, text in results["checked"].items()]
    lines += [f"- {text}." for text in (*checked, *results["skipped"])]
    return "\n".join(lines).rstrip() + "\n\n"


def update_page(text: str, results: Results) -> str:
    """Returns the page with the part between its two marks made anew."""
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{PAGE.name} lacks the marks between which the results stand")
    return before + BEGIN + "\n" + page_part(results) + END + after


def as_json(results: Results) -> str:
    """Returns the text of the results' file."""
    return json.dumps(results, indent=1, ensure_ascii=False) + "\n"
