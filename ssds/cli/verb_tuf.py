"""``ssds tuf``: publish catalog and locks so that a mirror cannot hold a site back unseen."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from ssds.cli import signing
from ssds.cli.app import Context
from ssds.cli.output import print_json, say, show
from ssds.cli.personal import personal_mirrors
from ssds.core.errors import Refused, UsageError

if TYPE_CHECKING:
    from ssds.trust.keys import PublicKey, Signer
    from ssds.tuf.roles import Staged
    from ssds.workspace import Workspace

_keys = click.option(
    "--key", "addresses", multiple=True, metavar="KEY", help="A key that signs: a file or env:NAME."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_public = click.Path(exists=True, dir_okay=False)


@click.group("tuf")
def command() -> None:
    """Publish catalog and locks so that no mirror can hold a site back unseen (TUF).

    FOLDER is what a web server gives; it holds no secret. `roles` and `sign` make the root,
    `publish` signs the workspace's files, `delegate` lets a site sign its own, `refresh` is what a
    site runs.
    """


@command.command("roles")
@click.argument("folder")
@click.option("--root", multiple=True, type=_public, help="A key that signs roots.")
@click.option("--threshold", default=0, type=click.IntRange(0, 20), help="How many of them sign.")
@click.option("--targets", multiple=True, type=_public, help="A key that signs what is published.")
@click.option("--online", multiple=True, type=_public, help="A key that signs that it is fresh.")
@click.option("--days", default=365, show_default=True, type=click.IntRange(1, 3650))
@_json
def roles(
    folder: str,
    root: tuple[str, ...],
    threshold: int,
    targets: tuple[str, ...],
    online: tuple[str, ...],
    days: int,
    as_json: bool,
) -> int:
    """Write the next root: which keys may sign what. Its keepers sign it then.

    The first names all keys (.pub files); a later one those roles that change. The root before and
    the new one are both to be signed for.
    """
    from ssds.tuf.roles import Keepers, stage_root

    keepers = Keepers(
        root=_read(root), threshold=threshold, targets=_read(targets), online=_read(online)
    )
    return _tell(stage_root(os.path.abspath(folder), keepers, datetime.now(UTC), days), as_json)


@command.command("sign")
@click.argument("folder")
@click.option("--key", "address", default="", metavar="KEY", help="A key of the root.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--expect", default="", metavar="SHA256", help="Sign this root and no other.")
@_json
@click.pass_obj
def sign(
    context: Context, /, folder: str, address: str, yes: bool, expect: str, as_json: bool
) -> int:
    """Show the root that waits, and sign it; with enough signatures it is published.

    + and - are keys that came and went. Only staged.root.json and the roots are needed: take them
    to the machine where the key is, and the outcome back.
    """
    from ssds.tuf.roles import sign_root, waiting_root

    place = os.path.abspath(folder)
    seen = waiting_root(place)
    if not (yes or expect):
        say("\n".join(seen.lines))
        if not _confirmed():
            return 1
    return _tell(sign_root(place, signing.signer(context, address), expect or seen.digest), as_json)


def _confirmed() -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Refused(
            "sign asks before it signs a root, and there is no terminal to ask on",
            hint="Compare the keys, then pass --expect with the sha256 that is shown, or --yes.",
            code="E272",
        )
    return click.confirm("Sign this root?", err=True)


@command.command("delegate")
@click.argument("folder")
@click.argument("site")
@click.argument("public", nargs=-1, type=_public, metavar="KEY.pub...")
@click.option("--remove", is_flag=True, help="Take the site's role away.")
@_keys
@click.pass_obj
def delegate(
    context: Context,
    /,
    folder: str,
    site: str,
    public: tuple[str, ...],
    remove: bool,
    addresses: tuple[str, ...],
) -> int:
    """Let a site sign its own file, catalog/sites/SITE.yaml, with keys of its own.

    Nobody else's file of that name counts from then on.
    """
    from ssds.tuf.roles import delegate as give
    from ssds.workspace import Workspace

    if bool(public) == remove:
        raise UsageError(
            "name the keys of the site, or --remove",
            hint="ssds tuf delegate FOLDER SITE KEY.pub --key …",
            code="E270",
        )
    path = _site_file(Workspace.open(context.folder), site)
    signers = _signers(context, addresses)
    version = give(os.path.abspath(folder), site, _read(public), [path], signers, datetime.now(UTC))
    print(f"{version}.targets.json")
    return 0


@command.command("publish")
@click.argument("folder")
@click.option("--site", default="", help="Publish this site's own file, with the site's key.")
@click.option("--renew", is_flag=True, help="Only sign anew that what is published is fresh.")
@click.option(
    "--days",
    default=2,
    show_default=True,
    type=click.IntRange(1, 60),
    help="How long it is fresh: as long a frozen mirror stays unseen.",
)
@_keys
@_json
@click.pass_obj
def publish(
    context: Context,
    /,
    folder: str,
    site: str,
    renew: bool,
    days: int,
    addresses: tuple[str, ...],
    as_json: bool,
) -> int:
    """Publish this workspace: ssds.yaml, recipes of all formats, advisory sets and locks.

    Each key signs what the root lets it: the targets key what changed, the online key that it is
    fresh. Without the online key, what is published counts from the next run with it.
    """
    from ssds.tuf import publish as publishing

    files, executable = None, frozenset[str]()
    if not renew:
        from ssds.tuf.gather import files_below, programs
        from ssds.workspace import Workspace

        workspace = Workspace.open(context.folder)
        names = [_site_file(workspace, site)] if site else _names(workspace)
        files = files_below(workspace.root, names)
        executable = programs(workspace.root, files)
        if site and not files:
            raise UsageError(
                f"there is no {names[0]}", hint="Write the site's file first.", code="E271"
            )
    signers = _signers(context, addresses)
    done = publishing.publish(
        os.path.abspath(folder),
        files,
        signers,
        datetime.now(UTC),
        site=site,
        days=days,
        programs=executable,
    )
    if as_json:
        until = f"{done.fresh_until:%Y-%m-%dT%H:%M:%SZ}" if done.fresh_until else ""
        print_json(
            {
                "written": list(done.written),
                "files": done.files,
                "fresh_until": until,
                "notes": list(done.notes),
            }
        )
        return 0
    for name in done.written:
        print(name)
    if done.fresh_until:
        print(f"fresh until {done.fresh_until:%Y-%m-%d %H:%M} UTC")
    elif done.written:
        print("counts when the online key has signed: `ssds tuf publish --renew`")
    else:
        print("nothing changed")
    for note in done.notes:
        say(f"warning: {note}")
    return 0


@command.command("refresh")
@click.argument("place")
@click.option("--to", "folder", required=True, metavar="DIR", help="Where the state is kept.")
@click.option("--root", type=_public, help="The root to trust, at the first time: 1.root.json.")
@click.option("--site", default="", help="Of the sites' files only this one's.")
@_json
def refresh(place: str, folder: str, root: str, site: str, as_json: bool) -> int:
    """Bring DIR/current to the newest state that PLACE (address or folder) has, or say why not.

    What is older than what was seen, is not renewed in time, is signed by other keys or has other
    bytes is refused: the exit code is 1, and DIR/current stays. DIR/current is a workspace.
    """
    from ssds.host.fetch import Fetcher
    from ssds.trust.files import read_limited
    from ssds.tuf.client import refresh as bring
    from ssds.tuf.repository import METADATA_LIMIT_BYTES

    trusted = read_limited(root, METADATA_LIMIT_BYTES) if root else None
    if "://" not in place:
        place = os.path.abspath(place)
    mirrors = personal_mirrors()
    with Fetcher(
        ca_bundle=mirrors.ca_bundle, proxy=mirrors.proxy, timeout_s=20.0, deadline_s=600.0
    ) as fetcher:
        done = bring(place, os.path.abspath(folder), fetcher, root=trusted, site=site)
    until = done.fresh_until
    if as_json:
        print_json(
            {
                "version": done.version,
                "files": done.files,
                "changed": list(done.changed),
                "fresh_until": f"{until:%Y-%m-%dT%H:%M:%SZ}",
                "unpublished_sites": list(done.unpublished),
                "left_out_sites": list(done.left_out),
            }
        )
        return 0
    show("\n".join(f"  {path}" for path in done.changed[:20]) if done.changed else "nothing new")
    if len(done.changed) > 20:
        print(f"  … and {len(done.changed) - 20} more")
    print(f"state {done.version}: {done.files} files, fresh until {until:%Y-%m-%d %H:%M} UTC")
    for name in done.unpublished:
        say(f"the site {name} has not published its file yet")
    for name in done.left_out:
        say(
            f"warning: the site {name}'s file is left out: it ended, or the site's key was changed "
            "and it has not published since"
        )
    return 0


def _names(workspace: Workspace) -> list[str]:
    """Returns the paths that make the workspace: what its settings and its catalog name."""
    from ssds.core.diagnostics import Collector
    from ssds.recipe.shared import read_shared
    from ssds.recipe.yamlmarks import Spans
    from ssds.trust.bundle import SUFFIX
    from ssds.workspace import LOCK_FOLDER

    catalog = workspace.settings.catalog
    names = ["ssds.yaml", catalog, LOCK_FOLDER]
    for home in workspace.homes[1:]:  # recipes of other formats
        names += [home.folder, *home.shared()]
    shared = read_shared(workspace.root, catalog, Spans(workspace.root), Collector())
    for path in shared.advisories.values() if shared.advisories else ():
        names += [path, f"{path}{SUFFIX}"]
    return names


def _site_file(workspace: Workspace, site: str) -> str:
    return f"{workspace.settings.catalog}/sites/{site}.yaml"


def _read(paths: tuple[str, ...]) -> tuple[PublicKey, ...]:
    from ssds.trust.open import read_public_file

    return tuple(read_public_file(path) for path in paths)


def _signers(context: Context, addresses: tuple[str, ...]) -> list[Signer]:
    return [signing.signer(context, address) for address in addresses or ("",)]


def _tell(staged: Staged, as_json: bool) -> int:
    if as_json:
        print_json(
            {
                "version": staged.version,
                "sha256": staged.digest,
                "keys": {name: list(ids) for name, ids in staged.keys.items()},
                "missing_signatures": staged.missing,
            }
        )
        return 0
    show("\n".join(staged.lines))
    if staged.missing:
        print(f"{staged.missing} more signatures are needed: `ssds tuf sign`")
    else:
        print(f"{staged.version}.root.json is signed and published")
    return 0
