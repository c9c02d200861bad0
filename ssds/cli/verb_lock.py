"""``ssds lock``: pin what moves."""

from __future__ import annotations

import click

from ssds.cli.app import Context
from ssds.cli.resolving import chosen_targets, lock_all
from ssds.core.errors import Refused
from ssds.kinds.build.requests import requests_of
from ssds.workspace import Workspace

RENEWABLE = ("base", "sources", "packages")


@click.command("lock")
@click.argument("selectors", nargs=-1, metavar="[SELECTOR]...")
@click.option("--platform", "platforms", multiple=True, help="Only this platform.")
@click.option(
    "--upgrade",
    multiple=True,
    type=click.Choice([*RENEWABLE, "all"]),
    help="Renew pins that are not stale.",
)
@click.option("--check", is_flag=True, help="Only say whether a pin is missing or stale.")
@click.pass_obj
def command(
    context: Context,
    selectors: tuple[str, ...],
    platforms: tuple[str, ...],
    upgrade: tuple[str, ...],
    check: bool,
) -> int:
    """Pin what moves: bases, sources, package sets; write them to lockfiles/."""
    workspace = Workspace.open(context.folder)
    if check:
        _check(workspace, selectors, platforms)
        print("Every pin answers its request.")
        return 0
    renew = frozenset(RENEWABLE if "all" in upgrade else upgrade)
    changed = lock_all(workspace, selectors, platforms, renew)
    for name in changed:
        print(f"wrote {name}")
    if not changed:
        print("Nothing to lock: every pin answers its request.")
    return 0


def _check(workspace: Workspace, selectors: tuple[str, ...], platforms: tuple[str, ...]) -> None:
    shared, pins = workspace.locks.catalog.pins, workspace.pins()
    missing = [
        f"{target.release} [{target.platform}]: {what}"
        for target in chosen_targets(workspace, selectors, platforms)
        for what in requests_of(target, workspace.catalog, shared, pins).missing
    ]
    if missing:
        raise Refused(
            f"{len(missing)} pins are missing or stale:\n      " + "\n      ".join(missing),
            hint="Run `ssds lock` and commit lockfiles/.",
            code="E082",
        )
