"""Builds, layers, unpacking and hashes, beside the tools that others use for them.

``python benchmarks/builders.py [--runs N] [--only PART]... [--save]`` (root; buildah, umoci,
openssl, and dockerd where it is). Ways of one part run in turn, so that a slow minute meets all.
Medians; CPU is that of the command and its children, which for Docker is the client's alone.
``--save`` writes ``benchmarks/results/builders.json`` and ``.md``; parts that did not run stay.
A released recipe to build is made first by the product, which takes minutes; ``--warm DIR`` keeps
it.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gzip
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from measure import Sample, Way, run, summary

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULT = HERE / "results" / "builders"
TASKS = [sys.executable, str(HERE / "builders_tasks.py")]
FILES, FOLDERS = 64_000, 640
HALF = 6100
"""Bytes that compress and bytes that do not, in each file: 777 MB together."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One comparison.

    Attributes:
        ours: the way of ssds; the ratio is its median over that of each other one.
        by: ``wall_s`` or ``cpu_s``; target: what the ratio to the other should not exceed.
        size_bytes: what it works on, for MB/s; 0 for none.
    """

    name: str
    ways: tuple[Way, ...]
    ours: str
    by: str = "cpu_s"
    target: float
    size_bytes: int = 0


def make_tree(root: Path) -> int:
    """Makes the tree of 64,000 files; returns their size in bytes."""
    rng = random.Random(1)
    text = b"the quick brown fox jumps over the lazy dog; " * 200
    for number in range(FILES):
        folder = root / f"d{number % FOLDERS:03}"
        if number < FOLDERS:
            folder.mkdir(parents=True)
        (folder / f"f{number:05}").write_bytes(rng.randbytes(HALF) + text[:HALF])
    return FILES * 2 * HALF


def make_layout(tar: Path, folder: Path) -> None:
    """Writes an image of one compressed layer, as other tools make it."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, media_type: str) -> dict[str, object]:
        name = hashlib.sha256(data).hexdigest()
        (blobs / name).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(data)}

    plain = tar.read_bytes()
    kind = "application/vnd.oci.image"
    layer = put(gzip.compress(plain, 1, mtime=0), f"{kind}.layer.v1.tar+gzip")
    diff_id = f"sha256:{hashlib.sha256(plain).hexdigest()}"
    rootfs = {"type": "layers", "diff_ids": [diff_id]}
    config = {"architecture": "amd64", "os": "linux", "rootfs": rootfs, "config": {}}
    named = put(json.dumps(config).encode(), f"{kind}.config.v1+json")
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.manifest.v1+json",
        "config": named,
        "layers": [layer],
    }
    entry = put(json.dumps(manifest).encode(), f"{kind}.manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "one"}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def way(name: str, shown: str, folder: Path, *words: str, gone: str = "") -> Way:
    """Returns a way; ``gone`` is a path in the folder that is removed before each run."""

    def before() -> None:
        target = folder / gone
        if gone and target.is_dir():
            shutil.rmtree(target)
        elif gone:
            target.unlink(missing_ok=True)

    program = shutil.which(words[0]) or words[0]
    return Way(name=name, command=[program, *words[1:]], shown=shown, folder=folder, before=before)


def byte_parts(folder: Path) -> Iterator[Part]:
    """Gives the parts that need no build."""
    size = make_tree(folder / "root")
    tar = ("--sort=name", "--numeric-owner", "--format=pax", f"--mtime=@{1_700_000_000}")
    yield Part(
        name="layer export",
        ours="ssds",
        target=1.0,
        size_bytes=size,
        ways=(
            way("ssds", "export_tree", folder, *TASKS, "export", "root", "own.tar", gone="own.tar"),
            way(
                "tar, sha256",
                "tar --sort=name | tee layer.tar | openssl dgst -sha256",
                folder,
                "sh",
                "-c",
                f"tar {' '.join(tar)} -C root -c . | tee other.tar | openssl dgst -sha256",
                gone="other.tar",
            ),
            way("tar", "tar --sort=name", folder, "tar", *tar, "-cf", "b.tar", "-C", "root", "."),
        ),
    )
    if not (folder / "own.tar").exists():
        subprocess.run([*TASKS, "export", "root", "own.tar"], cwd=folder, check=True)
    make_layout(folder / "own.tar", folder / "image")
    yield Part(
        name="unpack an image",
        ours="ssds",
        target=1 / 3,
        size_bytes=size,
        ways=(
            way("ssds", "unpack_image", folder, *TASKS, "unpack", "image", "here", gone="here"),
            way(
                "umoci",
                "umoci unpack",
                folder,
                "umoci",
                "unpack",
                "--image",
                "image:one",
                "bundle",
                gone="bundle",
            ),
        ),
    )
    blobs = sorted((folder / "image/blobs/sha256").iterdir(), key=lambda p: p.stat().st_size)
    big = str(blobs[-1].relative_to(folder))
    yield Part(
        name="sha256 of a blob",
        ours="ssds",
        target=1.1,
        size_bytes=blobs[-1].stat().st_size,
        ways=(
            way("ssds", "blobs.chunks", folder, *TASKS, "sha256", "image"),
            way("openssl", "openssl dgst -sha256", folder, "openssl", "dgst", "-sha256", big),
        ),
    )
    (folder / "text").write_text("0123456789abcdef" * (16 << 20))
    yield Part(
        name="blake3 of a text",
        ours="ssds",
        target=1.1,
        size_bytes=256 << 20,
        ways=(
            way("ssds", "key_of_text", folder, *TASKS, "blake3", "text"),
            way("library", "blake3.blake3(data)", folder, *TASKS, "raw", "text"),
        ),
    )


class Builds:
    """A recipe, and the same as a Dockerfile, for three builders."""

    def __init__(self, folder: Path, warm: Path) -> None:
        sys.path.insert(0, str(ROOT / "tests"))
        from e2e_workspace import Site, make_warm

        made = Site(warm) if (warm / "workspace").exists() else make_warm(warm)
        self.folder = folder
        self.site = made.copy(folder / "site")
        self.count = 0
        self.edit()
        self.site.good("lock", "bench", timeout_s=300)
        layer = self.site.lock("ground")["variants"]["default"]["platforms"]["linux/amd64"]
        self.base = layer["release"]["layers"][0]["diff_id"]
        (folder / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        self.buildah = ["buildah", "--root", f"{folder}/storage", "--runroot", f"{folder}/run"]
        self.buildah += ["--storage-driver", "overlay"]
        self.policy = ["--signature-policy", f"{folder}/policy.json"]
        self._base()

    def _base(self) -> None:
        """Brings the base to the other builders."""
        context = self.folder / "base"
        context.mkdir()
        os.link(self.site.blob(self.base), context / "base.tar")
        (context / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
        more = ["bud", *self.policy, "-q", "-t", "localhost/bench-base", str(context)]
        subprocess.run([*self.buildah, *more], check=True, stdout=subprocess.DEVNULL)
        self.docker = ""
        if shutil.which("dockerd"):
            from docker_server import docker_host

            self.docker = os.environ["DOCKER_HOST"] = docker_host()
            program = "/usr/bin/docker" if os.path.exists("/usr/bin/docker") else "docker"
            self.client = [program]
            tar = str(context / "base.tar")
            subprocess.run(
                [*self.client, "import", tar, "localhost/bench-base"],
                check=True,
                stdout=subprocess.DEVNULL,
            )

    def edit(self) -> None:
        """Changes the last of eight steps."""
        self.count += 1
        steps = "".join(
            f"  - run: |\n      mkdir -p /opt/bench/{n}; head -c 4000000 /usr/bin/perl "
            f"> /opt/bench/{n}/file; gzip -nk /opt/bench/{n}/file\n"
            for n in range(7)
        )
        self.site.recipe("bench", "  - run: |\n      wc", f"{steps}  - run: |\n      wc")
        self.site.edit("catalog/bench/recipe.yaml", "wc -l", f": {self.count}; wc -l")

    def render(self) -> None:
        """Writes the Dockerfile of the recipe as it is."""
        context = self.folder / "context"
        if context.exists():
            shutil.rmtree(context)
        self.site.good("render", "--base", "localhost/bench-base", "--out", str(context), "bench")

    def part(self, name: str, target: float, *, cold: bool) -> Part:
        """Returns the comparison of builds that are cold, or whose last step was edited."""

        def changed() -> None:
            self.edit()
            self.render()

        def before() -> None:
            if not cold:
                changed()

        self.render()
        own = [sys.executable, "-m", "ssds", "-C", str(self.site.workspace)]
        own += ["apply", "--yes", "bench:build", *(["--rerun", "bench:build"] if cold else [])]
        bud = ["bud", *self.policy, "--isolation", "oci", "--runtime", "runc", "--network", "none"]
        bud += ["--layers", *(["--no-cache"] if cold else []), "-t", "bench", "context"]
        flags = "--no-cache " if cold else ""
        ways = [
            self._way("ssds", "ssds apply bench:build", own, before),
            self._way("buildah", f"buildah bud --layers {flags}.", [*self.buildah, *bud], before),
        ]
        if self.docker:
            words = ["env", "DOCKER_BUILDKIT=1", *self.client, "build", "--network", "none", "-q"]
            words += [*(["--no-cache"] if cold else []), "-t", "bench", "context"]
            ways.append(self._way("docker", f"docker build {flags}. (BuildKit)", words, before))
        return Part(name=name, ways=tuple(ways), ours="ssds", by="wall_s", target=target)

    def _way(self, name: str, shown: str, command: list[str], before: Callable[[], None]) -> Way:
        program = shutil.which(command[0]) or command[0]
        command = [program, *command[1:]]
        return Way(name=name, command=command, shown=shown, folder=self.folder, before=before)


def measured(part: Part, runs: int, scratch: Path) -> dict[str, object]:
    """Runs a part's ways in turn; one round before it is not counted."""
    samples: dict[str, list[Sample]] = {one.name: [] for one in part.ways}
    for number in range(runs + 1):
        for one in part.ways:
            sample, _ = run(one, scratch)
            if number:
                samples[one.name].append(sample)
    found = {name: dict(summary(values)) for name, values in samples.items()}
    ratios = {
        name: round(float(found[part.ours][part.by]) / float(values[part.by]), 3)
        for name, values in found.items()
        if name != part.ours
    }
    return {
        "by": part.by,
        "target": round(part.target, 3),
        "size_bytes": part.size_bytes,
        "load": f"{os.getloadavg()[0]:.1f}",
        "shown": {one.name: one.shown for one in part.ways},
        "ways": found,
        "ratios": ratios,
    }


def markdown(found: dict[str, dict]) -> str:
    """Returns the table of the results."""
    today = dt.datetime.now(dt.UTC).date()
    lines = [
        "# Builders, layers, unpacking, hashes",
        "",
        f"Made by `python benchmarks/builders.py --save` on {today}; medians of runs in turn, on a",
        f"machine of {os.cpu_count()} processors that did other work too (its load stands beside).",
        "",
        "| part | way | wall s | CPU s | MB/s | ratio of ssds to it | target | load |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, part in found.items():
        for other, values in part["ways"].items():
            speed = part["size_bytes"] / values[part["by"]] / 1e6 if part["size_bytes"] else 0
            ratio = part["ratios"].get(other)
            cells = [name, f"{other}: `{part['shown'][other]}`".replace("|", "\\|")]
            cells += [f"{values['wall_s']:.2f}", f"{values['cpu_s']:.2f}"]
            cells += [
                f"{speed:.0f}" if speed else "-",
                f"{ratio:.2f} ({part['by'][:-2]})" if ratio else "-",
            ]
            cells.append(f"≤ {part['target']:.2f}" if ratio else "-")
            cells.append(part["load"])
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", action="append", choices=("bytes", "builds"), default=[])
    parser.add_argument("--folder", type=Path, default=ROOT / ".bench" / "builders")
    parser.add_argument("--warm", type=Path)
    parser.add_argument("--save", action="store_true")
    asked = parser.parse_args()
    folder: Path = asked.folder
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    parts = set(asked.only) or {"bytes", "builds"}
    found: dict[str, dict] = {}
    try:
        if "builds" in parts:
            builds = Builds(folder, asked.warm or folder / "warm")
            for name, target, cold in (
                ("build, cold", 1.1, True),
                ("last step edited", 1.0, False),
            ):
                found[name] = measured(builds.part(name, target, cold=cold), asked.runs, folder)
                print(json.dumps({name: found[name]["ratios"]}), flush=True)
        if "bytes" in parts:
            for part in byte_parts(folder):
                found[part.name] = measured(part, asked.runs, folder)
                print(json.dumps({part.name: found[part.name]["ratios"]}), flush=True)
    finally:
        subprocess.run(["umount", f"{folder}/storage/overlay"], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)
    if asked.save and RESULT.with_suffix(".json").exists():
        found = {**json.loads(RESULT.with_suffix(".json").read_text()), **found}
    text = markdown(found)
    print(text)
    if asked.save:
        RESULT.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
        RESULT.with_suffix(".md").write_text(text)


if __name__ == "__main__":
    main()
