"""``ssds explain``: why a node runs or is reused."""

from __future__ import annotations

from typing import Any

import click

from ssds.cli import planning, reasons
from ssds.cli.app import Context
from ssds.cli.completing import complete_nodes
from ssds.cli.output import print_json, table
from ssds.cli.selecting import platform_option, select_nodes
from ssds.core.platform import Platform
from ssds.graph.plan import PlanStep
from ssds.kinds.build.contained import pin_of
from ssds.recipe.ranges import range_requests
from ssds.workspace import Workspace


@click.command("explain")
@click.argument("node", shell_complete=complete_nodes)
@platform_option
@click.option("--as-of", default="", metavar="DATE", help="Judge waivers on this date.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(context: Context, /, node: str, platform: str, as_of: str, as_json: bool) -> int:
    """Say why NODE (``samtools:build``) runs or is reused, and what its key is made of."""
    workspace = Workspace.open(context.folder)
    planned = planning.make(workspace, planning.Asked(as_of=as_of))
    chosen = select_nodes(planned.graph, (node,))
    steps = [
        step
        for name, step in planned.plan.steps.items()
        if name in chosen and (not platform or name.platform == platform)
    ]
    entries = [_entry(workspace, step) for step in steps]
    if as_json:
        print_json(entries)
        return 0
    for step, entry in zip(steps, entries, strict=True):
        _print(step, entry)
    return 0


def _entry(workspace: Workspace, step: PlanStep) -> dict[str, Any]:
    found = reasons.nearest(workspace, step) if step.reason == "changed" else ()
    return {
        "node": str(step.node.id),
        "platform": step.node.id.platform,
        "verb": step.verb.word,
        "reason": step.text,
        "key": str(step.action.key) if step.action else "",
        "inputs": {r: str(d) for r, d in step.action.inputs.items()} if step.action else {},
        "recipes": _recipes(workspace, step),
        "outputs": {n: str(d) for n, d in step.outputs.items()},
        "differences": [
            {
                "path": d.path,
                "before": d.before,
                "after": d.after,
                "place": reasons.place(workspace, step, d),
            }
            for d in found
        ],
    }


def _recipes(workspace: Workspace, step: PlanStep) -> dict[str, dict[str, str]]:
    """Returns what a build asks of other recipes by ranges, and the version that its pin chose."""
    node = step.node.id
    if node.kind != "build":
        return {}
    release = next(r for r in workspace.catalog.releases.values() if str(r.id) == node.owner)
    target = release.targets[Platform(node.platform)]
    pins = workspace.pins()
    return {
        request.name: {"asked": request.text, "pinned": pin.version if pin else ""}
        for request in range_requests(target)
        for pin in [pin_of(request, target, pins)]
    }


def _print(step: PlanStep, entry: dict[str, Any]) -> None:
    print(f"{step.verb.value} {step.node.id.label}: {step.text}")
    rows = [["key", entry["key"] or "known after apply"]]
    rows += [
        [f"recipe {name}", f"{found['pinned'] or 'not locked'}, asked for {found['asked']}"]
        for name, found in sorted(entry["recipes"].items())
    ]
    rows += [[f"input {role}", digest] for role, digest in sorted(entry["inputs"].items())]
    rows += [[f"output {name}", digest] for name, digest in sorted(entry["outputs"].items())]
    print(table(rows, indent="    "))
    for difference in entry["differences"]:
        print(f"    differs: {difference['place']}")
        print(f"      before  {difference['before'] or '(absent)'}")
        print(f"      after   {difference['after'] or '(absent)'}")
    print()
