"""``ssds show``: one release, as its lock tells it."""

from __future__ import annotations

import json
from typing import Any

import click

from ssds.cli.app import Context
from ssds.cli.completing import complete_releases
from ssds.cli.output import print_json, show, size_text, table
from ssds.cli.releases import select
from ssds.core.model import ReleaseName
from ssds.lock.model import PlatformLock
from ssds.saved.read import names_plan, read_saved
from ssds.workspace import Workspace


@click.command("show")
@click.argument("release", metavar="RELEASE|FILE", shell_complete=complete_releases)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(context: Context, /, release: str, as_json: bool) -> int:
    """Show RELEASE (``samtools``, ``samtools@1.16.1``): what it offers and what it rests on.

    Or show the plan that ``ssds plan --out FILE`` saved: anywhere, also when it is stale. FILE is a
    name that ends in ``.plan.json``, or a file that holds JSON.
    """
    if names_plan(release):
        return _show_plan(release, as_json=as_json)
    workspace = Workspace.open(context.folder)
    entries = [_entry(workspace, n) for n in sorted(select(workspace.catalog.releases, (release,)))]
    if as_json:
        print_json(entries)
        return 0
    for entry in entries:
        _print(entry)
    return 0


def _show_plan(path: str, *, as_json: bool) -> int:
    from ssds.cli import saved_show

    saved, plan_id = read_saved(path)
    if as_json:
        print_json(saved_show.to_json(saved, plan_id))
    else:
        show(saved_show.told(saved, plan_id))
    return 0


def _entry(workspace: Workspace, name: ReleaseName) -> dict[str, Any]:
    recipe = workspace.catalog.releases[name]
    variant = workspace.locks.get(name).variant(name)
    return {
        "release": str(name),
        "revision": variant.revision,
        "recipe": recipe.recipe_path,
        "summary": str(recipe.metadata.get("summary", "")),
        "homepage": str(recipe.metadata.get("homepage", "")),
        "licenses": recipe.metadata.get("licenses", []),
        "index": str(variant.index.digest) if variant.index else "",
        "platforms": {
            platform: _platform(workspace, section)
            for platform, section in sorted(variant.platforms.items())
        },
    }


def _platform(workspace: Workspace, section: PlatformLock) -> dict[str, Any]:
    half = section.release
    packages = [p for s in section.pins.packages.values() for p in s.packages]
    entry: dict[str, Any] = {
        "base": section.pins.base,
        "packages": len(packages),
        "sources": {n: s.file.name for n, s in section.pins.sources.items()},
        "recipes": {n: p.version for n, p in section.pins.recipes.items()},
        "verdicts": {k: c.verdict for k, c in sorted(section.latest.items()) if c.verdict},
    }
    if half is not None:
        entry |= {
            "manifest": str(half.manifest.digest),
            "size_bytes": sum(layer.size_bytes for layer in half.layers),
            "commands": list(half.offered),
            "mode": half.actions["build"].mode,
            "emulated": half.actions["build"].emulated,
            "impure": half.actions["build"].impure,
        }
    report = section.latest.get("test")
    data = workspace.read_blob(report.outputs["report"]) if report else None
    if data is not None:
        entry["tests"] = {t["name"]: t["result"] for t in json.loads(data)["tests"]}
    return entry


def _print(entry: dict[str, Any]) -> None:
    revision = f" (r{entry['revision']})" if entry["revision"] else " (not released)"
    print(f"{entry['release']}{revision}: {entry['summary']}")
    rows = [["recipe", entry["recipe"]], ["homepage", entry["homepage"]]]
    rows += [["licence", " ".join(entry["licenses"])], ["index", entry["index"] or "-"]]
    print(table(rows, indent="  "))
    for platform, facts in entry["platforms"].items():
        how = "emulated" if facts.get("emulated") else facts.get("mode", "")
        print(f"  {platform}" + (f" ({how})" if how else ""))
        lines = [["base", facts["base"]], ["packages", str(facts["packages"])]]
        if "manifest" in facts:
            lines += [
                ["manifest", facts["manifest"]],
                ["size", size_text(facts["size_bytes"])],
                ["commands", " ".join(facts["commands"])],
            ]
        lines += [["recipe", f"{n}: {version}"] for n, version in facts["recipes"].items()]
        lines += [["source", f"{n}: {f}"] for n, f in facts["sources"].items()]
        lines += [[f"{kind}", verdict] for kind, verdict in facts["verdicts"].items()]
        lines += [["test", f"{result}: {name}"] for name, result in facts.get("tests", {}).items()]
        print(table(lines, indent="    "))
    print()
