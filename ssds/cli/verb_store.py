"""``ssds store``: verify the store, or say what is in it."""

from __future__ import annotations

import sys

import click

from ssds.cli.app import Context
from ssds.cli.guard import EXIT_ERROR
from ssds.cli.output import counted, print_json, say, size_text
from ssds.workspace import Workspace


@click.group("store", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context, /) -> int:
    """Say what is in the store, or verify it."""
    if ctx.invoked_subcommand is None:
        return int(ctx.invoke(info))
    return 0


@command.command("info")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def info(context: Context, /, as_json: bool = False) -> int:
    """Say where the store is and what is in it."""
    store = Workspace.open(context.folder).store
    sizes = [store.blobs.size(digest) for digest in store.blobs.all()]
    facts = {
        "path": store.path,
        "blobs": len(sizes),
        "size_bytes": sum(sizes),
        "workspaces": list(store.workspaces()),
        "disagreements": len(store.claims.disagreements()),
    }
    if as_json:
        print_json(facts)
        return 0
    print(f"store       {store.path}")
    print(f"blobs       {len(sizes)}, {size_text(sum(sizes))}")
    print(f"workspaces  {', '.join(store.workspaces()) or '(none)'}")
    if facts["disagreements"]:
        number = len(store.claims.disagreements())
        print(f"{counted(number, 'key')} with claims that disagree")
    return 0


@command.command("verify")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def verify(context: Context, /, as_json: bool) -> int:
    """Read every blob and every claim again and name any damage."""
    store = Workspace.open(context.folder).store

    def progress(done: int, total: int) -> None:
        if sys.stderr.isatty() and total:
            share = f"{100 * done // total} %"
            print(f"\rverifying {share} of {size_text(total)}", end="", file=sys.stderr)

    problems = store.verify(progress)
    if sys.stderr.isatty():
        say("")
    if as_json:
        print_json(
            [{"kind": p.kind, "what": p.what, "detail": p.detail, "hint": p.hint} for p in problems]
        )
    else:
        for problem in problems:
            print(f"{problem.kind}: {problem.what}: {problem.detail}")
            if problem.hint:
                print(f"  {problem.hint}")
        print("Clean." if not problems else f"{len(problems)} problems.")
    return EXIT_ERROR if problems else 0
