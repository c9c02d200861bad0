"""A plan with the index tells whether steps can run here as truly as one without it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from e2e_workspace import ROOT

ALONE = ("unshare", "--user", "--map-root-user")
"""A user namespace with one id, as some containers give it: 65536 ids cannot be mapped there."""


def plan(folder: Path, *options: str, before: tuple[str, ...] = ()) -> str:
    done = subprocess.run(
        [*before, sys.executable, "-m", "ssds", "plan", *options],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.component("sandbox")
def test_a_sandbox_that_worked_elsewhere_makes_nothing_buildable_here(tmp_path: Path) -> None:
    if subprocess.run([*ALONE, "true"], check=False).returncode:
        pytest.skip("no user namespace with one id can be made here")
    folder = tmp_path / "catalog"
    maker = ROOT / "benchmarks" / "make_catalog.py"
    subprocess.run([sys.executable, maker, "2", folder], check=True, capture_output=True)
    plan(folder)
    path = next(folder.glob("catalog/*/recipe.yaml"))
    path.write_text(path.read_text().replace("make install", "make install AGAIN=1", 1))

    before = plan(folder)
    there = plan(folder, before=ALONE)
    after = plan(folder)

    assert "0 waiting" in before
    assert before == after
    assert "no builder here: " in there
    assert there == plan(folder, "--no-index", before=ALONE)
    assert before == plan(folder, "--no-index")
