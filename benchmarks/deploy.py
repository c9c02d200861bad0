"""Measures deployments: an image beside umoci, and one changed image in a tree of 500.

``python benchmarks/deploy.py [--images N] [--files N]`` prints a table; each way runs in turn as a
process of its own, and the median of CPU seconds counts. umoci is Debian's package.
"""

from __future__ import annotations

import argparse
import functools
import io
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "tests")]
from ship_makers import image, release, script, site, small_tar  # noqa: E402

from ssds.lock.model import Lock, ReleaseHalf  # noqa: E402
from ssds.oci.blobs import Blobs  # noqa: E402
from ssds.oci.types import MANIFEST  # noqa: E402
from ssds.ship.deploy import deploy  # noqa: E402
from ssds.ship.images import unpack_image  # noqa: E402
from ssds.ship.targets.ingest import IngestDraft  # noqa: E402


def root_tar(files: int) -> bytes:
    """A layer like that of a conda environment: many small files, some large ones."""
    chance = random.Random(7)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for number in range(files):
            member = tarfile.TarInfo(f"opt/conda/pkgs/p{number // 100}/f{number % 100}.py")
            data = chance.randbytes(200) * chance.randrange(1, 60)
            member.size, member.mode, member.mtime = len(data), 0o644, 1_700_000_000
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def layout(blobs: Blobs, half: ReleaseHalf, folder: str) -> None:
    """Writes the image as an OCI layout, for umoci."""
    store = Path(folder, "blobs", "sha256")
    store.mkdir(parents=True)
    for digest in (half.manifest.digest, half.config.digest, *(la.digest for la in half.layers)):
        shutil.copyfile(blobs.path(digest), store / digest.hex)
    entry = {
        "mediaType": MANIFEST,
        "digest": str(half.manifest.digest),
        "size": half.manifest.size_bytes,
        "annotations": {"org.opencontainers.image.ref.name": "one"},
    }
    index = {"schemaVersion": 2, "manifests": [entry]}
    Path(folder, "index.json").write_text(json.dumps(index))
    Path(folder, "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def measured(act: Callable[[], object]) -> tuple[float, float]:
    """Runs ``act`` in a copy of this process; returns wall and CPU seconds."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = os.fork()
    if not process:
        try:
            act()
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitpid(process, 0)[1]:
        raise SystemExit("a way failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - began, cpu


def unpacking(home: str, files: int, runs: int) -> None:
    """Unpacks one image: a folder by umoci and by ssds, and a tar for ingest."""
    blobs = Blobs(f"{home}/blobs")
    half = image(blobs, [small_tar({"usr/bin/x": script("x")}), root_tar(files)], [], {})
    layout(blobs, half, f"{home}/layout")
    number = [0]

    def fresh(name: str) -> str:
        number[0] += 1
        return f"{home}/{name}-{number[0]}"

    def umoci(where: str) -> None:
        argv = ["umoci", "unpack", "--image", f"{home}/layout:one", where]
        subprocess.run(argv, check=True, capture_output=True)

    def as_tar(where: str) -> None:
        os.mkdir(where)
        with open(f"{where}/ingest.tar", "wb") as file:
            draft = IngestDraft(f"{where}/none", file, where)
            draft.image(half, blobs)
            draft.finish()

    ways: dict[str, Callable[[str], object]] = {
        "umoci unpack": umoci,
        "ssds, a folder": lambda where: unpack_image(where, half, blobs),
        "ssds, a tar for ingest": as_tar,
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, act in ways.items():
            where = fresh("out")
            found[name].append(measured(functools.partial(act, where)))
            shutil.rmtree(where)
    base = statistics.median(cpu for _, cpu in found["umoci unpack"])
    for name, rows in found.items():
        wall, cpu = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"| {name} | {files} files | {wall:.2f} | {cpu:.2f} | {base / cpu:.1f} |")


def one_of_many(home: str, images: int, runs: int) -> None:
    """Deploys one changed image into trees with one image and with many."""
    blobs = Blobs(f"{home}/many")

    def lock(name: str, text: str, before: Lock | None = None) -> Lock:
        half = image(blobs, [small_tar({"usr/bin/tool": script(f"echo {text}")})], ["tool"], {})
        return release(blobs, half, name=name, before=before)

    for count in (1, images):
        locks = [lock(f"tool{n}", str(n)) for n in range(count)]
        tree = f"{home}/tree-{count}"
        deploy(site(), locks, blobs, tree, allow_remove=count)
        changed, same = [], []
        for turn in range(runs):
            locks[0] = lock("tool0", f"turn {turn} of {count}", locks[0])
            act = functools.partial(deploy, site(), locks, blobs, tree)
            changed.append(measured(act))
            same.append(measured(act))
        for what, rows in (("one changed", changed), ("nothing to do", same)):
            wall, cpu = (statistics.median(column) for column in zip(*rows, strict=True))
            print(f"| deploy, {what} | {count} images | {wall:.3f} | {cpu:.3f} | - |")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    print("| way | size | wall s | CPU s | times umoci |\n|---|---|---|---|---|")
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as home:
        unpacking(home, given.files, given.runs)
        one_of_many(home, given.images, given.runs)


if __name__ == "__main__":
    main()
