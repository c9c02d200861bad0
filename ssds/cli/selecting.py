"""The options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ssds.cli.completing import complete_nodes, complete_platforms, complete_sites
from ssds.recipe.settings import BUILDERS

F = TypeVar("F", bound=Callable[..., Any])


def platform_option(function: F) -> F:
    """Adds ``--platform`` to a verb that works on one."""
    return click.option(
        "--platform",
        default="",
        help="Which platform, where there are several.",
        shell_complete=complete_platforms,
    )(function)


def platforms_option(function: F) -> F:
    """Adds ``--platform``, which may be given more than once."""
    return click.option(
        "--platform",
        "platforms",
        multiple=True,
        help="Only this platform.",
        shell_complete=complete_platforms,
    )(function)


def site_option(
    text: str = "A site of catalog/sites/.", *, required: bool = False
) -> Callable[[F], F]:
    """Returns what adds ``--site`` to a verb; ``text`` is its help."""
    return click.option(
        "--site",
        "site_name",
        required=required,
        default=None if required else "",
        help=text,
        shell_complete=complete_sites,
    )


def builder_option(function: F) -> F:
    """Adds ``--builder``."""
    return click.option(
        "--builder",
        type=click.Choice(BUILDERS),
        help="Who runs build steps; else the setting `builder` says it.",
    )(function)


def planning_options(function: F) -> F:
    """Adds what ``plan`` and ``apply`` share."""
    for option in (
        click.argument(
            "selectors", nargs=-1, metavar="[SELECTOR]...", shell_complete=complete_nodes
        ),
        platforms_option,
        click.option("--as-of", default="", metavar="DATE", help="Judge waivers on this date."),
        click.option(
            "--fetch", is_flag=True, help="Want the bytes of releases here, with their evidence."
        ),
        click.option("--rerun", multiple=True, metavar="SELECTOR", help="Run again though known."),
        click.option("--retry", is_flag=True, help="Run remembered failures again."),
        builder_option,
        click.option("--refresh", is_flag=True, help="Look at the channels anew."),
        click.option("--no-cache", is_flag=True, help="Ask no remote cache, and send nothing."),
    ):
        function = option(function)
    return function
