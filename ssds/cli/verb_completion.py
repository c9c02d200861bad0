"""``ssds completion``: the shell completion script."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from ssds.cli.app import Context, ssds
from ssds.core.errors import UsageError


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_obj
def command(context: Context, /, shell: str) -> int:
    """Print the completion script: ``eval "$(ssds completion bash)"``."""
    found = get_completion_class(shell)
    if found is None:
        raise UsageError(f"there is no completion for {shell}")
    print(found(ssds, {}, "ssds", "_SSDS_COMPLETE").source())
    return 0
