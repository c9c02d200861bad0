"""``ssds sync`` beside ``skopeo copy``, and what it asks a registry where nothing is to be done.

``make bench-sync`` or ``python benchmarks/sync.py [--runs N] [--images N] [--save]``; needs
docker-registry and skopeo. Each run has a new registry on this machine; the two ways run in turn.
Medians of seconds, for a push waits for disks and for the registry. ``--save`` writes
``benchmarks/results/sync.md``.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import random
import re
import shutil
import statistics
import sys
from pathlib import Path

from measure import Sample, Way, run

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "tests"))

from registry_server import running_registry  # noqa: E402 - the tests' registry
from ship_makers import image, release, small_tar  # noqa: E402

from ssds.lock.model import releasable  # noqa: E402
from ssds.lock.write import lock_bytes  # noqa: E402
from ssds.oci.copy import copy_release  # noqa: E402
from ssds.oci.layout import Layout  # noqa: E402
from ssds.ship.channels import index_descriptor  # noqa: E402
from ssds.store.store import Store  # noqa: E402

RESULT = HERE / "results" / "sync.md"
SHARED_BYTES, OWN_BYTES, COUNT = 60_000_000, 10_000_000, 8
SSDS = [sys.executable, "-m", "ssds"]
TARGET = 1.2


def make_workspace(folder: Path, count: int, shared: int, own: int) -> list[str]:
    """Makes locks and blobs of ``count`` releases on one layer; returns their names."""
    dice = random.Random(7)
    (folder / "catalog").mkdir(parents=True)
    (folder / "lockfiles").mkdir()
    (folder / "ssds.yaml").write_text("store: {path: store}\n")
    store = Store.open(str(folder / "store"))
    base = small_tar({"base": dice.randbytes(shared)})
    names = [f"tool{number:04}" for number in range(count)]
    for name in names:
        tars = [base, small_tar({f"bin/{name}": dice.randbytes(own)})]
        lock = release(store.blobs, image(store.blobs, tars, [name], {}), name=name)
        (folder / "lockfiles" / lock.file_name).write_bytes(lock_bytes(lock))
        if count == COUNT:
            (found,) = releasable(lock)
            layout = Layout(str(folder / "layout"))
            copy_release(store, layout, index_descriptor(found))
            layout.set_tags({name: index_descriptor(found)})
    store.close()
    return names


def channel(folder: Path, host: str) -> None:
    text = f'lab: {{kind: registry, location: "{host}/lab", insecure: true}}\n'
    (folder / "catalog/channels.yaml").write_text(text)


def cold(folder: Path, runs: int) -> dict[str, list[Sample]]:
    """Measures both ways in turn, each against a registry of its own."""
    work = folder / "cold"
    names = make_workspace(work, COUNT, SHARED_BYTES, OWN_BYTES)
    found: dict[str, list[Sample]] = {"ssds": [], "skopeo": []}
    for number in range(runs):
        for name, samples in found.items():
            where = folder / f"registry-{number}-{name}"
            with running_registry(where) as host:
                channel(work, host)
                shutil.rmtree(work / ".ssds", ignore_errors=True)
                script = "set -e\n" + "\n".join(
                    f"skopeo copy --quiet --all --dest-tls-verify=false oci:layout:{n} "
                    f"docker://{host}/lab/{n}:1.0-r1"
                    for n in names
                )
                command = [*SSDS, "-C", ".", "sync", "--yes"]
                if name == "skopeo":
                    command = ["/bin/sh", "-c", script]
                way = Way(name=name, command=command, shown=name, folder=work)
                samples.append(run(way, folder)[0])
            shutil.rmtree(where)
    return found


def requests_of(log: Path) -> int:
    """Counts the answers in a registry's log."""
    return len(re.findall(r'"(?:GET|HEAD|POST|PUT|PATCH|DELETE) /v2/', log.read_text()))


def nothing(folder: Path, count: int) -> dict[str, float]:
    """Counts what a sync asks that has nothing to do, and one that believes nothing."""
    work = folder / "nothing"
    make_workspace(work, count, 1000, 100)
    found: dict[str, float] = {}
    with running_registry(folder / "registry") as host:
        channel(work, host)
        log = folder / "registry" / "log"
        for name, more in (("first", []), ("again", []), ("refresh", ["--refresh"])):
            before = requests_of(log)
            command = [*SSDS, "-C", ".", "sync", "--yes", *more]
            way = Way(name=name, command=command, shown=name, folder=work)
            found[f"{name} s"] = run(way, folder)[0].wall_s
            found[f"{name} requests"] = requests_of(log) - before
    assert found["first requests"] > count, "the registry keeps no log of what it is asked"
    return found


def markdown(ways: dict[str, list[Sample]], asked: dict[str, float], count: int, load: str) -> str:
    """Returns the tables."""
    today = dt.datetime.now(dt.UTC).date()
    wall = {n: statistics.median(s.wall_s for s in found) for n, found in ways.items()}
    cpu = {n: statistics.median(s.cpu_s for s in found) for n, found in ways.items()}
    peak = {n: statistics.median(s.peak_mib for s in found) for n, found in ways.items()}
    moved = (SHARED_BYTES + COUNT * OWN_BYTES) // 10**6
    lines = [
        "# Sync",
        "",
        f"Made by `make bench-sync` on {today}, on a machine of {os.cpu_count()} processors that",
        f"did other work too (load {load}). A real docker-registry on the same machine.",
        "",
        (
            f"{COUNT} images on one layer, {moved} MB that differ, to an empty registry; medians "
            f"of {len(ways['ssds'])} runs in turn:"
        ),
        "",
        "| way | wall s | CPU s | peak MiB |",
        "|---|---|---|---|",
        (
            f"| `ssds sync` (images, metadata, records, 3 tags each) | {wall['ssds']:.2f} | "
            f"{cpu['ssds']:.2f} | {peak['ssds']:.0f} |"
        ),
        (
            f"| `skopeo copy --all` of each image | {wall['skopeo']:.2f} | {cpu['skopeo']:.2f} | "
            f"{peak['skopeo']:.0f} |"
        ),
        "",
        f"Ratio {wall['ssds'] / wall['skopeo']:.2f}; target ≤ {TARGET:.2f}.",
        "",
        f"{count} images:",
        "",
        "| sync | requests | per 100 images | wall s |",
        "|---|---|---|---|",
    ]
    for name, text in (
        ("first", "to an empty registry"),
        ("again", "nothing to do"),
        ("refresh", "nothing to do, `--refresh`"),
    ):
        requests = asked[f"{name} requests"]
        lines.append(
            f"| {text} | {requests:.0f} | {requests / count * 100:.1f} | {asked[f'{name} s']:.2f} |"
        )
    return "\n".join([*lines, "", "Target: ≤ 1 request per 100 images where nothing is to do.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--folder", type=Path, default=ROOT / ".bench" / "sync")
    parser.add_argument("--save", action="store_true")
    asked = parser.parse_args()
    folder: Path = asked.folder.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        ways = cold(folder, asked.runs)
        print({name: [round(s.wall_s, 2) for s in found] for name, found in ways.items()})
        counted = nothing(folder, asked.images)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text = markdown(ways, counted, asked.images, f"{os.getloadavg()[0]:.1f}")
    print(text)
    if asked.save:
        RESULT.write_text(text)


if __name__ == "__main__":
    main()
