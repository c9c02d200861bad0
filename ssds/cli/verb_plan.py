"""``ssds plan``: show what apply would do, and why."""

from __future__ import annotations

from typing import Any

import click

from ssds.cli import planning
from ssds.cli.app import Context
from ssds.cli.output import print_json, show
from ssds.cli.selecting import planning_options
from ssds.workspace import Workspace


@click.command("plan")
@planning_options
@click.option("--full", is_flag=True, help="Show reused nodes too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--detailed-exitcode",
    is_flag=True,
    help="Exit with 2 when something is to do, 3 when it is held or waits.",
)
@click.pass_obj
def command(
    context: Context, /, full: bool, as_json: bool, detailed_exitcode: bool, **asked: Any
) -> int:
    """Show what apply would do, and why. Changes nothing.

    = reuse, + run, ? known after apply, - remove, w waiting, x held; ! irreversible, i impure.
    """
    workspace = Workspace.open(context.folder)
    planned = planning.make(workspace, planning.Asked(**asked))
    if as_json:
        print_json(planned.delivery.to_dict(full=full))
    else:
        show(planning.render(planned.delivery, full=full))
    return planned.delivery.exit_code if detailed_exitcode else 0
