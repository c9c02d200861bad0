"""``ssds adopt``: locks for what others deployed; no byte moves."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable

import click

from ssds.cli.app import Context
from ssds.cli.guard import EXIT_ERROR
from ssds.cli.output import counted, print_json, report_diagnostics, say, table
from ssds.core.diagnostics import Severity
from ssds.core.errors import UsageError
from ssds.workspace import Workspace

SHOWN = 20
SILENT_S = 10.0
MEMORY = "adopted.json"


@click.command("adopt")
@click.argument("sources", nargs=-1, required=True, metavar="WORD=PLACE...")
@click.option("--dry-run", is_flag=True, help="Say what would be written; write no lock.")
@click.option(
    "--choose",
    "choices",
    multiple=True,
    metavar="NAME/VERSION=YYYYMMDD",
    help="Which build a name and version mean; `none` for one without a day. May be repeated.",
)
@click.option(
    "--fallback",
    "fallbacks",
    multiple=True,
    metavar="TEXT",
    help="Where else the bytes are: an image or address with {name} {version} {built} in it.",
)
@click.option("--accept", is_flag=True, help="Take what differs from its lock as it is now.")
@click.option("--again", is_flag=True, help="Look at every file, also where nothing changed.")
@click.option("--all", "everything", is_flag=True, help="Show every row.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    context: Context,
    /,
    sources: tuple[str, ...],
    dry_run: bool,
    choices: tuple[str, ...],
    fallbacks: tuple[str, ...],
    accept: bool,
    again: bool,
    everything: bool,
    as_json: bool,
) -> int:
    """Write locks for what others deployed: digest and place of each release, no evidence.

    Sources: tree=FOLDER (NeuroDesk's layout, on CVMFS or a disk), lists=PATH (log.txt, apps.json,
    releases/, or a checkout that holds them), sif=PATH, shpc=FOLDER, depot=FOLDER (Galaxy's),
    registry=HOST/REPOSITORY. Nothing but locks is written. What is not sure is held, and told.
    Exit codes: 1 something is wrong in a source, 3 something is held; all else is written.
    """
    from ssds.adopt.memory import Memory
    from ssds.adopt.merge import check_fallback
    from ssds.adopt.plan import Chosen, plan_adoption
    from ssds.adopt.sources import Means, read_source
    from ssds.adopt.write import write_adoptions

    workspace = Workspace.open(context.folder)
    chosen = Chosen(
        builds=_builds(choices),
        fallbacks=[check_fallback(text) for text in fallbacks],
        accept=accept,
    )
    memory = Memory(os.path.join(workspace.state_folder, MEMORY), again=again, say=_seldom())
    means = Means(memory=memory, mirrors=lambda: workspace.mirrors)
    try:
        readings = [read_source(text, means) for text in sources]
    finally:
        memory.keep()
    planned = plan_adoption(
        readings,
        workspace.locks,
        chosen=chosen,
        stands=os.path.lexists,
    )
    report_diagnostics(planned.problems)
    written = 0
    if not dry_run:
        written = write_adoptions(planned, workspace.lock_folder, workspace.guard)
    if as_json:
        print_json(
            {
                "changes": [change.to_dict() for change in planned.changes],
                "locks_written": written,
                "walked": memory.walked,
            }
        )
    else:
        _show([[c.verb[:1], c.what, c.reason] for c in planned.changes], everything)
        counts = _counts([c.verb for c in planned.changes])
        done = "would be written" if dry_run else "written"
        locks = len(planned.writes) if dry_run else written
        print(f"{counts}. {counted(locks, 'lock')} {done}.")
    if any(problem.severity is Severity.ERROR for problem in planned.problems):
        return EXIT_ERROR
    return 3 if planned.held else 0


def _seldom() -> Callable[[str], None]:
    """Returns what says something of long work: every ten seconds."""
    said_s = time.monotonic()

    def tell(text: str) -> None:
        nonlocal said_s
        if time.monotonic() - said_s >= SILENT_S:
            said_s = time.monotonic()
            say(text)

    return tell


def _builds(choices: tuple[str, ...]) -> dict[str, str]:
    from ssds.adopt.plan import NO_DAY

    found = {}
    for text in choices:
        name, equals, built = text.partition("=")
        if not equals or "/" not in name or not re.fullmatch(rf"[0-9]{{8}}|{NO_DAY}", built):
            raise UsageError(
                f"{text[:200]!r} chooses nothing",
                hint=f"Write NAME/VERSION=YYYYMMDD, or ={NO_DAY} for a build without a day.",
                code="E229",
            )
        found[name] = "" if built == NO_DAY else built
    return found


def _show(rows: list[list[str]], everything: bool) -> None:
    """Prints what needs a look first; of the rest a part."""
    order = "xw+=u"
    rows = sorted(rows, key=lambda row: order.index(row[0]))
    told: dict[str, int] = {}
    shown = []
    for row in rows:
        told[row[0]] = told.get(row[0], 0) + 1
        if everything or row[0] == "x" or told[row[0]] <= SHOWN:
            shown.append(row)
    for part in ([r for r in shown if r[0] != "u"], [r for r in shown if r[0] == "u"]):
        if part:
            print(table(part, indent="  "))
    if len(shown) < len(rows):
        say(f"{len(rows) - len(shown)} more rows: --all shows them")


def _counts(verbs: list[str]) -> str:
    words = {
        "+": "to adopt",
        "=": "as locked",
        "x": "held",
        "w": "only listed",
        "unmanaged": "unmanaged",
    }
    return ", ".join(f"{verbs.count(verb)} {word}" for verb, word in words.items())
