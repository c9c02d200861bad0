"""Prints the keys and the plan of workspaces, for laws on the surroundings of a process.

Usage: ``python laws_keys.py [--shuffle SEED] [--umask OCTAL] WORKSPACE…``
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Self

from laws_bench import lock_files, open_workspace, plan
from laws_model import keys_of


class _Shuffled:
    """A folder's entries in another order; a context manager and an iterator as ``scandir`` is."""

    def __init__(self, entries: list[os.DirEntry[str]]) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> Iterator[os.DirEntry[str]]:
        return self._entries

    def __next__(self) -> os.DirEntry[str]:
        return next(self._entries)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is open."""


def shuffle_folders(seed: int) -> None:
    """Makes every listing of a folder come in another order, in this process."""
    random = Random(seed)
    scandir, listdir = os.scandir, os.listdir

    def scanned(path: object = ".") -> _Shuffled:
        with scandir(path) as found:  # type: ignore[type-var, arg-type]
            entries = list(found)
        random.shuffle(entries)
        return _Shuffled(entries)  # type: ignore[arg-type]

    def listed(path: object = ".") -> list[str]:
        names = listdir(path)  # type: ignore[arg-type]
        random.shuffle(names)
        return names  # type: ignore[return-value]

    os.scandir = scanned  # type: ignore[assignment]
    os.listdir = listed  # type: ignore[assignment]


def told(root: Path) -> dict[str, object]:
    """Returns the keys of a workspace's graph in the model, and its joint plan."""
    as_of = dt.date(2026, 11, 22)
    workspace = open_workspace(root)
    planned = plan(root)
    steps = planned.plan.steps.values()
    return {
        "model": keys_of(workspace.graph(as_of)),
        "plan": planned.delivery.to_dict(full=True),
        "keys": {s.node.id.label: str(s.action.key) for s in steps if s.action},
        "order": [s.node.id.label for s in steps],
        "locks": sorted(lock_files(root)),
    }


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shuffle", type=int)
    parser.add_argument("--umask", type=lambda text: int(text, 8))
    parser.add_argument("workspaces", nargs="+")
    asked = parser.parse_args()
    places = [Path(w) for w in asked.workspaces]
    if asked.umask is not None:
        os.umask(asked.umask)
    if asked.shuffle is not None:
        shuffle_folders(asked.shuffle)
    json.dump([told(place) for place in places], sys.stdout)


if __name__ == "__main__":
    main()
