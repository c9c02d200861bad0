"""The option by which verbs that change a tree stay out of the way of other programs."""

from __future__ import annotations

import click

respect_option = click.option(
    "--respect",
    "respected",
    multiple=True,
    metavar="FILE",
    help="A lock file of another program: refuse while it is there, hold it meanwhile.",
)
