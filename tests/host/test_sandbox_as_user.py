"""Root runs the sandbox's suites again as an ordinary user, and compares the modes' layers."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
from as_user import ordinary_user, reason_against, run_as

pytestmark = [
    pytest.mark.component("sandbox"),
    pytest.mark.skipif(bool(reason_against()), reason=reason_against() or "-"),
]
SUITES = (
    "tests/host/test_sandbox_jobs.py",
    "tests/host/test_sandbox_attacks.py",
    "tests/host/test_sandbox_escapes.py",
    "tests/oci/test_layers_steps.py",
    "tests/store/test_trees.py",
)


@pytest.mark.slow
def test_the_suites_pass_as_an_ordinary_user():
    with ordinary_user() as name:
        code, output = run_as(name, ["-m", "pytest", "-v", "-p", "no:cacheprovider", *SUITES])
    assert code == 0, output[-6000:]
    assert re.search(r"=+ [1-9]\d* passed in", output), output[-2000:]
    assert " skipped" not in output


def test_every_mode_gives_the_same_diff_ids(tmp_path):
    code = "import sys; sys.path[:0] = ['tests']; from layer_steps import *; print_diff_ids()"
    with ordinary_user() as name:
        exit_code, as_user = run_as(name, ["-c", code])
    assert exit_code == 0, as_user
    from layer_steps import diff_ids
    from rootfs import modes

    for mode in modes():
        assert diff_ids(mode) == as_user.split(), mode


def test_a_user_without_subordinate_ids_is_told_what_to_do():
    code = (
        "from ssds.host.probe import probe; import os; p = probe(os.environ['TMPDIR']); "
        "print(p.mode or 'none', p.reason, p.hint, sep='|')"
    )
    with ordinary_user() as name:
        for option, database in (
            ("--del-subuids", "/etc/subuid"),
            ("--del-subgids", "/etc/subgid"),
        ):
            with open(database, encoding="utf-8") as file:
                line = next(line for line in file if line.startswith(f"{name}:"))
            start, count = (int(n) for n in line.split(":")[1:])
            span = f"{start}-{start + count - 1}"
            subprocess.run(["usermod", option, span, name], check=True, capture_output=True)
        exit_code, output = run_as(name, ["-c", code])
    assert exit_code == 0, output
    mode, reason, hint = output.strip().split("|")
    assert mode == "none"
    assert "/etc/subuid" in reason
    assert "usermod --add-subuids" in hint
    assert name in hint
    assert os.geteuid() == 0
