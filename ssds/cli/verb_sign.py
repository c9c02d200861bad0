"""``ssds sign``: a signature beside each file."""

from __future__ import annotations

import os

import click

from ssds.cli import signing
from ssds.cli.app import Context
from ssds.cli.output import print_json
from ssds.core.errors import UsageError
from ssds.workspace import LOCK_FOLDER, Workspace


@click.command("sign")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("--locks", is_flag=True, help="All lock files of the workspace.")
@click.option("--key", "address", default="", metavar="KEY", help="A key file or env:NAME.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    context: Context, /, files: tuple[str, ...], locks: bool, address: str, as_json: bool
) -> int:
    """Sign files: FILE.sigstore.json is written beside each.

    A file that this key signed already, as it is now, is left alone. cosign verifies the result:
    `cosign verify-blob --new-bundle-format --bundle FILE.sigstore.json …`.
    """
    from ssds.trust.bundle import SUFFIX
    from ssds.trust.files import sign_file

    wanted = list(files)
    if locks:
        wanted += lock_files(Workspace.open(context.folder))
    if not wanted:
        raise UsageError("nothing to sign", hint="Name files, or pass --locks.", code="E244")
    key = signing.signer(context, address)
    done = {path: sign_file(path, key) for path in dict.fromkeys(wanted)}
    if as_json:
        print_json({"key": str(key.public.id), "signed": [p for p, new in done.items() if new]})
        return 0
    for path, new in done.items():
        print(f"{path}{SUFFIX}" if new else f"{path} is signed by this key")
    return 0


def lock_files(workspace: Workspace) -> list[str]:
    """Returns the paths of all lock files, as short as they can be from the current folder."""
    from ssds.lock.read import SUFFIX

    found = [
        os.path.join(folder, name)
        for folder, _, names in os.walk(os.path.join(workspace.root, LOCK_FOLDER))
        for name in names
        if name.endswith(SUFFIX)
    ]
    return sorted(min(os.path.relpath(path), path, key=len) for path in found)
