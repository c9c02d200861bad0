"""``ssds verify``: what signatures prove, said in words, offline."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from ssds.cli import signing
from ssds.cli.app import Context
from ssds.cli.output import print_json, say, show
from ssds.cli.personal import personal_mirrors
from ssds.core.errors import UsageError
from ssds.core.records import replace

if TYPE_CHECKING:
    from ssds.core.digest import Digest
    from ssds.trust.keys import PublicKey
    from ssds.trust.report import Report
    from ssds.verify.memory import Memory, Seen

EXIT_UNVERIFIED = 4


@click.command("verify")
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@click.option("--key", "files", multiple=True, metavar="FILE", help="A public key to trust.")
@click.option("--bundle", default="", metavar="FILE", help="The signature, if not beside TARGET.")
@click.option("--allow-older", is_flag=True, help="Accept an older revision than seen before.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    context: Context,
    /,
    targets: tuple[str, ...],
    files: tuple[str, ...],
    bundle: str,
    allow_older: bool,
    as_json: bool,
) -> int:
    """Say what the signatures of a TARGET prove, and what nobody proves.

    TARGET is a lock or any other file with FILE.sigstore.json beside it, a deployed site
    (TREE/sites/NAME), an image of a registry
    (HOST/REPOSITORY[:TAG][@DIGEST]; http://… for one on this machine), or an image of a layout
    (oci:FOLDER:NAME:TAG).

    Without --key the keys that the settings name (`trust.keys`) count. Exit code 4 where a target
    is not signed by one of them, or not what was signed.

    The newest revisions that were verified are remembered (~/.local/state/ssds/verified.json):
    an older lock, signed as it is, is refused later.
    """
    from ssds.lock.read import CATALOG_LOCK
    from ssds.verify.memory import default_path, pin_slot, read_memory, remember

    keys = signing.trusted_keys(context, files)
    place = default_path(os.environ)
    foreign = signing.workspace_names_keys(context, files)
    reports = []
    for target in targets:
        memory = None if allow_older else read_memory(place)
        report, seen = _verify(context, target, keys, bundle, memory)
        try:
            anew = ""
            if allow_older and report.good and os.path.basename(target) == CATALOG_LOCK:
                anew = pin_slot(report.signers[0], "")  # pins that it lacks were taken back
            remember(place, seen, older=allow_older, anew=anew)
        except OSError as error:
            say(f"warning: what was verified is not remembered: {place}: {error.strerror}")
        reports.append(_with_doubt(report) if foreign else report)
    if as_json:
        print_json({"targets": [report.to_dict() for report in reports]})
    else:
        for report in reports:
            show("\n".join(report.lines()))
    return 0 if all(report.good for report in reports) else EXIT_UNVERIFIED


def _with_doubt(report: Report) -> Report:
    """Returns the report, and whose word it is that these keys are somebody's."""
    doubts = [
        f"that {key.label} ({key.id}) is who it says: the key comes from this workspace's ssds.yaml"
        for key in report.signers
    ]
    return replace(report, unproven=(*report.unproven, *doubts))


def _here(context: Context) -> Callable[[Digest], bytes | None]:
    """Returns the reader of the store around here; without a workspace it has nothing."""
    from ssds.core.errors import SsdsError
    from ssds.workspace import Workspace

    @functools.cache
    def around() -> Workspace:
        return Workspace.open(context.folder)

    def read(digest: Digest) -> bytes | None:
        try:
            store = around().store_if_there
            return store.blobs.read(digest) if store and store.blobs.has(digest) else None
        except SsdsError:
            return None

    return read


def _verify(
    context: Context,
    target: str,
    keys: tuple[PublicKey, ...],
    bundle: str,
    memory: Memory | None,
) -> tuple[Report, dict[str, Seen]]:
    from ssds.lock.read import SUFFIX
    from ssds.trust.files import verify_file

    if target.endswith(SUFFIX):
        from ssds.verify.locks import verify_lock

        return verify_lock(target, keys, bundle, memory, _here(context))
    if bundle and not os.path.isfile(target):
        raise UsageError(
            f"{target} is no file, and --bundle is for files",
            hint="The signatures of images and sites stand beside them.",
            code="E247",
        )
    if not target.startswith("oci:") and os.path.isdir(target):
        from ssds.verify.sites import verify_site

        return verify_site(target, keys), {}
    if not target.startswith("oci:") and os.path.lexists(target):
        return verify_file(target, keys, bundle)[0], {}
    from ssds.verify.images import verify_image
    from ssds.verify.places import target_of

    mirrors = personal_mirrors()
    image = target_of(target, ca_bundle=mirrors.ca_bundle, proxy=mirrors.proxy)
    return verify_image(image, keys, memory)
