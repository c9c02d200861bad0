"""``ssds key``: make a key that signs, or show its public half."""

from __future__ import annotations

import os

import click

from ssds.cli import signing
from ssds.cli.app import Context
from ssds.cli.output import print_json
from ssds.core.errors import Refused
from ssds.trust.keys import KINDS, new_key


@click.group("key")
def command() -> None:
    """Make a key that signs, or show its public half."""


@command.command("new")
@click.argument("path")
@click.option("--kind", type=click.Choice(KINDS), default=KINDS[0], show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def new(path: str, kind: str, as_json: bool) -> int:
    """Write a new key: the encrypted PATH, and PATH.pub for everybody.

    cosign reads both files. The password comes from SSDS_KEY_PASSWORD or COSIGN_PASSWORD, else it
    is asked for.
    """
    from ssds.host.files import atomic_write
    from ssds.trust.keyfile import seal

    path = path.removesuffix(".pub")
    for place in (path, f"{path}.pub"):
        if os.path.lexists(place):
            raise Refused(
                f"{place} is there already",
                hint="A key is never overwritten; choose another name.",
                code="X012",
            )
    made = new_key(kind, os.path.basename(path))
    sealed = seal(made, signing.new_password())
    atomic_write(path, sealed, point="key", mode=0o600)
    atomic_write(f"{path}.pub", made.public.pem, point="key")
    if as_json:
        print_json({"key": path, "public": f"{path}.pub", "id": str(made.public.id), "kind": kind})
        return 0
    print(f"{path}      the key: keep it and its password apart, and a copy elsewhere")
    print(f"{path}.pub  its public half, for everybody: {made.public.id}")
    return 0


@command.command("show")
@click.argument("address", default="")
@click.option("--id", "only_id", is_flag=True, help="Print only the key's id.")
@click.pass_obj
def show(context: Context, /, address: str, only_id: bool) -> int:
    """Print the public half of a key: of a .pub file, a key file, env:NAME or SCHEME:….

    Without ADDRESS it is the key that the settings name.
    """
    from ssds.trust.open import read_public_file

    if address.endswith(".pub"):
        key = read_public_file(address)
    else:
        key = signing.signer(context, address).public
    print(key.id if only_id else key.pem.decode().rstrip())
    return 0
