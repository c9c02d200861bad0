"""``ssds deploy``: images, modules and wrappers for a site, from locks and blobs only."""

from __future__ import annotations

import os
import shlex

import click

from ssds.cli.app import Context
from ssds.cli.completing import complete_sites
from ssds.cli.output import counted, print_json, say, table
from ssds.core.errors import UnavailableError, UsageError
from ssds.ship.checking import check_tree
from ssds.ship.deploy import REMOVAL_LIMIT, deploy, plan_deploy
from ssds.ship.modules import printable
from ssds.ship.targets.named import open_target
from ssds.ship.targets.plug import Target
from ssds.workspace import Workspace

NOTES_SHOWN = 10


@click.command("deploy")
@click.option(
    "--site",
    "site_name",
    default="",
    help="A site of catalog/sites/.",
    shell_complete=complete_sites,
)
@click.option(
    "--to", "target", required=True, help="A folder, cvmfs:REPOSITORY or ingest:REPOSITORY."
)
@click.option("--dry-run", is_flag=True, help="Say what would change; write nothing.")
@click.option("--check", is_flag=True, help="Say what is wrong in the tree; write nothing.")
@click.option("--repair", is_flag=True, help="Look at everything, and make anew what is wrong.")
@click.option("--allow-remove", type=click.IntRange(0), default=REMOVAL_LIMIT, metavar="N")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    context: Context,
    /,
    site_name: str,
    target: str,
    dry_run: bool,
    check: bool,
    repair: bool,
    allow_remove: int,
    as_json: bool,
) -> int:
    """Write the tree of a site: unpacked images, Lmod modules and wrappers, switched at once.

    The tree needs neither Python nor ssds; readers see the old one or the new, never a mixture.
    """
    place = open_target(target, say)
    if check:
        return _check(place, [site_name] if site_name else [], as_json)
    if not site_name:
        raise click.UsageError("Missing option '--site'.")
    workspace = Workspace.open(context.folder)
    sites = workspace.catalog.sites
    if site_name not in sites:
        known = ", ".join(sorted(sites)) or "(none)"
        raise UsageError(
            f'there is no site "{site_name}"',
            hint=f"Known: {known}; a site is a file catalog/sites/NAME.yaml.",
            code="E034",
        )
    site, locks = sites[site_name], tuple(workspace.locks.releases.values())
    if dry_run:
        changes = plan_deploy(site, locks, workspace.store.blobs, place)
        if as_json:
            print_json([c.to_dict() for c in changes])
        else:
            print(table([[c.verb, c.what, c.reason] for c in changes]))
        return 0
    store = workspace.store
    try:
        with store.shared():
            report = deploy(
                site,
                locks,
                store.blobs,
                place,
                channels=workspace.catalog.channels.values(),
                allow_remove=allow_remove,
                repair=repair,
            )
    except UnavailableError as error:
        error.hint = error.hint or "`ssds apply --fetch` brings the bytes of releases here."
        raise
    if as_json:
        print_json(
            {
                "changes": [c.to_dict() for c in report.changes],
                "generation": report.generation,
                "written": report.written,
                "images_written": report.images_written,
                "left_out": [list(pair) for pair in report.left_out],
                "collisions": [collision.to_dict() for collision in report.collisions],
            }
        )
        return 0
    print(table([[c.verb, c.what, c.reason] for c in report.changes], indent="  "))
    for release, reason in report.left_out:
        say(f"left out {release}: {reason}")
    for c in (c for c in report.collisions if c.rule == "name"):
        say(
            f"{c.command} is offered by {c.winner} and {', '.join(c.others)}: bin/ has that of "
            f"{c.winner}; `prefer` in the site's file chooses"
        )
    for release, path, text in report.notes[:NOTES_SHOWN]:
        say(f"{release}: {printable('/' + path)}: {text}")
    if len(report.notes) > NOTES_SHOWN:
        say(f"and {len(report.notes) - NOTES_SHOWN} more of these; the images' markers name them")
    if not report.written:
        print(f"Nothing to do: {target} is as the locks say (generation {report.generation}).")
    else:
        folder = os.path.join(place.folder, "sites", site.name)
        if site.modules != "tcl" and not os.path.isdir(os.path.join(folder, "lmod")):
            say("no spider cache was made for Lmod: Lmod is not here, or the tree's path is odd")
        modules = shlex.quote(os.path.join(folder, "modules"))
        print(
            f"Deployed generation {report.generation} to {target}: "
            f"{counted(report.images_written, 'image')} unpacked. `module use {modules}`"
        )
    return 0


def _check(place: Target, sites: list[str], as_json: bool) -> int:
    report = check_tree(place.folder, sites)
    if as_json:
        found = {"sites": list(report.sites), "images": report.images}
        print_json({**found, "problems": list(report.problems)})
    elif report.problems:
        print("\n".join(printable(text) for text in report.problems))
        print(
            f"{counted(len(report.problems), 'problem')}; `ssds deploy --repair` makes them good."
        )
    else:
        sites_text = " ".join(report.sites)
        print(
            f"{place.name} is as it was deployed: {sites_text}, {counted(report.images, 'image')}."
        )
    return 1 if report.problems else 0
