"""``ssds init``: make a workspace."""

from __future__ import annotations

import os

import click

from ssds.cli.app import Context
from ssds.core.errors import Refused
from ssds.host.files import atomic_write
from ssds.recipe.settings import SETTINGS_FILE
from ssds.workspace import STATE_FOLDER

_FILES = {
    SETTINGS_FILE: """\
# Settings of this workspace. Without a line for it the store is your own, shared by all your
# workspaces (~/.local/share/ssds/store):
# store: {path: .ssds/store}
catalog: catalog
""",
    "catalog/bases.yaml": """\
# Bases that recipes may name; `ssds lock` pins their packages by digest.
debian-12:
  suite: bookworm
  platforms: [linux/amd64, linux/arm64]
""",
    "catalog/policies.yaml": """\
# What holds a release.
default:
  fail_on: [critical]
  unscanned: pass
""",
    ".gitignore": f"{STATE_FOLDER}/\n",
}


@click.command("init")
@click.argument("folder", default=".")
@click.pass_obj
def command(context: Context, /, folder: str) -> int:
    """Make a workspace in FOLDER (here by default): ssds.yaml, catalog/ and lockfiles/."""
    root = os.path.abspath(folder)
    if os.path.exists(os.path.join(root, SETTINGS_FILE)):
        raise Refused(
            f"{root} is a workspace already", hint="`ssds new NAME` adds a recipe.", code="E085"
        )
    os.makedirs(os.path.join(root, "lockfiles"), exist_ok=True)
    for name, text in _FILES.items():
        path = os.path.join(root, name)
        if not os.path.exists(path):
            atomic_write(path, text.encode(), point="init")
            print(f"wrote {os.path.relpath(path)}")
    print("Next: `ssds new NAME --apt PACKAGE`, then `ssds lock` and `ssds apply`.")
    return 0
