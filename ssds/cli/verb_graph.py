"""``ssds graph``: a picture of what is built on what, and what the plan says of it."""

from __future__ import annotations

import os

import click

from ssds.cli import planning
from ssds.cli.app import Context
from ssds.cli.completing import complete_nodes
from ssds.cli.output import counted, print_json, say
from ssds.cli.wishes import select_nodes
from ssds.core.canonical import Json
from ssds.core.errors import UsageError
from ssds.graph.picture.model import Level, Limits
from ssds.graph.picture.scope import Scope
from ssds.graph.plan import Verb
from ssds.host.files import atomic_write
from ssds.workspace import Workspace

FORMATS = {"svg": "svg", "dot": "dot", "gv": "dot", "mermaid": "mermaid", "mmd": "mermaid",
           "json": "json"}  # fmt: skip
"""File ending → format."""

_LIMITS = {
    "svg": Limits(),
    "dot": Limits(boxes=400, lines=4000, group_lines=800, asked=20_000, asked_lines=200_000),
    "mermaid": Limits(lines=450, asked=240, asked_lines=480),
}
"""Mermaid draws at most 500 lines and 50,000 letters where its settings are the usual ones."""


@click.command("graph")
@click.argument("selectors", nargs=-1, metavar="[SELECTOR]...", shell_complete=complete_nodes)
@click.option(
    "--format",
    "form",
    type=click.Choice(["svg", "dot", "mermaid", "json"]),
    help="What to draw for (default: what FILE ends in, else mermaid).",
)
@click.option("--out", metavar="FILE", default="", help="Write it to FILE.")
@click.option("--collapse", is_flag=True, help="One box for each release, also of few nodes.")
@click.option("--nodes", "every", is_flag=True, help="One box for each node, also of many.")
@click.option(
    "--depth",
    type=click.IntRange(min=0),
    metavar="N",
    help="Follow dependencies of what is selected for N steps only.",
)
@click.option(
    "--verb",
    "verbs",
    multiple=True,
    type=click.Choice([verb.word for verb in Verb if verb is not Verb.REMOVE]),
    help="Only nodes of which the plan says this.",
)
@click.pass_obj
def command(
    context: Context,
    /,
    selectors: tuple[str, ...],
    form: str | None,
    out: str,
    collapse: bool,
    every: bool,
    depth: int | None,
    verbs: tuple[str, ...],
) -> int:
    """Draw what is built on what, coloured by what the plan says of it.

    Without SELECTOR (``samtools``, ``samtools:test``) the whole catalog. Few nodes are drawn one by
    one, more as releases, a large catalog as groups of releases.
    """
    form = _format(form, out)
    if collapse and every:
        raise click.UsageError("--collapse and --nodes exclude each other")
    workspace = Workspace.open(context.folder)
    planned = planning.make(workspace, planning.Asked(selectors=selectors))
    scope = Scope(
        nodes=select_nodes(planned.graph, selectors) if selectors else None,
        depth=depth,
        verbs=frozenset(verb for verb in Verb if verb.word in verbs),
    )
    title = _title(selectors, verbs)
    _give(_drawn(planned, scope, form, title, collapse=collapse, every=every), out)
    return 0


def _drawn(
    planned: planning.Planned,
    scope: Scope,
    form: str,
    title: str,
    *,
    collapse: bool,
    every: bool,
) -> str | Json:
    """Returns the picture's text, or the JSON object."""
    from ssds.graph.picture import document, make, text
    from ssds.graph.picture.svg import svg

    if form == "json":
        entries = document.release_document if collapse else document.node_document
        return entries(planned.graph, planned.plan, scope, title)
    level = Level.RELEASES if collapse else Level.NODES if every else None
    picture = make.make_picture(
        planned.graph, planned.plan, scope, title=title, level=level, limits=_LIMITS[form]
    )
    for note in picture.notes:
        say(f"note: {note}")
    return {"svg": svg, "dot": text.dot, "mermaid": text.mermaid}[form](picture)


def _give(drawn: str | Json, out: str) -> None:
    if not out or out == "-":
        if isinstance(drawn, str):
            print(drawn, end="")
        else:
            print_json(drawn)
        return
    if os.path.exists(out) and not os.path.isfile(out):
        what = "a folder" if os.path.isdir(out) else "no regular file"
        raise UsageError(
            f"{out} is {what}",
            hint="Name a file to write to; without --out the picture goes to stdout.",
            code="E154",
        )
    if not isinstance(drawn, str):
        import json

        drawn = json.dumps(drawn, ensure_ascii=True, indent=2, sort_keys=True) + "\n"
    atomic_write(os.path.realpath(out), drawn.encode(), point="picture")
    say(f"wrote {out}: {counted(len(drawn.encode()), 'byte')}")


def _format(form: str | None, out: str) -> str:
    if form or not out or out == "-":
        return form or "mermaid"
    ending = os.path.splitext(out)[1].lstrip(".").lower()
    if ending not in FORMATS:
        raise UsageError(
            f"the ending of {out} does not say what to draw",
            hint=f"Use one of {', '.join('.' + known for known in FORMATS)}, or --format.",
            code="E153",
        )
    return FORMATS[ending]


def _title(selectors: tuple[str, ...], verbs: tuple[str, ...]) -> str:
    title = f"What {', '.join(selectors)} is built on" if selectors else "What is built on what"
    return title + (f": {', '.join(verbs)}" if verbs else "")
