"""``make bench``: how fast ``ssds plan`` is, against others doing the same on the same files.

CPU times of interleaved runs, as medians; ratios matter, seconds are those of this machine. Prints
tables, and with ``--save`` writes benchmarks/results and the table in docs/explanation/speed.md.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import report
from cases import CASES, Bench, Size, measure
from measure import WrongOutput
from picture import picture

from ssds.core.errors import SsdsError

SIZES = (10, 1_000, 10_000)
LARGE = 100_000
ROUNDS = 11


def machine(ninja: str | None) -> dict[str, object]:
    """Returns what the numbers depend on; it names no host and no place."""
    processor = platform.machine()
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    version = _said(ninja, "--version") if ninja else ""
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "ninja": version.partition(".git")[0],
        "load_before": round(os.getloadavg()[0], 2),
    }


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def commit() -> str:
    """Returns the short id of the commit, with ``+`` where files differ from it."""

    def git(*arguments: str) -> str:
        return _said("git", "-C", str(report.ROOT), *arguments)

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "ssds", "benchmarks/*.py")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("+" if changed else "")


def run(
    bench: Bench, sizes: tuple[int, ...], wanted: tuple[str, ...], command: str
) -> report.Results:
    """Measures the wanted cases of all sizes."""
    about = machine(bench.ninja)
    bench.say("the start of a process")
    cases = [report.case_result("start", 0, bench.start())]
    for count in sizes:
        found = measure(Size(bench, count), wanted)
        cases += [report.case_result(name, count, samples) for name, samples in found.items()]
    return {
        "command": command,
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "commit": commit(),
        "machine": {**about, "load_after": round(os.getloadavg()[0], 2)},
        "commands": bench.commands,
        "cases": cases,
        "targets": report.judge(cases),
        "checked": bench.checked,
        "skipped": bench.skipped,
    }


def derived(results: report.Results) -> dict[Path, str]:
    """Returns the files of the checkout that follow from the results, with their texts."""
    return {
        report.PICTURE: picture(results),
        report.PAGE: report.update_page(report.PAGE.read_text(), results),
    }


def save(results: report.Results) -> None:
    """Writes the results, the picture and the documentation's page."""
    report.RESULTS.parent.mkdir(exist_ok=True)
    report.RESULTS.write_text(report.as_json(results))
    for path, text in derived(results).items():
        path.write_text(text)


def check() -> None:
    """Ends with an error where the page or the picture does not follow from the kept results."""
    results = json.loads(report.RESULTS.read_text())
    stale = [p.name for p, text in derived(results).items() if p.read_text() != text]
    if stale:
        raise SystemExit(
            f"{' and '.join(stale)} do not follow from {report.RESULTS.name}: "
            "run benchmarks/run.py --derive"
        )


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=_sizes, default=SIZES, help="numbers of recipes: 10,1000")
    parser.add_argument("--large", action="store_true", help=f"also {LARGE:,} recipes")
    parser.add_argument(
        "--case", dest="cases", action="append", choices=list(CASES), help="only this case"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each command runs")
    parser.add_argument(
        "--cache",
        type=Path,
        default=report.ROOT / ".bench",
        help="where made catalogs are kept; on the disk that is to be measured",
    )
    parser.add_argument("--save", action="store_true", help="write the results into the checkout")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--check", action="store_true", help="measure nothing: check the page")
    only.add_argument("--derive", action="store_true", help="measure nothing: write the page")
    asked = parser.parse_args()
    if asked.check:
        check()
    elif asked.derive:
        save(json.loads(report.RESULTS.read_text()))
    else:
        _measure(asked)


def _command(asked: argparse.Namespace) -> str:
    """Returns the command that gives these results, without places of this machine."""
    words = []
    if asked.sizes != SIZES:
        words.append(f"--sizes {','.join(map(str, asked.sizes))}")
    if asked.large:
        words.append("--large")
    words += [f"--case '{name}'" for name in asked.cases or ()]
    if asked.rounds != ROUNDS:
        words.append(f"--rounds {asked.rounds}")
    return "make bench" + (f' BENCH="{" ".join(words)}"' if words else "")


def _measure(asked: argparse.Namespace) -> None:
    sizes = (*asked.sizes, *((LARGE,) if asked.large else ()))
    bench = Bench(
        cache=asked.cache.resolve(),
        rounds=asked.rounds,
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    command = _command(asked)
    try:
        results = run(bench, sizes, asked.cases or tuple(CASES), command)
    except (WrongOutput, OSError, SsdsError) as error:
        raise SystemExit(f"error: {error}") from error
    except KeyboardInterrupt:
        raise SystemExit("stopped") from None
    print(report.targets_table(results))
    print(report.table(results))
    for text in (*results["checked"].values(), *results["skipped"]):
        print(text)
    if asked.json:
        asked.json.write_text(report.as_json(results))
    if asked.save:
        save(results)


if __name__ == "__main__":
    main()
