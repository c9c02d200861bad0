"""``ssds prune``: remove what a deployed tree keeps of earlier deployments."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import click

from ssds.cli.app import Context
from ssds.cli.output import counted, print_json, say
from ssds.cli.respecting import respect_option
from ssds.core.errors import Refused, UsageError
from ssds.host.foreign_lock import holding
from ssds.ship.prune import GRACE_S, KEEP, plan_removal, prune
from ssds.ship.targets.named import open_target
from ssds.ship.tree import check_owner


@click.command("prune")
@click.option("--tree", "target", required=True, help="The tree, as in `deploy --to`.")
@click.option(
    "--keep", type=click.IntRange(1), default=KEEP, help="Generations to keep of each site."
)
@click.option(
    "--grace-days",
    type=click.FloatRange(0),
    default=GRACE_S / 86400,
    show_default=True,
    help="How long an image stays that no kept generation names.",
)
@click.option("--dry-run", is_flag=True, help="Say what would go; remove nothing.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@respect_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    context: Context,
    /,
    target: str,
    keep: int,
    grace_days: float,
    dry_run: bool,
    yes: bool,
    respected: tuple[str, ...],
    as_json: bool,
) -> int:
    """Remove old generations of a deployed tree, and images that none needs any longer.

    An image goes when no kept generation of any site has named it for the grace period; the first
    run starts the period. What must stay is checked afterwards.
    """
    del context  # the tree says all
    place = open_target(target, say)
    if not place.exists() or not check_owner(place.folder):
        raise UsageError(
            f"{place.name} is no deployed tree",
            hint="Name the folder that `ssds deploy` wrote.",
            code="D045",
        )
    grace_s, now_s = grace_days * 86400, time.time()
    removed = plan_removal(place.folder, keep=keep, grace_s=grace_s, now_s=now_s).paths
    if not dry_run:
        if removed and not yes and not _confirmed(removed):
            return 0
        with holding(respected):
            removed = prune(place, keep=keep, grace_s=grace_s, now_s=now_s)
    if as_json:
        print_json({"dry_run": dry_run, "removed": list(removed)})
        return 0
    for path in removed:
        print(f"  - {path}")
    done = "would go" if dry_run else "removed"
    print(f"{counted(len(removed), 'folder')} {done}." if removed else "Nothing to remove.")
    return 0


def _confirmed(paths: Sequence[str]) -> bool:
    for path in paths:
        say(f"  - {path}")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Refused(
            "prune asks before it removes, and there is no terminal to ask on",
            hint="Pass --yes, or --dry-run to look only.",
            code="E176",
        )
    return click.confirm(f"Remove {counted(len(paths), 'folder')}?", err=True)
