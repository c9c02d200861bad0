"""Audits the whole starter catalog for amd64 and writes the dated result.

Rebuilds: as root, with every processor and the real clock, on the disk; as an ordinary user (made
for the run where this is root), with one processor, 400 days later, on another file system; by
buildah; and by a Docker Engine where one can be had. The result is
``benchmarks/results/audit.md``; names of recipes on the command line audit only those and write
nothing.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STORE = ROOT / ".audit" / "store"
RESULT = ROOT / "benchmarks" / "results" / "audit"
PLATFORM = "linux/amd64"
MEMORY = "/dev/shm"


def audit(*arguments: str) -> dict[str, object]:
    print("$ ssds audit " + " ".join(arguments), flush=True)
    done = subprocess.run(
        [
            "nice",
            sys.executable,
            "-m",
            "ssds",
            "audit",
            "--json",
            "--platform",
            PLATFORM,
            *arguments,
        ],
        cwd=ROOT,
        env={**os.environ, "SSDS_STORE": str(STORE)},
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode not in (0, 4):
        sys.exit(f"audit: it ended with exit code {done.returncode}")
    found: dict[str, object] = json.loads(done.stdout)
    return found


def ordinary_user() -> str:
    name = f"ssdsa{secrets.token_hex(4)}"
    for path in ("/etc/subuid", "/etc/subgid"):  # useradd gives ids only where these files are
        with open(path, "a", encoding="ascii"):
            pass
    subprocess.run(["useradd", "-m", "-s", "/bin/sh", name], check=True, capture_output=True)
    return name


def rows(found: dict[str, object]) -> list[str]:
    lines = []
    for one in (*found["bases"], *found["audits"]):  # type: ignore[misc]
        name = one.get("base") or one["release"]
        causes = ", ".join(one.get("causes", ())) or "-"
        lines.append(f"| {name} | {one['class']} | {one.get('level') or '-'} | {causes} |")
    return lines


def surroundings(found: dict[str, object]) -> list[str]:
    first = found["audits"][0]  # type: ignore[index]
    varied = [f"- changed: {k}: {v}" for k, v in sorted(first["varied"].items()) if k != "user"]
    kept = [f"- as before: {k}: {v}" for k, v in sorted(first["kept"].items())]
    head = f"Mode `{first['mode']}`, builder `{first['builder']}`, "
    return [head + f"in {first['duration_ms'] // 1000} s.", "", *varied, *kept]


def write(runs: list[tuple[str, dict[str, object]]]) -> None:
    today = dt.datetime.now(dt.UTC).date()
    lines = [
        "# The starter catalog, audited",
        "",
        f"Made by `make audit` on {today} for {PLATFORM}. Every rebuild",
        "bootstraps the base and executes every step in an empty store; see",
        "[what is varied](../../docs/explanation/reproducibility.md#audits).",
    ]
    for title, found in runs:
        lines += ["", f"## {title}", "", *surroundings(found), ""]
        lines += ["| image | class | level | causes |", "|---|---|---|---|", *rows(found)]
    RESULT.with_suffix(".md").write_text("\n".join(lines) + "\n")


def engine() -> bool:
    """Whether a Docker Engine answers; as root one is started for the run."""
    from ssds.builders.table import obstacle

    if obstacle("docker") is None:
        return True
    if os.geteuid() != 0 or not shutil.which("dockerd"):
        return False
    sys.path.insert(0, str(ROOT / "tests"))
    from docker_server import docker_host

    os.environ["DOCKER_HOST"] = docker_host()
    return obstacle("docker") is None


def rebuilds(names: list[str]) -> Iterator[tuple[str, dict[str, object]]]:
    """Gives a title and what was found, one rebuild after the other."""
    cpus = str(len(os.sched_getaffinity(0)))
    other = MEMORY if os.path.isdir(MEMORY) else "/var/tmp"
    disk = ["--cpus", cpus, "--days", "0", "--scratch", "/var/tmp"]
    later = ["--cpus", "1", "--days", "400"]
    yield "As root, on the disk", audit(*names, *disk, "--builder", "embedded")
    if shutil.which("buildah"):
        found = audit(*names, *later, "--scratch", "/var/tmp", "--builder", "buildah")
        yield "By buildah", found
    user = ordinary_user() if os.geteuid() == 0 else ""
    try:
        more = ["--scratch", other, "--builder", "embedded", *(["--user", user] if user else [])]
        yield "As an ordinary user, in memory", audit(*names, *later, *more)
    finally:
        if user:
            subprocess.run(["userdel", "-r", user], check=False, capture_output=True)
    if engine():
        yield "By a Docker Engine", audit(*names, *disk, "--builder", "docker")


def main() -> None:
    names = sys.argv[1:]
    runs = []
    for run in rebuilds(names):
        runs.append(run)
        if not names:
            write(runs)
    codes = {str(found["exit_code"]) for _, found in runs}
    if codes != {"0"}:
        sys.exit("audit: a rebuild differs")
    print(f"audit: every image is identical, {len(runs)} times.")


if __name__ == "__main__":
    main()
