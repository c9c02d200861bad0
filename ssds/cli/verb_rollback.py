"""``ssds rollback``: an earlier deployment of a site becomes the current one, at once."""

from __future__ import annotations

import click

from ssds.cli.app import Context
from ssds.cli.output import print_json, say
from ssds.cli.respecting import respect_option
from ssds.host.foreign_lock import holding
from ssds.ship.rollback import rollback
from ssds.ship.targets.named import open_target


@click.command("rollback")
@click.option("--site", required=True, help="The site's name.")
@click.option("--tree", "target", required=True, help="The tree, as in `deploy --to`.")
@click.option("--to", type=click.IntRange(1), default=None, metavar="N", help="Its generation.")
@respect_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    context: Context,
    /,
    site: str,
    target: str,
    to: int | None,
    respected: tuple[str, ...],
    as_json: bool,
) -> int:
    """Make an earlier generation of a site the current one: the one before, or generation N.

    One link is switched; nothing is downloaded or unpacked. Later generations stay, so that
    `--to` can go forward again, until the newest few push them out (`ssds prune`).
    """
    del context  # the tree says all
    place = open_target(target, say)
    with holding(respected):
        before, now = rollback(site, place, to=to or 0)
    if as_json:
        print_json({"site": site, "before": before, "generation": now})
    elif before == now:
        print(f"Nothing to do: generation {now} of {site} is the current one.")
    else:
        print(f"Generation {now} of {site} is the current one; before it was {before}.")
    return 0
