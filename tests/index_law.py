"""A workspace edited at random (``laws_edits``), planned with and without the index."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import laws_edits_catalog
import laws_edits_shared
import pytest
from laws_bench import apply_plan, close, lock, no_sync, open_workspace
from laws_catalogs import AMD64, ARM64, write_catalog
from laws_edits import Editor

from ssds import workspace as workspace_module
from ssds.cli import index_memory, indexed, planning
from ssds.core.errors import InputError, SsdsError
from ssds.graph.index import hot, rows

assert laws_edits_catalog, laws_edits_shared  # their edits are in the table now
CALM_S = 0.02
FINE_NS = 15_000_000
"""A file's times are trusted after so long here; the product waits longer. Linux's own clock for
files ticks every 1 to 10 ms."""
ASKED = (
    *[planning.Asked()] * 6,
    planning.Asked(platforms=(AMD64,)),
    planning.Asked(platforms=(ARM64,)),
    planning.Asked(retry=True),
)
DATES = ((2026, 11, 22), (2030, 6, 30), (2030, 7, 1), (2032, 1, 1))


def seeds(count: int) -> range:
    """Gives so many seeds, or those that the environment asks for."""
    first, dash, last = os.environ.get("SSDS_LAW_SEEDS", str(count)).partition("-")
    return range(int(first), int(last)) if dash else range(int(first))


@dataclass(frozen=True)
class Told:
    """What a plan told: a plan as data and as text, or an error."""

    plan: Any = None
    text: str = ""
    exit_code: int = 0
    error: tuple[str, ...] = ()


WARNINGS: list[str] = []
"""What was said of the index itself."""


def told(root: Path, asked: planning.Asked, *, index: bool, full: bool = False) -> Told:
    """Plans in this process."""
    workspace = None
    try:
        workspace = open_workspace(root)
        if index:
            delivery = indexed.deliver(workspace, asked, full=full)
        else:
            delivery = planning.make(workspace, asked).delivery
        return Told(
            plan=delivery.to_dict(full=full),
            text=planning.render(delivery, full=full),
            exit_code=delivery.exit_code,
        )
    except InputError as error:
        return Told(error=tuple(str(d) for d in error.diagnostics))
    except SsdsError as error:
        return Told(error=(error.code, error.message))
    finally:
        if workspace is not None:
            close(workspace)


def difference(found: Told, wanted: Told) -> str:
    """Gives the lines in which two answers differ, as data and as text."""
    lines = []
    for one, other in ((found, wanted), (wanted, found)):
        sign = "-" if one is found else "+"
        known = _lines(other)
        lines += [f"{sign} {line}" for line in _lines(one) if line not in known]
    return "\n".join(lines or ["the order of", *_lines(found), "is not that of", *_lines(wanted)])


def _lines(one: Told) -> list[str]:
    plan = one.plan or {"summary": {}, "steps": [], "notes": []}
    rows_ = [json.dumps(step, ensure_ascii=False) for step in plan["steps"]]
    text = [*one.text.splitlines(), f"exit code {one.exit_code}", *one.error]
    return [str(plan["summary"]), *rows_, *plan["notes"], *text]


def shortest(root: Path) -> str | None:
    """Gives what the shortest way prints, which looks at nothing but the index."""
    path = root / ".ssds/plan.index"
    return hot.printed(str(root), str(path), as_json=False)


@contextlib.contextmanager
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A shorter wait until times are trusted; nothing is synced; warnings are kept."""
    with monkeypatch.context() as patch, no_sync():
        patch.setattr(rows, "_FINE_NS", FINE_NS)
        patch.setattr(index_memory, "say", WARNINGS.append)
        yield


class Clock:
    """Sets the date in this process."""

    def __init__(self) -> None:
        self.date = dt.datetime(*DATES[0], 12, tzinfo=dt.UTC)
        self._real = dt.datetime

    def time(self) -> float:
        return self.date.timestamp()

    @contextlib.contextmanager
    def told(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        clock = self

        class Moved(dt.datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return clock.date.astimezone(tz)

        class Module:
            datetime, date, UTC, timedelta = Moved, dt.date, dt.UTC, dt.timedelta

        with monkeypatch.context() as patch:
            patch.setattr(index_memory, "dt", Module)
            patch.setattr(workspace_module, "dt", Module)
            patch.setattr(hot.time, "time", self.time)
            yield


class World:
    """A workspace that is edited and planned, with a diary."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = Random(seed)
        self.root = folder / "workspace"
        self.diary: list[str] = [f"seed {seed}"]
        write_catalog(self.root, self.random)
        lock(self.root)
        apply_plan(self.root)
        self.editor = Editor(self.root, self.random)
        self.clock = Clock()

    def step(self) -> None:
        """Does one edit, or something else that a plan rests on."""
        choice = self.random.random()
        try:
            if choice < 0.75:
                done = self.editor.step()
            elif choice < 0.80:
                self.clock.date = dt.datetime(*self.random.choice(DATES), 12, tzinfo=dt.UTC)
                done = f"it is {self.clock.date.date()}"
            elif choice < 0.85:
                done = self._blob_lost()
            elif choice < 0.88:
                told(self.root, planning.Asked(refresh=True), index=self.random.random() < 0.5)
                done = "the channels were looked at"
            elif choice < 0.90:
                done = self._store_away()
            elif choice < 0.95:
                done = f"locked: {lock(self.root)}"
            else:
                done = f"applied: {apply_plan(self.root).locks}"
        except SsdsError as error:
            done = f"refused: {error.code}"
        self.diary.append(done)

    def _selectors(self) -> tuple[str, ...]:
        """Gives recipes, releases and nodes, also some that are not there."""
        names = [path.parent.name for path in self.editor.recipes()] + ["missing"]
        kinds = ("", "", "@1.0", "@1.0:build", ":gate")
        count = self.random.randint(1, 2)
        return tuple(self.random.choice(names) + self.random.choice(kinds) for _ in range(count))

    def _blob_lost(self) -> str:
        blobs = sorted((self.root.parent / "store/blobs/sha256").glob("*"))
        if not blobs:
            return "no blob"
        path = self.random.choice(blobs)
        path.unlink()
        return f"the store lost {path.name[:8]}"

    def _store_away(self) -> str:
        store, aside = self.root.parent / "store", self.root.parent / "store-aside"
        if aside.exists():
            if store.exists():
                shutil.rmtree(store)
            os.replace(aside, store)
            return "the store is back"
        if store.exists():
            os.replace(store, aside)
        return "the store is away"

    def check(self) -> None:
        """Holds the law here and now."""
        asked = self.random.choice(ASKED)
        if self.random.random() < 0.2:
            asked = replace(asked, selectors=self._selectors())
        full = self.random.random() < 0.1
        if self.random.random() < 0.8:
            time.sleep(CALM_S)
        hot_text = shortest(self.root) if asked == planning.Asked() else None
        found = told(self.root, asked, index=True, full=full)
        wanted = told(self.root, asked, index=False, full=full)
        self._same(found, wanted, f"{asked}, full={full}")
        if hot_text is not None and not full:
            self._same(replace(wanted, text=hot_text), wanted, "the shortest way")
        # Who edits ssds itself while this runs is told so, and rightly.
        warnings = [text for text in WARNINGS if "another version" not in text]
        WARNINGS.clear()
        self._same(replace(found, error=(*found.error, *warnings)), found, "a warning")
        again = told(self.root, asked, index=True, full=full)
        self._same(again, wanted, f"again, {asked}, full={full}")

    def _same(self, found: Told, wanted: Told, what: str) -> None:
        if found != wanted:
            diary = "\n".join(self.diary[-8:])
            pytest.fail(f"{what}, after\n{diary}\n\n{difference(found, wanted)}", pytrace=False)
