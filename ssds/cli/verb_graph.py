"""``ssds graph``: a picture of what is built on what."""

from __future__ import annotations

import click

from ssds.cli import planning
from ssds.cli.app import Context
from ssds.cli.output import print_json
from ssds.cli.selecting import select_nodes
from ssds.graph import picture
from ssds.workspace import Workspace


@click.command("graph")
@click.argument("selectors", nargs=-1, metavar="[SELECTOR]...")
@click.option(
    "--format",
    "form",
    type=click.Choice(["mermaid", "dot", "json"]),
    default="mermaid",
    show_default=True,
)
@click.pass_obj
def command(context: Context, /, selectors: tuple[str, ...], form: str) -> int:
    """Draw what is built on what; with SELECTOR (``samtools``), its nodes, coloured by verb."""
    workspace = Workspace.open(context.folder)
    planned = planning.make(workspace, planning.Asked())
    if selectors:
        drawn = picture.node_graph(planned.graph, select_nodes(planned.graph, selectors))
        verbs = picture.verbs_of(planned.plan)
    else:
        drawn, verbs = picture.release_graph(planned.graph), {}
    if form == "json":
        print_json(picture.as_json(drawn, verbs))
    else:
        print((picture.dot if form == "dot" else picture.mermaid)(drawn, verbs))
    return 0
