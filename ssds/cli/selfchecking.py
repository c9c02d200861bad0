"""Tries the law of the plan index: with it a plan says what it says without it."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ssds.cli import indexed, planning
from ssds.cli.output import json_text
from ssds.core.diagnostics import Diagnostic
from ssds.core.errors import InputError, SsdsError
from ssds.delivery import Delivery
from ssds.graph.index import hot
from ssds.graph.index.layout import FILE_NAME
from ssds.host.edits import EDITS
from ssds.host.premises import Trial
from ssds.host.scratch import Editing, copy_workspace
from ssds.recipe.settings import SETTINGS_FILE, read_settings
from ssds.workspace import LOCK_FOLDER, STATE_FOLDER, Workspace

_CALM_S = 0.06
"""After so long the index trusts the times of files; before, it reads them again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a plan says: its JSON value and exit code, or the problem that it tells instead."""

    value: dict[str, Any] | None = None
    code: int = 1
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One comparison.

    Attributes:
        after: what was done before it.
        differences: lines that say what differs; none where all is well.
        broken: the plan is a problem that is told, with the index and without.
    """

    after: str
    differences: tuple[str, ...]
    broken: bool = False


def outcome_of(make: Callable[[], Delivery]) -> Outcome:
    """Returns what a plan says; errors that a user would see are a result too."""
    try:
        delivery = make()
    except InputError as error:
        found = (d.render() for d in error.diagnostics if isinstance(d, Diagnostic))
        return Outcome(problem="\n".join(found))
    except SsdsError as error:
        return Outcome(problem=f"{error.code}: {error.message}")
    return Outcome(value=delivery.to_dict(), code=delivery.exit_code)


def differences(found: Outcome, wanted: Outcome) -> tuple[str, ...]:
    """Returns what the first says and the second does not, and the other way round, in lines."""
    if found == wanted:
        return ()
    ours, theirs = _lines(found), _lines(wanted)
    lines = [f"only with the index: {line}" for line in ours if line not in set(theirs)]
    lines += [f"only without it: {line}" for line in theirs if line not in set(ours)]
    return tuple(lines) or ("the rows are the same, in another order",)


def _lines(outcome: Outcome) -> list[str]:
    if outcome.value is None:
        return outcome.problem.splitlines()
    lines = [
        " ".join(filter(None, (row["verb"], row["node"], row["platform"], f"({row['reason']})")))
        for row in outcome.value["steps"]
    ]
    lines += [f"note: {note}" for note in outcome.value["notes"]]
    counts = ", ".join(f"{count} {name}" for name, count in outcome.value["summary"].items())
    return [*lines, f"counts: {counts}; exit code {outcome.code}"]


def check(workspace: Workspace, path: str, after: str) -> Check:
    """Compares plans with the index at ``path``, also on its shortest way, and without one."""

    def by_index() -> Delivery:
        return indexed.Session(_anew(workspace), planning.Asked(), path).deliver(full=False)

    # The whole plan comes last: it opens the store, and an open store is a changed one.
    text = hot.printed(workspace.root, path, as_json=True)
    found = outcome_of(by_index)
    wanted = outcome_of(lambda: planning.make(_anew(workspace), planning.Asked()).delivery)
    if text is not None and text != _as_printed(wanted):
        return Check(after=after, differences=_told(text, wanted))
    broken = wanted.value is None
    return Check(after=after, differences=differences(found, wanted), broken=broken)


def _as_printed(outcome: Outcome) -> str:
    return "" if outcome.value is None else json_text(outcome.value, escaped=True)


def _told(text: str, wanted: Outcome) -> tuple[str, ...]:
    """Returns how the words that the index keeps differ from a plan."""
    import json

    try:
        found = Outcome(value=json.loads(text), code=0)
        return differences(found, wanted) or ("the index keeps the plan in another form",)
    except (ValueError, KeyError, TypeError):
        return ("the words that the index keeps are no plan",)


def _anew(workspace: Workspace) -> Workspace:
    """Returns the workspace with nothing read yet; its store, if open, is the same."""
    fresh = replace(workspace, trial=Trial())
    if "store" in workspace.__dict__:
        fresh.__dict__["store"] = workspace.store
    return fresh


class Scratch:
    """A copy of a workspace, and the law after each of many edits.

    Args:
        workspace: the user's; its files and its store are only read.
        folder: an empty folder, which the caller removes.
        seed: of the edits; equal seeds give equal edits.
    """

    def __init__(self, workspace: Workspace, folder: str, seed: int) -> None:
        self._user = workspace
        self.root = os.path.join(folder, "workspace")
        catalog = workspace.settings.catalog
        names = (SETTINGS_FILE, catalog, LOCK_FOLDER, f"{STATE_FOLDER}/observed")
        copy_workspace(workspace.root, self.root, names)
        chance = random.Random(seed)  # noqa: S311
        self.editing = Editing(self.root, catalog, LOCK_FOLDER, chance)
        self._random = chance

    def checks(self, edits: int) -> Iterator[Check]:
        """Tries the law on the copy, then after each edit; what breaks the copy is undone."""
        yield self._check("copying the catalog")
        for _ in range(edits):
            told = self.editing.step(EDITS)
            if not told:
                return
            if self._random.random() < 0.5:
                time.sleep(_CALM_S)
            done = self._check(told)
            yield done
            if done.broken:
                self.editing.undo()
                yield self._check(f"undoing: {told}")

    def _check(self, told: str) -> Check:
        path = os.path.join(self.root, STATE_FOLDER, FILE_NAME)
        try:
            workspace = self._open()
        except SsdsError:  # broken settings: both ways say so before they begin
            return Check(after=told, differences=(), broken=True)
        return check(workspace, path, told)

    def _open(self) -> Workspace:
        environment = {**os.environ, "SSDS_STORE": self._user.store_path}
        settings = read_settings(self.root, environment)
        workspace = replace(self._user, root=self.root, settings=settings)
        store = self._user.store_if_there
        if store is not None:
            workspace.__dict__["store"] = store  # it would count the copy as a user of the store
        return workspace
