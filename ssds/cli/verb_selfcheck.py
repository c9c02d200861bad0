"""``ssds selfcheck``: try on your own catalog that the plan index never changes a plan."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import time
from typing import Any

import click

from ssds.cli import selfchecking
from ssds.cli.app import Context
from ssds.cli.output import counted, duration_text, print_json, say, show
from ssds.cli.selfchecking import Check, Scratch
from ssds.core.errors import EnvironmentProblem, IntegrityError
from ssds.graph.index.layout import FILE_NAME
from ssds.host.scratch import scratch
from ssds.workspace import Workspace

_ABOUT_S = 60.0
_FEWEST, _MOST = 3, 50
_PER_EDIT = 1.6
"""Comparisons for each edit: some are undone and tried again."""
_REST_S = 0.1
_SHOWN = 20
_SEEDS = 1 << 31


@click.command("selfcheck")
@click.option(
    "--edits",
    type=click.IntRange(min=0, max=1_000_000),
    default=None,
    metavar="N",
    help="Try so many random edits of a scratch copy (default: what takes about a minute).",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=None,
    metavar="S",
    help="Repeat the edits of an earlier run, which said its seed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def command(context: Context, /, edits: int | None, seed: int | None, as_json: bool) -> int:
    """Try that plans with the index are the plans without it.

    First with the index as it is, then in a copy of the catalog after each of many random edits.
    Your files are only read, and so is the store; the copy is in .ssds/ and is removed.
    """
    workspace = Workspace.open(context.folder)
    seed = random.randrange(_SEEDS) if seed is None else seed  # noqa: S311
    began = time.monotonic()
    checks = 0
    failed: Check | None = None
    with _place(workspace, edits) as folder:
        for done in _checks(workspace, folder, edits, seed):
            checks += 1
            if done.differences:
                failed = done
                break
    duration_ms = int((time.monotonic() - began) * 1000)
    facts = {
        "format_version": "1.0",
        "same": failed is None,
        "checks": checks,
        "duration_ms": duration_ms,
        "seed": seed,
        "after": failed.after if failed else "",
        "differences": list(failed.differences) if failed else [],
    }
    if as_json:
        print_json(facts)
    elif failed is None:
        done_in = f"{counted(checks, 'comparison')} in {duration_text(duration_ms)}"
        show(f"{done_in}: every plan is the same.")
    if failed is not None:
        _tell(workspace, failed, facts, as_json=as_json)
    return 0


@contextlib.contextmanager
def _place(workspace: Workspace, edits: int | None) -> Any:
    """Gives the scratch folder; the empty string where none is needed and none can be made."""
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(scratch(workspace.state_folder))
        except EnvironmentProblem:
            if edits != 0:
                raise
            folder = ""
        yield folder


def _checks(workspace: Workspace, folder: str, edits: int | None, seed: int) -> Any:
    index = os.path.join(workspace.state_folder, FILE_NAME)
    path = index
    if folder:
        path = os.path.join(folder, FILE_NAME)
        with contextlib.suppress(OSError):
            shutil.copy2(index, path, follow_symlinks=False)
    found = "with the index as it is" if os.path.lexists(path) else "there is no index yet"
    say(f"Compares plans with and without the index: {found} …")
    began = time.monotonic()
    yield selfchecking.check(workspace, path, found)
    each_s = (time.monotonic() - began + _REST_S) * _PER_EDIT
    if edits is None:
        edits = max(_FEWEST, min(_MOST, int(_ABOUT_S / each_s)))
    if not edits:
        return
    took = duration_text(int((edits + 1) * each_s * 1000))
    say(f"Tries {counted(edits, 'edit')} in a copy, seed {seed}: about {took} …")
    for number, done in enumerate(Scratch(workspace, folder, seed).checks(edits), 1):
        say(f"  {number}: {done.after}{' (a problem, told by both)' if done.broken else ''}")
        yield done


def _tell(workspace: Workspace, failed: Check, facts: dict[str, Any], *, as_json: bool) -> None:
    if not as_json:
        lines = [f"After: {failed.after}", *failed.differences[:_SHOWN]]
        more = len(failed.differences) - _SHOWN
        show("\n  ".join([*lines, f"and {more} more"] if more > 0 else lines))
    raise IntegrityError(
        "a plan with the index is not the plan without it",
        hint="Remove the index with `ssds index clear`; until this is mended, plan with "
        f"--no-index. Please report it: `ssds selfcheck --seed {facts['seed']} --edits "
        f"{facts['checks']}` shows it again.",
        code="E162",
    )
