"""``ssds plan``: show what apply would do, and why."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from ssds.cli import indexed, planning
from ssds.cli.app import Context
from ssds.cli.output import print_json, say, show
from ssds.cli.selecting import planning_options
from ssds.core.errors import InputError, UsageError
from ssds.delivery import Delivery
from ssds.workspace import Workspace

if TYPE_CHECKING:
    from ssds.cli.shadowing import Shadow


@click.command("plan")
@planning_options
@click.option("--full", is_flag=True, help="Show reused nodes too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Save the plan, for `ssds show FILE` and `ssds apply FILE`.",
)
@click.option(
    "--detailed-exitcode",
    is_flag=True,
    help="Exit with 2 when something is to do, 3 when it is held or waits.",
)
@click.option(
    "--since",
    default="",
    metavar="REV[..REV]",
    help="Show only what differs from a revision of git, or between two; `main...` is where main "
    "was left.",
)
@click.option("--markdown", is_flag=True, help="For a pull request's comment: short, folded, safe.")
@click.option(
    "--matrix", is_flag=True, help="Print the jobs of a CI run, one for each platform and group."
)
@click.option(
    "--shadow",
    "shadowed",
    multiple=True,
    metavar="WORD=PLACE",
    help="Report what ssds would have done beside the old scripts: sources as `ssds adopt` reads "
    "them. May be repeated.",
)
@click.option(
    "--respect",
    "respected",
    multiple=True,
    metavar="FILE",
    help="With --shadow: a lock file of the old scripts; it is told while it is there.",
)
@click.option("--no-index", is_flag=True, help="Read everything anew; use and keep no index.")
@click.pass_obj
def command(
    context: Context,
    /,
    full: bool,
    as_json: bool,
    no_index: bool,
    out: str | None,
    since: str,
    markdown: bool,
    matrix: bool,
    detailed_exitcode: bool,
    shadowed: tuple[str, ...],
    respected: tuple[str, ...],
    no_cache: bool,
    **asked: Any,
) -> int:
    """Show what apply would do, and why. Changes nothing.

    = reuse, + run, ? known after apply, - remove, w waiting, x held; ! irreversible, i impure.
    --detailed-exitcode with --shadow: 0 both sides agree, 2 they do not, 3 others write now.
    """
    options = planning.Asked(**asked)
    workspace = Workspace.open(context.folder).built_by(options.builder, no_cache=no_cache)
    _together(since=bool(since), matrix=matrix, markdown=markdown, out=out, as_json=as_json)
    if shadowed or respected:
        misplaced = not shadowed or out is not None or matrix or since or asked["selectors"]
        found = _shadow(workspace, shadowed, respected, wrong=bool(misplaced))
        return found.shown(
            full=full, as_json=as_json, markdown=markdown, detailed=detailed_exitcode
        )
    if matrix and detailed_exitcode:
        raise UsageError(
            "--matrix has no detailed exit code",
            hint="Read `include` of the JSON: it is empty where nothing is to do.",
            code="E129",
        )
    if matrix:
        from ssds.cli.matrix import matrix as jobs

        print_json(jobs(workspace, options), lines=False)
        return 0
    if since:
        code = _since(workspace, options, since, markdown=markdown, as_json=as_json)
        return code if detailed_exitcode else 0
    more: dict[str, Any] = {}
    told = 0
    if out is not None:
        planned = planning.make(workspace, options)
        delivery = planned.delivery
        more["plan_id"] = _save(workspace, planned, options, out, full=full)
    else:
        delivery, told = _delivery(workspace, options, no_index=no_index, full=full)
    if markdown:
        from ssds.cli import plan_text

        show(plan_text.markdown(delivery))
    else:
        planning.present(delivery, as_json=as_json, full=full, more=more)
    if out is not None:
        _say_saved(delivery, out)
    return told or (delivery.exit_code if detailed_exitcode else 0)


def _delivery(
    workspace: Workspace, asked: planning.Asked, *, no_index: bool, full: bool
) -> tuple[Delivery, int]:
    """Returns the plan, and an exit code where recipes have errors: it is that of the others."""
    try:
        if no_index:
            return planning.make(workspace, asked).delivery, 0
        return indexed.deliver(workspace, asked, full=full), 0
    except InputError as error:
        from ssds.cli.around import plan_around

        return plan_around(workspace, asked, error)


def _together(*, since: bool, matrix: bool, markdown: bool, out: str | None, as_json: bool) -> None:
    if (
        (out is not None and (since or matrix or markdown))
        or (markdown and as_json)
        or (matrix and (since or markdown))
    ):
        raise UsageError(
            "--out, --matrix and --markdown exclude each other; --since goes with --markdown, and "
            "--json not with it",
            hint="Give one of them at a time.",
            code="E128",
        )


def _shadow(
    workspace: Workspace, sources: tuple[str, ...], respected: tuple[str, ...], *, wrong: bool
) -> Shadow:
    if wrong:
        raise UsageError(
            "--shadow goes with --respect, --full, --json, --markdown and --detailed-exitcode",
            hint="Leave the others out; --respect is for --shadow.",
            code="E351",
        )
    from ssds.cli.shadowing import make

    return make(workspace, sources, respected)


def _since(
    workspace: Workspace, asked: planning.Asked, text: str, *, markdown: bool, as_json: bool
) -> int:
    from ssds.cli import since_text
    from ssds.cli.since import since

    found = since(workspace, asked, text)
    if as_json:
        print_json(found.to_dict())
    else:
        show(since_text.markdown(found) if markdown else since_text.plain(found))
    return found.exit_code


def _save(
    workspace: Workspace, planned: planning.Planned, asked: planning.Asked, path: str, *, full: bool
) -> str:
    from ssds.cli.saving import save

    _, plan_id = save(workspace, planned, asked, path, full=full)
    return str(plan_id)


def _say_saved(delivery: Delivery, path: str) -> None:
    """Says what to do with the file, after the plan itself wherever both go."""
    sys.stdout.flush()
    name = shlex.quote(path)
    say(f"Saved: `ssds show {name}`, then `ssds apply {name}`.")
    if any(row.reason == "unlocked" for row in delivery.rows):
        say("Something in it is not locked: run `ssds lock`, then save another; apply refuses it.")
