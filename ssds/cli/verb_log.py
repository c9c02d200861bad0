"""``ssds log``: the newest log of a node."""

from __future__ import annotations

import json
import sys

import click

from ssds.cli.app import Context
from ssds.cli.completing import complete_nodes
from ssds.cli.selecting import platform_option
from ssds.cli.wishes import parse_date, select_nodes
from ssds.core.digest import Digest
from ssds.core.errors import UsageError
from ssds.core.model import NodeId
from ssds.core.text import shown
from ssds.engine.runner import log_record_path
from ssds.workspace import Workspace


@click.command("log")
@click.argument("node", shell_complete=complete_nodes)
@platform_option
@click.pass_obj
def command(context: Context, /, node: str, platform: str) -> int:
    """Show the newest log of NODE (``samtools:build``), also of a failed run.

    Where none was kept here, a remote cache may have it, of a run that ended.

    On a terminal control characters are written as escapes; a pipe or a file gets the bytes.
    """
    workspace = Workspace.open(context.folder)
    graph = workspace.graph(parse_date(""))
    found = [
        name
        for name in sorted(select_nodes(graph, (node,)))
        if not platform or name.platform == platform
    ]
    shown = 0
    logs = {name: _log(workspace, name) for name in found}
    if not any(logs.values()):
        logs = _of_claims(workspace, node, found)
    for name in found:
        data = logs.get(name)
        if data is None:
            continue
        if len(found) > 1:
            print(f"──── {name.label}")
            sys.stdout.flush()
        _write(data)
        shown += 1
    if not shown:
        raise UsageError(
            f'there is no log of "{node}" here',
            hint="A log is kept by the workspace that ran the node; `ssds apply --rerun` runs it.",
            code="E033",
        )
    return 0


def _write(data: bytes) -> None:
    """Prints a log: what a step printed must not command a terminal."""
    if sys.stdout.isatty():
        lines = data.decode("utf-8", "surrogateescape").replace("\r\n", "\n").replace("\r", "\n")
        sys.stdout.write(shown(lines, lines=True))
        sys.stdout.flush()
        return
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _log(workspace: Workspace, name: NodeId) -> bytes | None:
    try:
        with open(log_record_path(workspace.state_folder, name), "rb") as file:
            entry = json.loads(file.read())
    except (FileNotFoundError, ValueError):
        return None
    return workspace.read_blob(Digest(entry["log"]))


def _of_claims(workspace: Workspace, node: str, names: list[NodeId]) -> dict[NodeId, bytes | None]:
    """Returns the logs of the nodes as they are now that claims name: pulled ones, and caches'."""
    store, caches = workspace.store_if_there, workspace.caches
    from ssds.cli import planning

    steps = planning.make(workspace, planning.Asked(selectors=(node,))).plan.steps
    found: dict[NodeId, bytes | None] = {}
    for name in names:
        action = steps[name].action
        if action is None:
            continue
        claims = store.claims.find(action.key) if store else ()
        digests = [claim.logs["log"] for claim in claims if "log" in claim.logs]
        here = next((d for d in digests if store and store.blobs.has(d)), None)
        if here is None and caches is not None:
            digests = [c.logs["log"] for c in caches.find(action.key) if "log" in c.logs]
            here = next(iter(digests), None)
        found[name] = workspace.read_blob(here) if here else None
    return found
