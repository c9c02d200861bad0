"""``ssds sbom``: what is in a released image."""

from __future__ import annotations

import os
import sys

import click

from ssds.cli import images
from ssds.cli.app import Context
from ssds.cli.completing import complete_releases
from ssds.cli.selecting import platform_option
from ssds.core.errors import UnavailableError
from ssds.core.platform import Platform
from ssds.host.machine import native_platform
from ssds.workspace import Workspace


@click.command("sbom")
@click.option(
    "--format",
    "form",
    type=click.Choice(["cyclonedx", "spdx"]),
    default="cyclonedx",
    show_default=True,
    help="CycloneDX 1.6 as it is in the lock, or SPDX 2.3 made of it.",
)
@platform_option
@click.option("--out", default="", metavar="FILE", help="Write to this file, not to stdout.")
@click.argument("release", shell_complete=complete_releases)
@click.pass_obj
def command(context: Context, /, release: str, form: str, platform: str, out: str) -> int:
    """Print the SBOM of RELEASE (NAME or NAME@VERSION) for one platform.

    The same release gives the same bytes on every machine.
    """
    from ssds.core.canonical import canonical_bytes
    from ssds.host.files import atomic_write
    from ssds.kinds.sbom.spdx import spdx

    workspace = Workspace.open(context.folder)
    name = images.one_release(workspace, release)
    chosen = Platform(platform) if platform else native_platform()
    section = workspace.locks.get(name).variant(name).platforms.get(chosen)
    claim = section.latest.get("sbom") if section is not None else None
    data = workspace.read_blob(claim.outputs["sbom"]) if claim is not None else None
    if data is None:
        raise UnavailableError(
            f"the SBOM of {name} for {chosen} is not here",
            hint=f"`ssds apply --fetch --platform {chosen} {name}` brings it."
            if claim is not None
            else f"`ssds apply {name}` makes it.",
            code="E182",
        )
    if form == "spdx":
        data = canonical_bytes(spdx(data))
    if out:
        atomic_write(os.path.abspath(out), data, point="sbom.file")
        return 0
    sys.stdout.write(data.decode("utf-8") + "\n")
    return 0
