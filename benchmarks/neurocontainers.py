"""Reads and compiles NeuroDesk's whole checkout, beside their own builder; one process each.

    python benchmarks/neurocontainers.py CHECKOUT [REPEATS]
    python benchmarks/neurocontainers.py CHECKOUT --release FOLDER

Ours reads every recipe and makes the graph of all targets and the text of every Dockerfile; theirs
compiles every target and renders it. For the plans every target is locked and released through the
product's own interfaces, with made-up bytes, so that there is nothing to do. Each runs in processes
of its own, in turns; what counts is the median CPU time, start of Python and imports included. The
second form makes only that workspace, in a folder that is there.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

from measure import Sample, Way, run

HERE = Path(__file__).resolve().parent
PROGRAM = HERE.parent / "tests/recipe/neurocontainers_theirs.py"
MOST_RATIO = 0.3
MOST_NO_OP_MIB = 40
NOTHING_TO_DO = "Nothing to do"


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


def release(checkout: Path, root: Path) -> int:
    """Locks and releases every target in the workspace ``root``; returns the number of nodes."""
    from catalog_outcomes import Outcomes
    from catalog_pins import EPOCH, image_pin
    from make_catalog import Maker, put_into

    from ssds.core.pins import SharedPins
    from ssds.lock.model import CatalogLock
    from ssds.lock.write import catalog_lock_bytes
    from ssds.recipe.shared import Shared
    from ssds.store.store import Store
    from ssds.workspace import Workspace

    settings = (
        f"catalog: {{neurocontainers: {json.dumps(str(checkout))}}}\nstore: {{path: store}}\n"
    )
    (root / "ssds.yaml").write_text(settings)
    (root / "lockfiles").mkdir()
    catalog = Workspace.open(str(root)).catalog
    store = Store.open(str(root / "store"))
    try:
        outcomes: Outcomes = put_into(store)
        asked = {(t.base, p) for r in catalog.releases.values() for p, t in r.targets.items()}
        pins = {}
        for name, platform in sorted(asked, key=str):
            if name:
                image = outcomes.image(name, platform, EPOCH)
                pin = image_pin(catalog.bases[name], platform, *image)
                pins[pin.identity, str(platform)] = pin
        targets = [t for r in catalog.releases.values() for t in r.targets.values()]
        for source in {name for target in targets for name in target.sources}:
            outcomes.keep(source.encode())
        current = {pin.name: pin.identity for pin in pins.values()}
        shared = SharedPins(bases=pins, current=current)
        lock = catalog_lock_bytes(CatalogLock(pins=shared))
        (root / "lockfiles/catalog.lock.json").write_bytes(lock)
        maker = Maker(folder=root, store=store, outcomes=outcomes, parts=Shared(), pins=shared)
        nodes = maker.released(catalog)
        store.register_workspace(str(root))
    finally:
        store.close()
    return nodes


def main() -> int:
    checkout = Path(sys.argv[1]).resolve()
    if sys.argv[2:] == ["--ours"]:
        print(ours(checkout))
        return 0
    if sys.argv[2:3] == ["--release"]:
        print(f"{release(checkout, Path(sys.argv[3]).resolve())} nodes")
        return 0
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "workspace"
        root.mkdir()
        nodes = release(checkout, root)
        ssds = [sys.executable, "-m", "ssds", "-C", str(root)]
        ways = {
            name: Way(name=name, command=command, shown=name, folder=root, expected=expected)
            for name, command, expected in (
                ("ours", [sys.executable, __file__, str(checkout), "--ours"], ""),
                ("theirs", [sys.executable, str(PROGRAM), str(checkout)], ""),
                ("plan, no index", [*ssds, "plan", "--no-index"], NOTHING_TO_DO),
                ("plan, no-op", [*ssds, "plan"], NOTHING_TO_DO),
                ("ssds --version", [*ssds, "--version"], "ssds"),
            )
        }
        run(ways["plan, no-op"], Path(folder))  # writes the index
        samples: dict[str, list[Sample]] = {name: [] for name in ways}
        for _ in range(repeats):
            for name, way in ways.items():
                samples[name].append(run(way, Path(folder))[0])
    cpu = {name: statistics.median(s.cpu_s for s in found) for name, found in samples.items()}
    peak = {name: max(s.peak_mib for s in found) for name, found in samples.items()}
    for name in ways:
        print(f"{name:16} {cpu[name]:7.3f} s {peak[name]:6.0f} MiB")
    ratio = cpu["ours"] / cpu["theirs"]
    print(f"{nodes} nodes; ours is {ratio:.2f} of theirs, at most {MOST_RATIO} is wanted")
    good = ratio <= MOST_RATIO and peak["plan, no-op"] <= MOST_NO_OP_MIB
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
