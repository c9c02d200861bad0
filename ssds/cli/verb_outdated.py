"""``ssds outdated``: what is newer than the locks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ssds.cli.app import Context
from ssds.cli.completing import complete_releases
from ssds.cli.guard import EXIT_ERROR
from ssds.cli.output import counted, fitted, print_json, say, show, table, terminal_width
from ssds.cli.resolving import chosen_targets
from ssds.cli.selecting import platforms_option
from ssds.workspace import Workspace

if TYPE_CHECKING:
    from ssds.engine.outdated import Row

FORMAT_VERSION = "1.0"
EXIT_NEWER = 2


@click.command("outdated")
@click.argument("selectors", nargs=-1, shell_complete=complete_releases)
@platforms_option
@click.option("--all", "everything", is_flag=True, help="Show what is current too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    context: Context,
    /,
    selectors: tuple[str, ...],
    platforms: tuple[str, ...],
    everything: bool,
    as_json: bool,
) -> int:
    """Ask the mirrors what is newer than the locks: bases, packages, commits, upstream versions.

    Changes nothing. Exit codes: 0 nothing is newer, 2 something is, 1 somebody gave no answer.
    """
    from ssds.engine.outdated import outdated
    from ssds.host.folders import scratch_folder

    workspace = Workspace.open(context.folder)
    targets = chosen_targets(workspace, selectors, platforms)
    with scratch_folder(workspace.state_folder) as cache:
        rows = outdated(
            targets,
            workspace.catalog,
            workspace.locks.catalog.pins,
            workspace.locks.pins,
            workspace.mirrors,
            cache,
        )
    code = _code(rows)
    if as_json:
        print_json(_json(rows, code))
    else:
        _show(rows, everything=everything)
    return code


def _code(rows: list[Row]) -> int:
    if any(row.failed for row in rows):
        return EXIT_ERROR
    return EXIT_NEWER if any(row.state == "newer" for row in rows) else 0


def _json(rows: list[Row], code: int) -> dict[str, object]:
    return {
        "format_version": FORMAT_VERSION,
        "exit_code": code,
        "pins": [
            {
                "state": row.state,
                "sort": row.sort,
                "name": row.name,
                "pinned": row.pinned,
                "newest": row.newest,
                "by": row.by,
                "note": row.note,
                "failed": row.failed,
                "of": list(row.of),
            }
            for row in rows
        ],
    }


def _show(rows: list[Row], *, everything: bool) -> None:
    lines = [
        [row.sort, row.name, row.pinned, row.newest or "not known", row.by, _last(row)]
        for row in rows
        if everything or row.state != "current"
    ]
    if lines:
        head = ["sort", "name", "pinned", "newest", "by", "of"]
        show(table(fitted([head, *lines], terminal_width())))
        print()
    counts = [sum(row.state == state for row in rows) for state in ("newer", "unknown", "current")]
    newer, unknown, current = counts
    print(f"{counted(len(rows), 'pin')}: {newer} newer, {unknown} not known, {current} current.")
    if any(row.by == "lock" for row in rows):
        say(
            "by lock: `ssds lock --upgrade NAME` renews it; by recipe: the recipe says the version."
        )


def _last(row: Row) -> str:
    of = row.of[0] + (f" and {len(row.of) - 1} more" if len(row.of) > 1 else "")
    return f"{of}: {row.note}" if row.note else of
