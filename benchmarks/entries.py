"""What a layer of very many files costs a deployment: CPU time, time and memory.

``python benchmarks/entries.py [--entries N]`` makes an image with one such layer, deploys it to a
folder and checks that. Files have 16 bytes, a thousand of them to a folder; TMPDIR says where.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import resource
import sys
import tarfile
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from ship_makers import image, release, script, site

from ssds.oci.blobs import Blobs
from ssds.ship.checking import check_tree
from ssds.ship.deploy import deploy


def member(name: str, data: bytes | None, mode: int = 0o755) -> bytes:
    """Returns a folder, or a file with its content."""
    info = tarfile.TarInfo(name)
    info.mode = mode
    if data is None:
        info.type = tarfile.DIRTYPE
        return info.tobuf()
    info.size = len(data)
    return info.tobuf() + data + bytes(-len(data) % 512)


def write_layer(path: str, count: int) -> None:
    """Writes a tar of one program and ``count`` small files."""
    with open(path, "wb", buffering=1 << 20) as file:
        file.writelines(member(name, None) for name in ("usr", "usr/bin", "opt"))
        file.write(member("usr/bin/tool", script("echo one")))
        for number in range(count):
            folder = f"opt/{number // 1000:04}"
            if number % 1000 == 0:
                file.write(member(folder, None))
            file.write(member(f"{folder}/{number:07}", b"x" * 16, 0o644))
        file.write(bytes(1024))


def peak_mib() -> int:
    """Returns the most memory that this process had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    """Prints the figures as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, default=1_000_000)
    count = parser.parse_args().entries
    with tempfile.TemporaryDirectory() as folder:
        blobs = Blobs(f"{folder}/blobs")
        write_layer(f"{folder}/layer.tar", count)
        child = os.fork()  # who makes the image holds the tar in memory
        if not child:
            half = image(blobs, [Path(folder, "layer.tar").read_bytes()], ["tool"], {})
            Path(folder, "half").write_bytes(pickle.dumps(half))
            os._exit(0)
        os.waitpid(child, 0)
        lock = release(blobs, pickle.loads(Path(folder, "half").read_bytes()), name="tool")
        before = peak_mib()
        cpu, wall = time.process_time(), time.monotonic()
        deploy(site(), [lock], blobs, f"{folder}/tree")
        deployed, took = time.process_time() - cpu, time.monotonic() - wall
        cpu = time.process_time()
        assert check_tree(f"{folder}/tree").problems == ()
        result = {
            "entries": count,
            "deploy_cpu_s": round(deployed, 1),
            "deploy_s": round(took, 1),
            "check_cpu_s": round(time.process_time() - cpu, 1),
            "peak_mib": peak_mib(),
            "before_mib": before,
        }
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
