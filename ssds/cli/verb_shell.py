"""``ssds shell``: a shell in a built image, or in the tree of a failed step."""

from __future__ import annotations

import os

import click

from ssds.cli import images
from ssds.cli.app import Context
from ssds.cli.completing import complete_nodes
from ssds.cli.output import print_json, say, table
from ssds.cli.selecting import platform_option
from ssds.cli.wishes import parse_date, select_nodes
from ssds.core.errors import UnavailableError, UsageError
from ssds.core.model import NodeId, ReleaseName
from ssds.core.platform import Platform
from ssds.engine.kept import KeptTree, find, kept_trees
from ssds.host import local
from ssds.host.archives import unpack_archive
from ssds.host.sandbox import Bind, Job, Sandbox
from ssds.kinds.api import SOURCES
from ssds.store.trees import Trees
from ssds.workspace import Workspace

_STEP = "/run/ssds/step.sh"
_OWN_KINDS = ("build", "test", "sbom", "publish")


@click.command("shell")
@platform_option
@click.option("--image", is_flag=True, help="The built image, though a failed step was kept.")
@click.option("--list", "list_kept", is_flag=True, help="List the kept trees of failed steps.")
@click.option("--json", "as_json", is_flag=True, help="With --list: print JSON.")
@click.argument("node", required=False, shell_complete=complete_nodes)
@click.pass_obj
def command(
    context: Context,
    /,
    node: str | None,
    platform: str,
    image: bool,
    list_kept: bool,
    as_json: bool,
) -> int:
    """Open a shell in NODE (``samtools:build``): its failed step, or else its built image.

    After `ssds apply --keep-failed` it is the tree of the failed step, as it stood: with its
    environment, its sources and the script in /run/ssds/step.sh. What you change in the tree is
    thrown away. Kept trees go when the node runs again, and with `ssds gc`.
    """
    workspace = Workspace.open(context.folder)
    if list_kept:
        return _list(workspace, as_json=as_json)
    if node is None:
        raise UsageError("which node?", hint="`ssds shell samtools:build`, or `ssds shell --list`.")
    release, kind, found = _target(workspace, node, platform)
    sandbox = images.require_sandbox(workspace)
    tree = None if image or kind != "build" else find(workspace.state_folder, found)
    with workspace.store.shared():
        if tree is not None:
            return _in_failed_step(workspace, sandbox, tree)
        return _in_image(workspace, sandbox, release, Platform(found.platform))


def _list(workspace: Workspace, *, as_json: bool) -> int:
    trees = kept_trees(workspace.state_folder)
    if as_json:
        print_json(
            [
                {"node": t.node, "platform": t.platform, "step": t.step, "folder": t.upper}
                for t in trees
            ]
        )
    elif trees:
        print(table([[t.node, t.platform, f"step {t.step}", t.upper] for t in trees]))
    else:
        print("No tree of a failed step is kept; `ssds apply --keep-failed` keeps them.")
    return 0


def _target(workspace: Workspace, text: str, platform: str) -> tuple[ReleaseName, str, NodeId]:
    """Returns the release, the kind and the build node that ``text`` and the platform name."""
    owner, _, kind = text.partition(":")
    kind = kind.partition("/")[0] or "build"
    graph = workspace.graph(parse_date(""))
    select_nodes(graph, (text,))
    if kind not in _OWN_KINDS:
        raise UsageError(
            f"nodes of kind {kind} have no image",
            hint=f"Name one of the kinds {', '.join(_OWN_KINDS)}.",
            code="E039",
        )
    release = images.one_release(workspace, owner)
    chosen = images.choose_platform(workspace, release, platform)
    return release, kind, NodeId(str(release), "build", str(chosen))


def _in_image(
    workspace: Workspace, sandbox: Sandbox, release: ReleaseName, platform: Platform
) -> int:
    image = images.open_image(workspace, sandbox, release, platform)
    here = images.folder_bind(image.lowers)
    _greet(f"{release} [{platform}]; the current folder is bound, the image is thrown away")
    job = Job(
        lowers=image.lowers,
        argv=_shell(image.lowers),
        environment={**images.environment(image.config), "PS1": _prompt(release.name)},
        working_folder=here.target,
        binds=(here,),
        time_limit_s=float("inf"),
        stdio=images.stdio(),
    )
    return sandbox.run(job).exit_code


def _in_failed_step(workspace: Workspace, sandbox: Sandbox, tree: KeptTree) -> int:
    if tree.mode != sandbox.mode:
        raise UnavailableError(
            f"the tree was made in sandbox mode {tree.mode}, and this is {sandbox.mode}",
            hint="Use the same user and settings as `ssds apply` did.",
            code="E058",
        )
    store = workspace.store
    missing = [d for d in tree.layers if not store.blobs.has(d)]
    if missing:
        raise UnavailableError(
            f"layer {missing[0]} below the failed step is not here any more",
            hint="`ssds apply --keep-failed` makes it again.",
            code="E059",
        )
    trees = Trees(store.trees_folder, sandbox)
    lowers = tuple(trees.layer(d, store.blobs.path(d)) for d in tree.layers)
    folder = store.new_folder()
    try:
        binds = _step_binds(workspace, tree, folder)
        more = f"; its script is {_STEP}" if tree.script else ""
        _greet(f"{tree.node} [{tree.platform}], step {tree.step} as it failed{more}")
        job = Job(
            lowers=(*lowers, tree.upper),
            argv=_shell((*lowers, tree.upper)),
            environment={
                **{k: v for k, v in os.environ.items() if k in ("TERM", "COLORTERM")},
                **tree.environment,
                "PS1": _prompt(f"{tree.node} step {tree.step}"),
            },
            working_folder=tree.working_folder,
            user=tree.user,
            binds=tuple(binds),
            time_limit_s=float("inf"),
            stdio=images.stdio(),
        )
        return sandbox.run(job).exit_code
    finally:
        local.remove_folder(folder)


def _step_binds(workspace: Workspace, tree: KeptTree, folder: str) -> list[Bind]:
    """Lays out what the step saw below /run/ssds: its script and its sources."""
    store, binds = workspace.store, []
    if tree.script:
        path = os.path.join(folder, "step.sh")
        local.write(path, f"#!/bin/sh -eu\n{tree.script}".encode(), mode=0o755)
        binds.append(Bind(source=path, target=_STEP))
    for name, source in tree.sources.items():
        if not store.blobs.has(source.digest):
            say(f"note: the source {name} is not here any more")
            continue
        place = os.path.join(folder, "sources", os.path.basename(name))
        path = store.blobs.path(source.digest)
        if source.unpack:
            unpack_archive(path, place, name=source.file)
        else:
            os.makedirs(place, exist_ok=True)
            local.link_or_copy(path, os.path.join(place, os.path.basename(source.file)))
        binds.append(Bind(source=place, target=f"{SOURCES}/{name}"))
    return binds


def _shell(lowers: tuple[str, ...]) -> tuple[str, ...]:
    """Returns bash without start files where the image has it, else its /bin/sh."""
    has_bash = any(os.path.lexists(os.path.join(lower, "usr/bin/bash")) for lower in lowers)
    return ("/usr/bin/bash", "--norc", "--noprofile") if has_bash else ("/bin/sh",)


def _prompt(text: str) -> str:
    return f"[{text}] $ "


def _greet(text: str) -> None:
    say(f"shell in {text}. `exit` leaves it.")
