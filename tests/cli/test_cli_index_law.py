"""The index law by the real command line, in processes of its own."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from e2e_workspace import Ended, Site, assert_no_traceback
from index_law import World, seeds

STEPS = 5
CALM_S = 0.1
"""After so long the command line trusts a file's times."""
FORMS = (("--json",), (), ("--full", "--json"), ("--detailed-exitcode",), ("--full",))


def without_warnings(ended: Ended) -> tuple[int, str, str]:
    """Gives what was said but for the one line on the index itself."""
    lines = [line for line in ended.err.splitlines() if "plan index" not in line]
    return ended.code, ended.out, "\n".join(lines)


@pytest.mark.parametrize("seed", seeds(2))
def test_the_command_line_says_with_the_index_what_it_says_without(
    seed: int, tmp_path: Path
) -> None:
    world, site = World(tmp_path, seed), Site(tmp_path)
    for number in range(STEPS):
        form = FORMS[number % len(FORMS)]
        if number % 2:
            time.sleep(CALM_S)
        first = site.run("plan", *form)
        again = site.run("plan", *form)
        wanted = site.run("plan", "--no-index", *form)
        assert_no_traceback(first)
        diary = "\n".join(world.diary[-6:])
        assert without_warnings(first) == without_warnings(wanted), diary
        assert without_warnings(again) == without_warnings(wanted), diary
        world.step()
