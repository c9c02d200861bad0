"""``ssds gc``: remove blobs that nothing refers to, or say why one is kept."""

from __future__ import annotations

import os

import click

from ssds.builders import NAMES
from ssds.builders.table import find, obstacle
from ssds.cli.app import Context
from ssds.cli.output import counted, print_json, size_text
from ssds.cli.roots import all_workspace_roots, register_roots
from ssds.core.digest import Digest
from ssds.engine.kept import drop, kept_trees
from ssds.host.sandbox import Sandbox
from ssds.store.gc import GRACE_S, collect, why
from ssds.store.trees import Trees
from ssds.workspace import STATE_FOLDER, Workspace


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Say what would go; remove nothing.")
@click.option(
    "--keep-days", type=click.FloatRange(0), default=GRACE_S / 86400, help="The grace period."
)
@click.option("--why", "asked", metavar="DIGEST", help="Say why a blob is kept.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    context: Context, /, dry_run: bool, keep_days: float, asked: str | None, as_json: bool
) -> int:
    """Remove blobs that no lock refers to and that are older than the grace period.

    The trees of failed steps that this workspace kept (`apply --keep-failed`) go too, and the
    images that builders (buildah, a Docker Engine) keep to be quicker next time.
    """
    workspace = Workspace.open(context.folder)
    store = workspace.store
    roots = all_workspace_roots(workspace)
    if asked is not None:
        chain = why(store, roots, Digest(asked))
        if as_json:
            print_json({"digest": asked, "kept_by": list(chain)})
        else:
            print("\n".join(chain) if chain else "Nothing keeps it.")
        return 0
    register_roots(workspace)
    if not dry_run:
        workspace.tidy()
    report = collect(store, roots, keep_seconds=keep_days * 86400, dry_run=dry_run)
    images = 0 if dry_run else _drop_trees(workspace)
    if as_json:
        print_json(
            {
                "dry_run": dry_run,
                "removed": {str(d): size for d, size in report.removed.items()},
                "size_bytes": report.size_bytes,
                "kept": len(report.kept),
                "builder_images": images,
            }
        )
    else:
        word = "Would remove" if dry_run else "Removed"
        print(
            f"{word} {len(report.removed)} blobs, {size_text(report.size_bytes)}; "
            f"kept {len(report.kept)}."
        )
        if images:
            print(f"Removed {counted(images, 'image')} that builders kept.")
    return 0


def _drop_trees(workspace: Workspace) -> int:
    """Removes the unpacked trees of layers that are gone, and what killed runs left.

    Returns:
        How many images builders had kept.
    """
    store = workspace.store
    with store.exclusive(wait=False) as alone:
        if not alone or workspace.sandbox is None:
            return 0
        trees = Trees(store.trees_folder, workspace.sandbox)
        trees.sweep()
        trees.forget(set(store.blobs.all()))
        _drop_kept(workspace, trees)
        store.sweep()
        return _drop_images(workspace, workspace.sandbox)


def _drop_images(workspace: Workspace, sandbox: Sandbox) -> int:
    """Removes what builders keep to be quicker next time, and what killed runs left with them."""
    count = 0
    for name in NAMES:
        if obstacle(name) is not None:
            continue
        builder = find(name, sandbox, workspace.builder_folder)
        count += builder.sweep() + builder.forget()
    return count


def _drop_kept(workspace: Workspace, trees: Trees) -> None:
    """Removes this workspace's kept trees of failed steps, and those that no workspace names."""
    for tree in kept_trees(workspace.state_folder):
        drop(tree, trees.sandbox)
    named = {
        tree.upper
        for root in workspace.store.workspaces()
        for tree in kept_trees(os.path.join(root, STATE_FOLDER))
    }
    for folder in trees.kept():
        if folder not in named:
            trees.discard(folder)
