"""``ssds install``: a tool for one person, from where its image is."""

from __future__ import annotations

import os
import shlex
import stat
from typing import TYPE_CHECKING

import click

from ssds.cli.app import Context
from ssds.cli.output import counted, print_json, say
from ssds.cli.personal import default_folder, folder_option, named, personal_mirrors
from ssds.cli.selecting import platform_option

if TYPE_CHECKING:
    from ssds.install.source import Source


@click.command("install")
@click.argument("release", metavar="NAME[@VERSION]")
@click.option(
    "--from",
    "source",
    required=True,
    metavar="PLACE",
    help="oci://HOST/PREFIX, the address of an image layout on a web server, or its folder.",
)
@folder_option
@platform_option
@click.option(
    "--command",
    "commands",
    multiple=True,
    metavar="NAME",
    help="A program that gets a wrapper: its name, or its path in the image. May be repeated.",
)
@click.option("--plain-http", is_flag=True, help="The registry is on this machine, without TLS.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    context: Context,
    /,
    release: str,
    source: str,
    folder: str,
    platform: str,
    commands: tuple[str, ...],
    plain_http: bool,
    as_json: bool,
) -> int:
    """Install a tool into a folder of yours: its image, a wrapper per command, a module.

    It needs no catalog and no workspace. Without VERSION the newest is taken. Every byte is checked
    against its digest; programs start with Apptainer or Singularity where they are, else with user
    namespaces. data/NAME installs a reference data set.
    """
    from ssds.core.platform import Platform
    from ssds.host.machine import native_platform
    from ssds.install.install import install
    from ssds.install.source import Source

    del context
    name, version = named(release)
    folder = os.path.abspath(folder or default_folder())
    if name.startswith("data/"):
        if platform or commands:
            raise click.UsageError("A data set has no platform and no commands.")
        place = Source(source, personal_mirrors(), plain_http=plain_http)
        return _install_set(folder, name, version, place, as_json)
    done = install(
        folder,
        name,
        version,
        Platform(platform or native_platform()),
        Source(source, personal_mirrors(), plain_http=plain_http),
        commands=commands,
        say=say,
    )
    entry = done.entry
    label = f"{entry.released.id.name}/{entry.released.tag}"
    site = os.path.join(folder, "sites", "local")
    if as_json:
        print_json(
            {
                "release": str(entry.released.id),
                "revision": entry.released.revision,
                "platform": entry.platform,
                "source": entry.source,
                "index": entry.released.index.digest,
                "commands": list(done.commands),
                "fetched_bytes": done.fetched_bytes,
                "written": done.written,
                "folder": folder,
            }
        )
        return 0
    if not done.written:
        print(f"Nothing to do: {label} is in {folder}.")
        return 0
    shown = [c.rpartition("/")[2] for c in done.commands]
    more = f" and {len(shown) - 8} more" if len(shown) > 8 else ""
    print(
        f"Installed {label} [{entry.platform}] into {folder}: "
        f"{counted(len(shown), 'command')}, {', '.join(shown[:8])}{more}."
    )
    print(f"  module use {shlex.quote(site + '/modules')} && module load {label}")
    bin_folder = os.path.join(site, "wrappers", label, "bin")
    print(f"  or: export PATH={shlex.quote(bin_folder)}:$PATH")
    if not stat.S_IMODE(os.stat(folder).st_mode) & stat.S_IXOTH:
        say(f"only you can use it: {folder} is closed to others")
    return 0


def _install_set(folder: str, name: str, version: str, source: Source, as_json: bool) -> int:
    from ssds.install.sets import install_set

    done = install_set(folder, name, version, source, say=say)
    entry, made = done.entry, done.entry.lock.made
    site = os.path.join(folder, "sites", "local")
    if as_json:
        print_json(
            {
                "data": str(entry.lock.id),
                "source": entry.source,
                "digest": made.content.digest if made else "",
                "fetched_bytes": done.fetched_bytes,
                "written": done.written,
                "folder": folder,
            }
        )
    elif not done.written:
        print(f"Nothing to do: {entry.label} is in {folder}.")
    else:
        set_name, version = entry.lock.id.name, entry.lock.id.version
        files = counted(made.files if made else 0, "file")
        print(f"Installed {entry.label} into {folder}: {files}.")
        print(f"  module use {shlex.quote(site + '/modules')} && module load {set_name}/{version}")
        print(f"  or: {shlex.quote(f'{site}/data/{set_name}/{version}')}")
    return 0
