"""``ssds mirror``: every pinned file in a folder by digest, filled and verified."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from ssds.cli.app import Context
from ssds.cli.completing import complete_releases
from ssds.cli.guard import EXIT_ERROR
from ssds.cli.output import counted, report_error, say, size_text
from ssds.cli.releases import select
from ssds.core.digest import Digest
from ssds.core.errors import SsdsError, UsageError
from ssds.workspace import Workspace

if TYPE_CHECKING:
    from ssds.lock.artefacts import Artefact


@click.group("mirror")
def command() -> None:
    """Keep every file that the locks pin in a mirror of your own: sources, packages, wheels.

    A mirror is a folder with the files by digest, blobs/sha256/…, or what a web server gives of it.
    Name it under mirrors.blobs in ssds.yaml, and it is asked before all others.
    """


@command.command("push")
@click.argument("selectors", nargs=-1, shell_complete=complete_releases)
@click.option(
    "--to",
    "folder",
    default="",
    type=click.Path(),
    metavar="FOLDER",
    help="The folder (default: the first folder under mirrors.blobs).",
)
@click.pass_obj
def push_command(context: Context, /, selectors: tuple[str, ...], folder: str) -> int:
    """Write what the locks pin to a mirror's folder; what the store lacks is fetched first.

    Exit code 1 where something cannot be had any more; all else is there then.
    """
    from ssds.engine.mirroring import push

    workspace = Workspace.open(context.folder)
    target = _folder(folder) if folder else _own_folder(workspace)
    wanted = _artefacts(workspace, selectors)
    with workspace.store.shared():
        done = push(wanted, target, workspace.store, workspace.mirrors, say)
    _report(done.failed, wanted)
    size = f" ({size_text(done.size_bytes)})" if done.copied else ""
    print(f"{counted(done.copied, 'file')} written{size}, {done.there} there before: {target}")
    return EXIT_ERROR if done.failed else 0


@command.command("verify")
@click.argument("selectors", nargs=-1, shell_complete=complete_releases)
@click.option(
    "--from",
    "address",
    default="",
    metavar="ADDRESS",
    help="A folder or an address (default: each one under mirrors.blobs).",
)
@click.pass_obj
def verify_command(context: Context, /, selectors: tuple[str, ...], address: str) -> int:
    """Read every file that the locks pin from a mirror, and check its digest."""
    from ssds.engine.mirroring import verify

    workspace = Workspace.open(context.folder)
    addresses = (_absolute(address),) if address else workspace.mirrors.blobs
    if not addresses:
        raise _no_mirror()
    wanted = _artefacts(workspace, selectors)
    code = 0
    for one in addresses:
        failed = verify(wanted, one, workspace.mirrors)
        _report(failed, wanted)
        good = len(wanted) - len(failed)
        print(f"{good} of {counted(len(wanted), 'file')} are there and whole: {_shown(one)}")
        code = code or (EXIT_ERROR if failed else 0)
    return code


def _artefacts(workspace: Workspace, selectors: tuple[str, ...]) -> list[Artefact]:
    """Returns the files that the locks of the chosen releases pin; of all of them for none."""
    from ssds.lock.artefacts import artefacts

    pins = workspace.locks.pins
    names = select({name: None for name, _ in pins}, selectors) if selectors else None
    held = [p for (name, _), p in pins.items() if names is None or name in names]
    return artefacts(held, workspace.locks.catalog.pins)


def _folder(address: str) -> str:
    from ssds.host.mirrors import is_local, local_path

    if "://" not in address:
        return os.path.abspath(address)
    if not is_local(address):
        raise UsageError(
            f"a mirror is written to a folder, and {_shown(address)} is none",
            hint="Write it to a folder, and let a web server give that.",
            code="E203",
        )
    return local_path(address)


def _own_folder(workspace: Workspace) -> str:
    from ssds.host.mirrors import is_local, local_path

    for address in workspace.mirrors.blobs:
        if is_local(address):
            return local_path(address)
    raise _no_mirror()


def _no_mirror() -> UsageError:
    return UsageError(
        "no mirror is named",
        hint="Name one with --to or --from, or under mirrors.blobs in ssds.yaml "
        "(file:///srv/mirror).",
        code="E202",
    )


def _absolute(address: str) -> str:
    return address.rstrip("/") if "://" in address else os.path.abspath(address)


def _shown(address: str) -> str:
    from ssds.host.mirrors import redacted

    return redacted(address)


def _report(failed: Mapping[Digest, SsdsError], wanted: list[Artefact]) -> None:
    for artefact in wanted:
        error = failed.get(artefact.file.digest)
        if error is not None:
            report_error(error)
