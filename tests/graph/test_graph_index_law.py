"""The law of the plan index: a plan with it is the plan without it, whatever was edited.

Random edits of random catalogs, from seeds. ``SSDS_LAW_SEEDS=500`` tries more of them;
``SSDS_LAW_SEEDS=17-18`` one.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from index_law import CALM_S, World, quick, seeds, told

from ssds.cli import planning

STEPS = 15


@pytest.mark.parametrize("seed", seeds(8))
def test_a_plan_with_the_index_is_the_plan_without_it(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with quick(monkeypatch):
        world = World(tmp_path, seed)
        with world.clock.told(monkeypatch):
            world.check()
            for _ in range(STEPS):
                for _ in range(world.random.choice((1, 1, 1, 2, 3))):
                    world.step()
                world.check()


@pytest.mark.parametrize("seed", seeds(3))
def test_what_is_edited_while_plans_are_made_is_seen_by_the_next_one(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with quick(monkeypatch):
        world = World(tmp_path, seed)
        for _ in range(4):
            done = threading.Event()

            def edits(done: threading.Event = done) -> None:
                try:
                    for _ in range(12):
                        world.diary.append(f"meanwhile {world.editor.step()}")
                        time.sleep(0.002)
                finally:
                    done.set()

            thread = threading.Thread(target=edits)
            thread.start()
            while not done.is_set():
                try:
                    told(world.root, planning.Asked(), index=True)
                except OSError as error:  # a file went between two looks; the command line says so
                    world.diary.append(f"meanwhile {error}")
            thread.join()
            time.sleep(CALM_S)
            world.check()
