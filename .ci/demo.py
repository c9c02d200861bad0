"""The main job on the starter catalog, shown step by step: plan, apply, plan, deploy, run a tool.

It works in ``.demo/`` (ignored by git): a scratch copy of the workspace, a store, a deployed
site. ``python .ci/demo.py --arm64`` builds the second platform too (emulated where needed).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / ".demo"
WORKSPACE = DEMO / "workspace"
SITE = DEMO / "site"
LMOD = Path("/usr/share/lmod/lmod/init/bash")
COPIED = ("catalog", "lockfiles", "ssds.yaml")
PLATFORM = "linux/amd64"


def title(text: str) -> None:
    print(f"\n\033[1m── {text}\033[0m" if sys.stdout.isatty() else f"\n── {text}", flush=True)


def ssds(*arguments: str, check: bool = True, show: bool = True) -> int:
    if show:
        print("$ ssds " + " ".join(arguments), flush=True)
    environment = {**os.environ, "SSDS_STORE": str(DEMO / "store")}
    program = [sys.executable, "-m", "ssds", *arguments]
    done = subprocess.run(program, cwd=WORKSPACE, env=environment, check=False)
    if check and done.returncode:
        sys.exit(f"demo: ssds {arguments[0]} ended with exit code {done.returncode}")
    return done.returncode


def prepare() -> bool:
    """Makes the scratch workspace; returns whether the store is empty."""
    empty = not (DEMO / "store" / "blobs").is_dir()
    renewed = WORKSPACE / ".renewed"
    stamp = "".join(sorted(p.read_text() for p in (ROOT / "lockfiles").glob("*.json")))
    keep_locks = renewed.exists() and renewed.read_text() == stamp
    for name in COPIED:
        source, target = ROOT / name, WORKSPACE / name
        if name == "lockfiles" and keep_locks:
            continue
        if target.is_dir():
            shutil.rmtree(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target)
    if not keep_locks:
        renewed.unlink(missing_ok=True)
    return empty


def apply(platforms: list[str]) -> bool:
    """Applies; renews pins in the scratch workspace when one has left its mirror.

    Returns whether pins were renewed.
    """
    chosen = [word for p in platforms for word in ("--platform", p)]
    arguments = ("apply", *chosen, "--fetch", "--refresh", "--yes")
    code = ssds(*arguments, check=False)
    if code == 0:
        return (WORKSPACE / ".renewed").exists()
    if not gone():
        sys.exit(f"demo: ssds apply ended with exit code {code}")
    print(
        "\nA pinned package has left its mirror, so the committed locks cannot be built from it\n"
        "any more. The pins are renewed now, in this demo's scratch workspace only."
    )
    ssds("lock", *chosen, "--upgrade", "all")
    stamp = "".join(sorted(p.read_text() for p in (ROOT / "lockfiles").glob("*.json")))
    (WORKSPACE / ".renewed").write_text(stamp)
    ssds(*arguments)
    return True


def gone() -> bool:
    """Whether the last apply failed because a mirror does not have a pinned file any more."""
    last = last_apply()
    return any(
        node.get("code") in ("F053", "F055") for node in last["nodes"] if node["state"] == "failed"
    )


def last_apply() -> dict[str, list[dict[str, str]]]:
    path = WORKSPACE / ".ssds" / "last-apply.json"
    return json.loads(path.read_text()) if path.exists() else {"nodes": []}


def executed(kind: str) -> int:
    done = (n for n in last_apply()["nodes"] if n["state"] == "done" and n["kind"] == kind)
    return sum(1 for _ in done)


def differing_locks() -> list[str]:
    return [
        path.name
        for path in sorted((ROOT / "lockfiles").glob("*.json"))
        if path.read_bytes() != (WORKSPACE / "lockfiles" / path.name).read_bytes()
    ]


def shell(script: str) -> None:
    print("$ " + script.replace("\n", "\n$ "), flush=True)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("LMOD", "MODULE"))}
    done = subprocess.run(
        ["bash", "-c", f"source {LMOD}; set -e -o pipefail; {script}"],
        check=False,
        cwd=DEMO,
        env=clean,
    )
    if done.returncode:
        sys.exit(f"demo: the deployed tool ended with exit code {done.returncode}")


def main() -> None:
    began = time.monotonic()
    platforms = [PLATFORM, *(["linux/arm64"] if "--arm64" in sys.argv else [])]
    empty = prepare()
    title("What would be done? The locks name every result, so nothing has to be built")
    ssds("plan", "--platform", PLATFORM)
    if empty:
        title(
            "Fetch the bytes all the same: build, test, scan, publish, and compare with the locks"
        )
    else:
        title("Fetch what is missing (the store has it from the last run)")
    renewed = apply(platforms)
    if empty:
        builds, tests = executed("build"), executed("test")
        print(f"\n{builds} builds and {tests} tests were executed.")
        if not builds or not tests:
            sys.exit("demo: the store was empty, but nothing was built or tested")
    if not renewed:
        differing = differing_locks()
        if differing:
            sys.exit(f"demo: rebuilt results differ from the locks: {', '.join(differing)}")
        print("Every digest equals the committed locks.")
    title("Plan again: nothing to do")
    ssds("plan", *(word for p in platforms for word in ("--platform", p)))
    title("Deploy for the example site: images, Lmod modules, wrappers")
    ssds("deploy", "--site", "example", "--to", str(SITE))
    title("Use a tool as a researcher does: through its module, and through its plain wrapper")
    reads = "@read1\\nACGTACGT\\n+\\nIIIIIIII\\n@read2\\nGGCC\\n+\\nIIII\\n"
    shell(
        f"module use {SITE}/modules\n"
        "module load seqtk\n"
        "command -v seqtk\n"
        f"printf '{reads}' | seqtk seq -A -"
    )
    shell(f"{SITE}/wrappers/samtools/1.16.1/bin/samtools --version | head -n 2")
    took = time.monotonic() - began
    print(
        f"\nDone in {took:.0f} s. Try next:\n"
        f"  source {LMOD}; module use {SITE}/modules; module avail\n"
        "  cd .demo/workspace                   # a workspace of your own to play in\n"
        "  $EDITOR catalog/samtools/recipe.yaml; ssds plan      # edit a summary, a test, a step\n"
        "  ssds explain samtools:build          # why it runs or is reused\n"
        "  ssds status; ssds show samtools      # what is released\n"
        "  docs/tutorial/first-recipe.md        # your own recipe in ten minutes"
    )


if __name__ == "__main__":
    main()
