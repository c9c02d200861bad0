"""``ssds plan``: show what apply would do, and why."""

from __future__ import annotations

from typing import Any

import click

from ssds.cli import planning
from ssds.cli.app import Context
from ssds.cli.output import print_json, say, show
from ssds.cli.selecting import planning_options
from ssds.workspace import Workspace


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
@click.pass_obj
def command(
    context: Context,
    /,
    full: bool,
    as_json: bool,
    out: str | None,
    detailed_exitcode: bool,
    **asked: Any,
) -> int:
    """Show what apply would do, and why. Changes nothing.

    = reuse, + run, ? known after apply, - remove, w waiting, x held; ! irreversible, i impure.
    """
    workspace = Workspace.open(context.folder)
    options = planning.Asked(**asked)
    planned = planning.make(workspace, options)
    more: dict[str, Any] = {}
    if out is not None:
        more["plan_id"] = _save(workspace, planned, options, out, full=full)
    if as_json:
        print_json({**planned.delivery.to_dict(full=full), **more})
    else:
        show(planning.render(planned.delivery, full=full))
    return planned.delivery.exit_code if detailed_exitcode else 0


def _save(
    workspace: Workspace, planned: planning.Planned, asked: planning.Asked, path: str, *, full: bool
) -> str:
    from ssds.cli.saving import save

    _, plan_id = save(workspace, planned, asked, path, full=full)
    say(f"Saved as {plan_id.short}: `ssds show {path}`, then `ssds apply {path}`.")
    return str(plan_id)
