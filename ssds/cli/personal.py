"""What the verbs of one person share: the folder of tools, names, settings without a workspace."""

from __future__ import annotations

import os
import re

import click

from ssds.core.errors import UsageError
from ssds.host.mirrors import Mirrors

_NAME = re.compile(
    r"(?:data/)?[a-z0-9](?:[a-z0-9._-]{0,127})(?:@[A-Za-z0-9][A-Za-z0-9._+~:-]{0,127})?"
)

folder_option = click.option(
    "--to",
    "folder",
    default="",
    type=click.Path(),
    metavar="DIR",
    help="The folder of tools (default: ssds/tools in the user's data folder).",
)


def default_folder() -> str:
    """Returns ``$XDG_DATA_HOME/ssds/tools``, ``~/.local/share/ssds/tools``."""
    data = os.environ.get("XDG_DATA_HOME", "")
    if not os.path.isabs(data):
        data = os.path.join(os.path.expanduser("~"), ".local", "share")
    return os.path.join(data, "ssds", "tools")


def named(text: str) -> tuple[str, str]:
    """Returns name and version of ``NAME[@VERSION]``; no version is the empty string.

    Raises:
        UsageError: I006, it is no such text.
    """
    if not _NAME.fullmatch(text):
        raise UsageError(
            f"{text[:80]!r} is not NAME or NAME@VERSION",
            hint="For instance: samtools, samtools@1.16.1, data/genome. Where it is says --from.",
            code="I006",
        )
    name, _, version = text.partition("@")
    return name, version


def personal_mirrors() -> Mirrors:
    """Returns proxy, certificates and source map of the user's settings; archives play no part."""
    from ssds.recipe.settings import read_settings

    settings = read_settings(os.devnull, os.environ)
    return Mirrors(own_ca_bundle=settings.ca_bundle, proxy=settings.proxy, images=settings.images)
