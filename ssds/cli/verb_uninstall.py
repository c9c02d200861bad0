"""``ssds uninstall``: takes a tool of one person away."""

from __future__ import annotations

import os

import click

from ssds.cli.app import Context
from ssds.cli.output import print_json, say
from ssds.cli.personal import default_folder, folder_option, named


@click.command("uninstall")
@click.argument("release", metavar="NAME[@VERSION]")
@folder_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(context: Context, /, release: str, folder: str, as_json: bool) -> int:
    """Take a tool that `ssds install` brought away: its module, its wrappers, its image.

    Without VERSION all its versions go. An image that another tool needs stays.
    """
    from ssds.install.install import uninstall

    del context
    name, version = named(release)
    folder = os.path.abspath(folder or default_folder())
    gone = uninstall(folder, name, version, say)
    if as_json:
        print_json({"removed": gone, "folder": folder})
    else:
        print(f"Removed {', '.join(gone)} from {folder}.")
    return 0
