"""``ssds schema``: the JSON Schemas of the files that people write, for editors."""

from __future__ import annotations

import os

import click

from ssds.cli.app import Context
from ssds.cli.output import say, show
from ssds.core.errors import UsageError
from ssds.host.files import atomic_write
from ssds.recipe.codes import near
from ssds.recipe.schema import schema_bytes
from ssds.workspace import Workspace

FILES = {
    "recipe": "catalog/*/recipe.yaml",
    "bases": "catalog/bases.yaml",
    "policies": "catalog/policies.yaml",
    "debts": "catalog/debts.yaml",
    "channels": "catalog/channels.yaml",
    "advisories": "catalog/advisories.yaml",
    "catalog": "catalog/catalog.yaml",
    "site": "catalog/sites/*.yaml",
    "data": "catalog/data/*/*.yaml",
    "settings": "ssds.yaml",
}
"""Schema → the files that it is for."""
FOLDER = "schemas"
"""Below the workspace's own state, which git ignores."""


@click.command("schema")
@click.argument("name", default="")
@click.option("--write", is_flag=True, help="Write all of them below .ssds/schemas.")
@click.pass_obj
def command(context: Context, /, name: str, write: bool) -> int:
    """Print the JSON Schema of NAME (recipe, settings, …), or list what there is.

    With --write an editor finds them in .ssds/schemas; `ssds new` does that too.
    """
    if write:
        workspace = Workspace.open(context.folder)
        for path in write_schemas(workspace):
            print(f"wrote {path}")
        say("docs/how-to/set-up-an-editor.md says how an editor finds them.")
        return 0
    if name and name not in FILES:
        first = near(name, list(FILES))
        raise UsageError(
            f"there is no schema {name[:80]!r}", hint=f"{first} `ssds schema` lists them.".strip()
        )
    if name:
        show(schema_bytes(name).decode().rstrip("\n"))
        return 0
    width = max(map(len, FILES))
    for schema, files in FILES.items():
        print(f"{schema:{width}}  {files}")
    return 0


def write_schemas(workspace: Workspace) -> list[str]:
    """Writes the schemas that are not there as they are now; returns their paths."""
    written = []
    for name in FILES:
        path = os.path.join(workspace.state_folder, FOLDER, f"{name}.schema.json")
        data = schema_bytes(name)
        try:
            with open(path, "rb") as file:
                same = file.read() == data
        except OSError:
            same = False
        if not same:
            atomic_write(path, data, point="schema")
            written.append(os.path.relpath(path, workspace.root))
    return written


def schema_for(workspace: Workspace, recipe: str) -> str:
    """Returns where a recipe (a path below the workspace) finds its schema, for its first line."""
    path = os.path.join(workspace.state_folder, FOLDER, "recipe.schema.json")
    return os.path.relpath(path, os.path.dirname(os.path.join(workspace.root, recipe)))
