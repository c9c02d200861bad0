"""``ssds render``: a recipe as a Dockerfile or an Apptainer definition."""

from __future__ import annotations

import os
from collections.abc import Mapping

import click

from ssds.cli import images
from ssds.cli.app import Context
from ssds.cli.completing import complete_releases
from ssds.cli.output import say, show
from ssds.cli.selecting import platform_option
from ssds.cli.wishes import parse_date
from ssds.core.digest import Digest
from ssds.core.errors import UnavailableError, UsageError
from ssds.core.model import Node, NodeId, ReleaseName
from ssds.core.platform import Platform
from ssds.graph.compile import Graph
from ssds.graph.plan import Wishes, make_plan
from ssds.host.machine import native_platform
from ssds.kinds.api import Bench
from ssds.kinds.build.state import ConfigState
from ssds.recipe.model import Target
from ssds.render.model import BASE, Rendered
from ssds.workspace import Workspace

FORMATS = {"dockerfile": "Dockerfile", "apptainer": "apptainer.def"}
"""Format → the file's name in the folder that ``--out`` names."""


@click.command("render")
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    default="dockerfile",
    show_default=True,
    help="What to write.",
)
@platform_option
@click.option(
    "--base", default="", metavar="REF", help="Build on this image; else on the base's own layer."
)
@click.option(
    "--out", default="", metavar="DIR", help="Make this folder: the file and all that it needs."
)
@click.argument("release", shell_complete=complete_releases)
@click.pass_obj
def command(
    context: Context, /, release: str, form: str, platform: str, base: str, out: str
) -> int:
    """Write the steps of RELEASE (NAME or NAME@VERSION) as a Dockerfile or Apptainer definition.

    It goes to stdout; with `--out DIR` it stands in a new folder with the pinned packages, sources
    and files, and the base as `base.tar`, so that it builds without network.
    """
    from ssds.host.folders import scratch_folder, staged_folder

    workspace = Workspace.open(context.folder)
    name = images.one_release(workspace, release)
    graph = workspace.graph(parse_date(""))
    wanted = NodeId(str(name), "build", str(Platform(platform or native_platform())))
    plain = ""
    if form == "dockerfile" and wanted in graph.nodes:
        below = base or _image_below(workspace, graph.nodes[wanted])
        plain = _plain(workspace, name, wanted.platform, below)
    if plain and not out:
        show(plain.rstrip("\n"))
        return 0
    node = _node(graph, wanted)
    _check_base(base)
    base = base or _image_below(workspace, node)
    store = workspace.store
    with store.shared(), scratch_folder(store.scratch) as scratch:
        if not out:
            show(_text(form, _record(workspace, graph, node, scratch, scratch, base)).rstrip("\n"))
            return 0
        path = os.path.abspath(out)
        if os.path.lexists(path) or not os.path.isdir(os.path.dirname(path)):
            raise UsageError(
                f"{path} is there already, or the folder around it is not",
                hint="--out names a new folder.",
                code="E170",
            )
        layer = "" if base else _base_layer(workspace, graph, node)
        with staged_folder(path, point="render.folder") as folder:
            rendered = _record(workspace, graph, node, folder, scratch, base)
            if plain:
                _name_folders(
                    workspace.catalog.releases[name].targets[Platform(node.id.platform)], folder
                )
            with open(os.path.join(folder, FORMATS[form]), "w", encoding="utf-8") as file:
                file.write(plain or _text(form, rendered))
            if layer:
                from ssds.host import local

                local.link_or_copy(layer, os.path.join(folder, BASE))
    say(f"Written: {os.path.join(out, FORMATS[form])}")
    return 0


def _plain(workspace: Workspace, name: ReleaseName, platform: str, base: str) -> str:
    """Returns a Dockerfile of a recipe that is made of one's instructions, else nothing."""
    from ssds.render.plain import is_plain, plain_dockerfile

    _check_base(base)
    targets = workspace.catalog.releases[name].targets
    target = targets.get(Platform(platform))
    if target is None or not is_plain(target):
        return ""
    below = workspace.catalog.bases.get(target.base)
    image = base or (below.image if below is not None else "")
    return plain_dockerfile(target, image) if image else ""


def _name_folders(target: Target, folder: str) -> None:
    """Moves the content of each copied folder into a folder of its name."""
    from ssds.host import local
    from ssds.render.plain import copied_folders

    for place, name in copied_folders(target):
        path = os.path.join(folder, place)
        os.rename(path, f"{path}.content")
        local.make_folder(path)
        os.rename(f"{path}.content", os.path.join(path, name))


def _text(form: str, rendered: Rendered) -> str:
    if form == "apptainer":
        from ssds.render.apptainer import apptainer

        return apptainer(rendered)
    from ssds.render.dockerfile import dockerfile

    return dockerfile(rendered)


def _node(graph: Graph, wanted: NodeId) -> Node:
    node = graph.nodes.get(wanted)
    if node is None:
        known = sorted(n.platform for n in graph.nodes if (n.owner, n.kind) == wanted[:2])
        raise UsageError(
            f"{wanted.owner} is not for {wanted.platform}",
            hint=f"It is for {', '.join(known)}: name one with --platform.",
            code="E180",
        )
    if node.unpinned:
        raise UsageError(
            f"{wanted.owner} is not locked: {', '.join(node.unpinned[:3])}",
            hint=f"`ssds lock {wanted.owner.partition('@')[0]}` pins it.",
            code="E171",
        )
    return node


def _image_below(workspace: Workspace, node: Node) -> str:
    """Returns the reference by digest of a base that is an image of a registry, or nothing."""
    origin = next((i.node for i in node.inputs if i.role == "base" and i.node), None)
    if origin is None or origin.kind != "base":
        return ""
    shared = workspace.locks.catalog.pins.bases
    pin = shared.get((f"{origin.owner}@{origin.part}", origin.platform))
    if pin is None or pin.image is None:
        return ""
    return f"{pin.image.reference.partition('@')[0]}@{pin.image.manifest}"


def _check_base(base: str) -> None:
    if base and (base.split() != [base] or not base.isprintable() or base.startswith("-")):
        raise UsageError(f"{base!r} is no image", hint="--base takes a reference.", code="E173")


def _record(
    workspace: Workspace, graph: Graph, node: Node, folder: str, scratch: str, base: str
) -> Rendered:
    from ssds.engine.supply import bring_all
    from ssds.packages.wire import files_of
    from ssds.render.record import record
    from ssds.store.fetch import fetch_files

    closure = graph.closure({node.id})
    own = [graph.nodes[name] for name in closure if name == node.id or name.kind == "source"]
    bring_all(own, workspace.store, workspace.mirrors, say)
    for below in (graph.nodes[name] for name in closure if name.kind == "base"):
        if "config" in below.fixed:
            fetch_files(workspace.store, files_of(below)[:1], workspace.mirrors, say)
    inputs = _inputs(workspace, graph, node)
    bench = Bench(
        action=node.resolve(inputs, graph.salt),
        store=workspace.store,
        sandbox=None,
        mirrors=workspace.mirrors,
        folder=scratch,
        workspace=workspace.root,
        say=say,
        log=lambda _: None,
    )
    start, name = _start(workspace, node, inputs, base)
    return record(bench, start, folder, base, name)


def _inputs(workspace: Workspace, graph: Graph, node: Node) -> Mapping[str, Digest]:
    plan = make_plan(graph, workspace.facts(), Wishes(nodes=frozenset({node.id})))
    found = {}
    for item in node.inputs:
        digest = item.digest
        if item.node is not None:
            producer = graph.nodes[item.node]
            step = plan.steps.get(item.node)
            outputs = {**producer.fixed, **(step.outputs if step else {})}
            digest = outputs.get(item.output)
        if digest is None:
            raise UnavailableError(
                f"{item.node.label if item.node else item.role} was not built yet",
                hint=f"`ssds apply {node.id.owner.partition('@')[0]}` builds it.",
                code="E174",
            )
        found[item.role] = digest
    return found


def _start(
    workspace: Workspace, node: Node, inputs: Mapping[str, Digest], base: str
) -> tuple[ConfigState, str]:
    """Returns what the image below says, and its name."""
    from ssds.oci.types import parse_config

    origin = next(item for item in node.inputs if item.role == "base")
    assert origin.node is not None
    if origin.output == "layer":
        return ConfigState(), f"{origin.node.owner}@{origin.node.part}"
    if not base:
        raise UsageError(
            f"{node.id.owner} is built on {origin.node.owner}",
            hint="Name that image with --base, for instance as a channel has it.",
            code="E175",
        )
    data = workspace.read_blob(inputs["base"])
    if data is None:
        raise UnavailableError(
            f"the image of {origin.node.owner} is not in the store",
            hint=f"`ssds apply --fetch {origin.node.owner}` brings it.",
            code="E174",
        )
    return ConfigState.below(parse_config(data)), origin.node.owner


def _base_layer(workspace: Workspace, graph: Graph, node: Node) -> str:
    """Returns the path of the base's layer."""
    inputs = _inputs(workspace, graph, node)
    store = workspace.store
    if not store.blobs.has(inputs["base"]):
        name = node.id.owner
        raise UnavailableError(
            f"the layer of the base of {name} is not in the store",
            hint=f"`ssds apply --rerun {name}:build {name}` makes it; or name an image by --base.",
            code="E174",
        )
    return str(store.blobs.path(inputs["base"]))
