"""``ssds explain``: why a node runs or is reused."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from ssds.cli import planning, reasons
from ssds.cli.app import Context
from ssds.cli.cause import Known
from ssds.cli.causes import causes
from ssds.cli.completing import complete_nodes
from ssds.cli.output import print_json, show, table
from ssds.cli.part import nodes_called, plan_for
from ssds.cli.reasons import Neighbour, Places
from ssds.cli.selecting import platform_option
from ssds.core.platform import Platform
from ssds.graph.explain import Difference
from ssds.graph.plan import PlanStep
from ssds.kinds.build.contained import pin_of
from ssds.recipe.ranges import range_requests
from ssds.workspace import Workspace

_BLAMES = 40
_BLAMES_S = 20.0
_DIFFERENCES = 100


@click.command("explain")
@click.argument("node", shell_complete=complete_nodes)
@platform_option
@click.option("--as-of", default="", metavar="DATE", help="Judge waivers on this date.")
@click.option("--fetch", is_flag=True, help="As `plan --fetch` would have it.")
@click.option("--rerun", is_flag=True, help="As `plan --rerun NODE` would have it.")
@click.option("--retry", is_flag=True, help="As `plan --retry` would have it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    context: Context,
    /,
    node: str,
    platform: str,
    as_of: str,
    fetch: bool,
    rerun: bool,
    retry: bool,
    as_json: bool,
) -> int:
    """Say why NODE (``samtools:build``) runs or is reused, and what its key is made of.

    The nearest remembered key, the fields that differ with their lines and who changed them, what
    runs before it, what failed, which bytes are gone, and what to do next.
    """
    whole = Workspace.open(context.folder)
    asked = planning.Asked(as_of=as_of, rerun=(node,) if rerun else (), retry=retry, fetch=fetch)
    workspace, planned = plan_for(whole, node, asked)
    chosen = nodes_called(planned.graph, node)
    steps = [
        step
        for name, step in planned.plan.steps.items()
        if name in chosen and (not platform or name.platform == platform)
    ]
    known = Known(workspace=workspace, plan=planned.plan, facts=planned.facts)
    places = Places(workspace, blames=_BLAMES, limit_s=_BLAMES_S)
    entries = [_entry(known, places, step) for step in steps]
    if as_json:
        print_json(entries)
        return 0
    for step, entry in zip(steps, entries, strict=True):
        show(_text(step, entry))
    return 0


def _entry(known: Known, places: Places, step: PlanStep) -> dict[str, Any]:
    changed = step.reason in ("changed", "new")
    near = reasons.neighbour(known.workspace, step) if changed else None
    found = near.nearest.differences if near else ()
    return {
        "node": str(step.node.id),
        "platform": step.node.id.platform,
        "verb": step.verb.word,
        "reason": step.text,
        "causes": [cause.to_dict() for cause in causes(known, step, near)],
        "key": str(step.action.key) if step.action else "",
        "inputs": {r: str(d) for r, d in step.action.inputs.items()} if step.action else {},
        "recipes": _recipes(known.workspace, step),
        "outputs": {n: str(d) for n, d in step.outputs.items()},
        "nearest": _near(near, step) if near else {},
        "differences": [_difference(places, step, d) for d in found[:_DIFFERENCES]],
        "more_differences": max(0, len(found) - _DIFFERENCES),
    }


def _near(near: Neighbour, step: PlanStep) -> dict[str, Any]:
    return {
        "key": str(near.nearest.key),
        "node": near.nearest.node,
        "platform": near.nearest.platform,
        "made_at": near.made_at,
        "builder": near.builder,
        "text": near.told(step.node),
    }


def _difference(places: Places, step: PlanStep, difference: Difference) -> dict[str, Any]:
    spot = places.spot(step, difference)
    return {
        "path": difference.path,
        "before": difference.before,
        "after": difference.after,
        "place": str(spot),
        "pin": spot.pin,
        "file": spot.file,
        "line": spot.line,
        "commit": dataclasses.asdict(spot.origin) if spot.origin else {},
        "origin": str(spot.origin) if spot.origin else "",
    }


def _recipes(workspace: Workspace, step: PlanStep) -> dict[str, dict[str, str]]:
    """Returns what a build asks of other recipes by ranges, and the version that its pin chose."""
    node = step.node.id
    if node.kind != "build":
        return {}
    release = next(r for r in workspace.catalog.releases.values() if str(r.id) == node.owner)
    target = release.targets[Platform(node.platform)]
    pins = workspace.locks.pins
    return {
        request.name: {"asked": request.text, "pinned": pin.version if pin else ""}
        for request in range_requests(target)
        for pin in [pin_of(request, target, pins)]
    }


def _text(step: PlanStep, entry: dict[str, Any]) -> str:
    lines = [f"{step.verb.value} {step.node.id.label}: {step.text}"]
    for cause in entry["causes"]:
        lines.append(f"    {cause['text']}")
        if cause["next"]:
            lines.append(f"      {cause['next']}")
    rows = [["key", entry["key"] or "known after apply"]]
    rows += [
        [f"recipe {name}", f"{found['pinned'] or 'not locked'}, asked for {found['asked']}"]
        for name, found in sorted(entry["recipes"].items())
    ]
    rows += [[f"input {role}", digest] for role, digest in sorted(entry["inputs"].items())]
    rows += [[f"output {name}", digest] for name, digest in sorted(entry["outputs"].items())]
    rows += [["nearest key", entry["nearest"]["text"]]] if entry["nearest"] else []
    lines.append(table(rows, indent="    "))
    for difference in entry["differences"]:
        lines.append(f"    differs: {difference['place']}")
        lines.append(f"      before  {difference['before'] or '(absent)'}")
        lines.append(f"      after   {difference['after'] or '(absent)'}")
        lines += [f"      line    {difference['origin']}"] if difference["origin"] else []
    if entry["more_differences"]:
        lines.append(f"    and {entry['more_differences']} more differences")
    return "\n".join([*lines, ""])
