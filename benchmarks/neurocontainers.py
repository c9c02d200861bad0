"""Reads and compiles NeuroDesk's whole checkout, beside their own builder; one process each.

    python benchmarks/neurocontainers.py CHECKOUT [REPEATS]

Ours reads every recipe and makes the graph of all targets and the text of every Dockerfile; theirs
compiles every target and renders it. Each runs in processes of its own, in turns; what counts is
the least time of each, start of Python and imports included.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM = Path(__file__).parent.parent / "tests/recipe/neurocontainers_theirs.py"
MOST_RATIO = 0.3


def ours(checkout: Path) -> int:
    """Reads, compiles and renders; returns the number of targets."""
    import datetime as dt

    from ssds.core.pins import SharedPins
    from ssds.graph.compile import compile_graph
    from ssds.recipe.catalog import read_catalog
    from ssds.render.plain import plain_dockerfile

    with tempfile.TemporaryDirectory() as root:
        reading = read_catalog(root, checkouts={"neurocontainers": str(checkout)})
    reading.collector.raise_if_failed()
    compile_graph(reading.catalog, SharedPins(), {}, dt.date(2026, 1, 1))
    targets = [t for r in reading.catalog.releases.values() for t in r.targets.values()]
    for target in targets:
        plain_dockerfile(target, target.base)
    return len(targets)


def timed(arguments: list[str]) -> tuple[float, str]:
    """Runs Python; returns the seconds that it took and what it printed."""
    with tempfile.TemporaryDirectory() as home:
        began = time.perf_counter()
        ran = subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, "HOME": home},
            check=True,
            capture_output=True,
            text=True,
        )
        return time.perf_counter() - began, ran.stdout


def main() -> int:
    checkout = Path(sys.argv[1]).resolve()
    if sys.argv[2:] == ["--ours"]:
        print(ours(checkout))
        return 0
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    own, other = [], []
    count, targets = "0", 0
    for _ in range(repeats):
        seconds, count = timed([__file__, str(checkout), "--ours"])
        own.append(seconds)
        seconds, text = timed([str(PROGRAM), str(checkout)])
        other.append(seconds)
        targets = len(json.loads(text)["dockerfiles"])
    ratio = min(own) / min(other)
    print(f"ours    {min(own):6.2f} s  {count.strip()} targets")
    print(f"theirs  {min(other):6.2f} s  {targets} targets")
    print(f"ratio   {ratio:6.2f}    at most {MOST_RATIO} is wanted")
    return 0 if ratio <= MOST_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
