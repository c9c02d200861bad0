"""``ssds sif``: a released image as one file for Apptainer and Singularity."""

from __future__ import annotations

import os

import click

from ssds.cli import images
from ssds.cli.app import Context
from ssds.cli.completing import complete_releases
from ssds.cli.output import print_json, say, size_text
from ssds.cli.selecting import platform_option
from ssds.core.errors import UnavailableError, UsageError
from ssds.core.model import ReleaseName
from ssds.core.platform import Platform
from ssds.host.machine import native_platform
from ssds.lock.model import ReleaseHalf
from ssds.workspace import Workspace


@click.command("sif")
@platform_option
@click.option(
    "--out", required=True, type=click.Path(), metavar="FILE", help="The file; it is replaced."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.argument("release", shell_complete=complete_releases)
@click.pass_obj
def command(context: Context, /, release: str, platform: str, out: str, as_json: bool) -> int:
    """Write the released image of RELEASE (NAME or NAME@VERSION) as a SIF file.

    The same image gives the same bytes on every machine. Apptainer is not needed to make it.
    """
    from ssds.host.files import staged
    from ssds.host.folders import scratch_folder
    from ssds.sif.image import write_sif

    workspace = Workspace.open(context.folder)
    name = images.one_release(workspace, release)
    chosen, half = _released(workspace, name, platform)
    path = os.path.abspath(out)
    folder = os.path.dirname(path)
    if os.path.isdir(path) or not os.path.isdir(folder):
        wrong = path if os.path.isdir(path) else folder
        problem = "is a folder" if wrong == path else "is no folder"
        raise UsageError(f"{wrong} {problem}", hint="Name a file in a folder that is there.")
    store = workspace.store
    try:
        with (
            store.shared(),
            staged(folder, point="sif.file") as place,
            scratch_folder(folder) as scratch,
        ):
            written = write_sif(store.blobs, half.manifest.digest, place.file, scratch)
            place.place(path)
    except UnavailableError as error:
        if not error.hint:
            error.hint = f"`ssds apply --fetch --platform {chosen} {name}` brings its bytes here."
        raise
    if as_json:
        print_json(
            {
                "release": str(name),
                "platform": str(chosen),
                "file": path,
                "sha256": written.digest.hex,
                "size": written.size_bytes,
                "left_out": list(written.dropped),
            }
        )
        return 0
    for left in written.dropped:
        say(f"left out /{left}, which is a device, a fifo or a socket")
    print(f"{out}: {name} [{chosen}], {size_text(written.size_bytes)}, {written.digest}")
    return 0


def _released(
    workspace: Workspace, name: ReleaseName, platform: str
) -> tuple[Platform, ReleaseHalf]:
    """Returns the platform and what its lock offers."""
    chosen = Platform(platform) if platform else native_platform()
    sections = workspace.locks.get(name).variant(name).platforms
    offered = [p for p, section in sections.items() if section.release is not None]
    if chosen not in offered:
        raise UnavailableError(
            f"{name} has not been released for {chosen}",
            hint=f"It is for {', '.join(sorted(offered))}: name one with --platform."
            if offered
            else f"`ssds apply {name}` makes the release.",
            code="E180",
        )
    half = sections[chosen].release
    assert half is not None
    return chosen, half
