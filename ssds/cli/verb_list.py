"""``ssds list``: the tools that one person installed."""

from __future__ import annotations

import os

import click

from ssds.cli.app import Context
from ssds.cli.output import counted, print_json, table
from ssds.cli.personal import default_folder, folder_option


@click.command("list")
@folder_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(context: Context, /, folder: str, as_json: bool) -> int:
    """List what `ssds install` brought into a folder, and where it came from."""
    from ssds.install.records import read_installed, read_installed_sets
    from ssds.ship.images import has_image
    from ssds.ship.refdata.content import has_set

    del context
    folder = os.path.abspath(folder or default_folder())
    found = read_installed(folder)
    rows = [
        {
            "release": f"{e.released.id.name}/{e.released.tag}",
            "platform": str(e.platform),
            "commands": len(e.pick.halves[0].offered),
            "whole": has_image(folder, e.pick.halves[0].config.digest),
            "source": e.source,
            "index": str(e.released.index.digest),
        }
        for e in found
    ]
    sets = [
        {
            "data": entry.label,
            "whole": has_set(folder, entry.lock.made.content.digest),
            "source": entry.source,
            "digest": str(entry.lock.made.content.digest),
        }
        for entry in read_installed_sets(folder)
        if entry.lock.made is not None
    ]
    if as_json:
        print_json([*rows, *sets])
    elif not rows and not sets:
        print(f"Nothing is installed in {folder}. `ssds install NAME --from PLACE` brings a tool.")
    else:
        print(
            table(
                [
                    [
                        str(row["release"]),
                        str(row["platform"]),
                        counted(len(e.pick.halves[0].offered), "command")
                        if row["whole"]
                        else "not whole",
                        str(row["source"]),
                    ]
                    for row, e in zip(rows, found, strict=True)
                ]
                + [
                    [str(s["data"]), "", "data" if s["whole"] else "not whole", str(s["source"])]
                    for s in sets
                ]
            )
        )
    return 0
