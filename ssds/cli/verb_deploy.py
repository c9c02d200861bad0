"""``ssds deploy``: images, modules and wrappers for a site, from locks and blobs only."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable

import click

from ssds.cli import signing
from ssds.cli.app import Context
from ssds.cli.output import counted, print_json, say, table
from ssds.cli.planning import site_notes
from ssds.cli.respecting import respect_option
from ssds.cli.selecting import site_option
from ssds.cli.sites import site_of
from ssds.core.errors import UnavailableError
from ssds.core.text import shown
from ssds.host.foreign_lock import holding
from ssds.recipe.model import Site
from ssds.recipe.selectors import About, about, hits
from ssds.ship.checking import check_tree
from ssds.ship.collisions import Collision
from ssds.ship.deploy import REMOVAL_LIMIT, DeployPlan, deploy, plan_deploy
from ssds.ship.targets.named import open_target
from ssds.ship.targets.plug import Target
from ssds.workspace import Workspace

NOTES_SHOWN = 10


@click.command("deploy")
@site_option()
@click.option(
    "--to", "target", required=True, help="A folder, cvmfs:REPOSITORY or ingest:REPOSITORY."
)
@click.option("--dry-run", is_flag=True, help="Say what would change; write nothing.")
@click.option("--check", is_flag=True, help="Say what is wrong in the tree; write nothing.")
@click.option("--repair", is_flag=True, help="Look at everything, and make anew what is wrong.")
@click.option(
    "--allow-remove",
    type=click.IntRange(0),
    default=REMOVAL_LIMIT,
    show_default=True,
    metavar="N",
    help="So many releases may disappear.",
)
@respect_option
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
    respected: tuple[str, ...],
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
    site, locks = site_of(workspace, site_name), tuple(workspace.locks.releases.values())
    unlocked = _unlocked(workspace, site)
    data = tuple(workspace.data_locks.values()) if site.data else ()
    channels = workspace.catalog.channels.values()
    for note in site_notes(workspace):
        say(note)
    if dry_run:
        blobs = workspace.store.blobs
        planned = plan_deploy(site, locks, blobs, place, channels=channels, data=data)
        return _show_plan(planned, unlocked, as_json)
    store = workspace.store
    try:
        with holding(respected), store.shared():
            report = deploy(
                site,
                locks,
                store.blobs,
                place,
                channels=channels,
                data=data,
                allow_remove=allow_remove,
                repair=repair,
                seal=signing.seal(workspace),
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
                "data_written": report.data_written,
                "left_out": [list(pair) for pair in report.left_out],
                "collisions": [collision.to_dict() for collision in report.collisions],
            }
        )
        return 0
    print(table([[c.verb, c.what, c.reason] for c in report.changes], indent="  "))
    _tell((*report.left_out, *unlocked), report.collisions)
    if not report.changes:
        say(f"the site {site.name} takes no release: look at its platforms, include and exclude")
    for release, path, text in report.notes[:NOTES_SHOWN]:
        say(f"{release}: {shown('/' + path)}: {text}")
    if len(report.notes) > NOTES_SHOWN:
        say(f"and {len(report.notes) - NOTES_SHOWN} more of these; the images' markers name them")
    if not report.written:
        print(f"Nothing to do: {target} is as the locks say (generation {report.generation}).")
    else:
        folder = os.path.join(place.folder, "sites", site.name)
        if site.modules != "tcl" and not os.path.isdir(os.path.join(folder, "lmod")):
            say("no spider cache was made for Lmod: Lmod is not here, or the tree's path is odd")
        modules = shlex.quote(os.path.join(folder, "modules"))
        sets = f", {counted(report.data_written, 'data set')}" if report.data_written else ""
        print(
            f"Deployed generation {report.generation} to {target}: "
            f"{counted(report.images_written, 'image')}{sets} unpacked. `module use {modules}`"
        )
    return 0


def _unlocked(workspace: Workspace, site: Site) -> list[tuple[str, str]]:
    """Returns the releases and data sets that a site names, and that no lock has yet."""
    data = workspace.catalog.data if site.data else {}
    unmade = sorted(
        name
        for name, found in data.items()
        if name not in workspace.data_locks and hits(site.data, name, about(found.about, {}))
    )
    return [
        (str(name), f"not released yet: ssds apply {name.name}")
        for name in sorted(workspace.catalog.releases)
        if not workspace.locks.get(name).variants and hits(site.include, name, About())
    ] + [(str(name), f"not made yet: ssds apply {name.name}") for name in unmade]


def _tell(left_out: Iterable[tuple[str, str]], collisions: Iterable[Collision]) -> None:
    for release, reason in left_out:
        say(f"left out {release}: {reason}")
    for c in (c for c in collisions if c.rule == "name"):
        say(
            f"{c.command} is offered by {c.winner} and {', '.join(c.others)}: bin/ has that of "
            f"{c.winner}; `prefer` in the site's file chooses"
        )


def _show_plan(planned: DeployPlan, unlocked: list[tuple[str, str]], as_json: bool) -> int:
    """Prints what would be done; returns 1 where it could not be done."""
    left_out = (*planned.left_out, *unlocked)
    if as_json:
        print_json(
            {
                "changes": [c.to_dict() for c in planned.changes],
                "rewritten": planned.rewritten,
                "left_out": [list(pair) for pair in left_out],
                "missing": [[release, str(digest)] for release, digest in planned.missing],
                "collisions": [collision.to_dict() for collision in planned.collisions],
            }
        )
        return 1 if planned.missing else 0
    if planned.changes:
        print(table([[c.verb, c.what, c.reason] for c in planned.changes], indent="  "))
    _tell(left_out, planned.collisions)
    if planned.missing:
        releases = sorted({release for release, _ in planned.missing})
        say(
            f"{counted(len(planned.missing), 'blob')} of {', '.join(releases)} are not here: "
            f"ssds apply --fetch {' '.join(releases)}"
        )
    if not planned.rewritten:
        print("Nothing to do: the tree is as locks and site say.")
    elif all(c.verb == "=" for c in planned.changes):
        print("The releases stay; modules, wrappers or links of the site would be written anew.")
    else:
        print("A new generation would be written.")
    return 1 if planned.missing else 0


def _check(place: Target, sites: list[str], as_json: bool) -> int:
    report = check_tree(place.folder, sites)
    if as_json:
        found = {"sites": list(report.sites), "images": report.images, "data": report.data}
        print_json({**found, "problems": list(report.problems)})
    elif report.problems:
        print("\n".join(shown(text) for text in report.problems))
        print(
            f"{counted(len(report.problems), 'problem')}. To make good what can be: "
            f"ssds deploy --site {sites[0] if sites else 'SITE'} --to {shlex.quote(place.name)} "
            "--repair"
        )
    else:
        sites_text = " ".join(report.sites)
        sets = f", {counted(report.data, 'data set')}" if report.data else ""
        print(
            f"{place.name} is as it was deployed: {sites_text}, "
            f"{counted(report.images, 'image')}{sets}."
        )
    return 1 if report.problems else 0
