"""``ssds run``: a command in a built image."""

from __future__ import annotations

import click

from ssds.cli import images
from ssds.cli.app import Context
from ssds.cli.completing import complete_releases
from ssds.cli.selecting import platform_option
from ssds.host.sandbox import Job
from ssds.workspace import Workspace

_WITH_VALUE = ("--platform", "--bind")


class _OwnWords(click.Command):
    """Options of ssds stand before the command's first word, all after it is the command's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own: list[str] = []
        words = 0
        rest = list(args)
        while rest and words < 2 and rest[0] != "--":
            word = rest[0]
            if not word.startswith("-"):
                words += 1
                if words == 2:
                    break
            take = 2 if word in _WITH_VALUE else 1
            own += rest[:take]
            rest = rest[take:]
        if rest and rest[0] != "--":
            rest = ["--", *rest]
        return super().parse_args(ctx, [*own, *rest])


@click.command("run", cls=_OwnWords)
@platform_option
@click.option("--network", is_flag=True, help="Let the command use this machine's network.")
@click.option(
    "--bind",
    "binds",
    multiple=True,
    metavar="HOST[:INSIDE][:ro]",
    help="Show one more file or folder to the command.",
)
@click.argument("release", shell_complete=complete_releases)
@click.argument(
    "arguments", nargs=-1, required=True, metavar="COMMAND [ARG]...", type=click.UNPROCESSED
)
@click.pass_obj
def command(
    context: Context,
    /,
    release: str,
    arguments: tuple[str, ...],
    platform: str,
    network: bool,
    binds: tuple[str, ...],
) -> int:
    """Run COMMAND in the built image of RELEASE (NAME or NAME@VERSION).

    \b
    ssds run samtools -- samtools sort -o out.bam in.bam

    The command sees the image and the current folder, under its own path, and works there; files
    that it makes are yours. Input, output and exit code are the command's. There is no network
    unless --network is given; changes to the image are thrown away.
    """  # noqa: D301 - click leaves the block after \\b as it is
    workspace = Workspace.open(context.folder)
    name = images.one_release(workspace, release)
    chosen = images.choose_platform(workspace, name, platform)
    sandbox = images.require_sandbox(workspace)
    with workspace.store.shared():
        image = images.open_image(workspace, sandbox, name, chosen)
        here = images.folder_bind(image.lowers)
        job = Job(
            lowers=image.lowers,
            argv=tuple(arguments),
            environment=images.environment(image.config),
            working_folder=here.target,
            network=network,
            binds=(here, *map(images.parse_bind, binds)),
            time_limit_s=float("inf"),
            stdio=images.stdio(),
        )
        return sandbox.run(job).exit_code
