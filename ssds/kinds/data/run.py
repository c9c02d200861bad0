"""Runs a data node: its layer holds files of a data set below ``data/``.

The layer is made as that of a build step is, so the same files give the same bytes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Any, cast

from ssds.builders.plug import Layer, Work
from ssds.core.errors import StepFailed
from ssds.core.platform import Platform
from ssds.host import local
from ssds.host.files import explained
from ssds.host.machine import can_run
from ssds.host.sandbox import Job
from ssds.kinds.api import (
    Bench,
    Outcome,
    bind_sources,
    check_end,
    check_limits,
    limits,
    require_builder,
    require_sandbox,
)
from ssds.oci.layers import ExportedLayer
from ssds.oci.types import parse_config
from ssds.recipe.data_model import HOME
from ssds.store.trees import Trees


def run(bench: Bench) -> Outcome:
    """Outputs ``layer``, the sha256 of the tar.

    Raises:
        StepFailed: a source has no such path, two have one name, or the index step failed.
    """
    sandbox = require_sandbox(bench)
    trees = Trees(bench.store.trees_folder, sandbox)
    upper = trees.new_upper()
    try:
        if bench.action.node.id.platform:
            return _index(bench, trees, upper)
        _lay_out(bench, os.path.join(upper, HOME))
        out = os.path.join(bench.folder, "layer.tar")
        exported = trees.export_tree(upper, bench.action.node.epoch or 0, out)
        return _outcome(bench, exported, out, mode=sandbox.mode)
    finally:
        trees.discard(upper)


def _outcome(bench: Bench, exported: ExportedLayer, out: str, **more: Any) -> Outcome:
    if exported.skipped:
        names = ", ".join(exported.skipped[:5])
        raise StepFailed(f"a data set cannot hold devices or sockets: {names}")
    bench.store.blobs.adopt(out, exported.diff_id)
    return Outcome(outputs={"layer": exported.diff_id}, **more)


# --- the files of the sources --------------------------------------------------------------------


def _lay_out(bench: Bench, home: str) -> None:
    slice_ = cast(Mapping[str, Any], bench.action.node.slice)
    sources = os.path.join(bench.folder, "sources")
    bind_sources(bench, slice_["sources"], sources)
    local.make_folder(home)
    for item in slice_["unpack"]:
        name, path = item["source"], item["path"]
        folder = os.path.join(sources, name)
        seen = slice_["sources"][name]
        wanted = path or ("" if seen is True else str(seen))
        found = local.settled(folder, wanted, "/nowhere")  # no link leaves the source
        if found is None:
            raise StepFailed(
                f"the source {name} has no {wanted!r}",
                hint="Paths begin below the top of the archive; list it with tar -tf.",
                code="E240",
            )
        to = item["to"] or ("" if os.path.isdir(found) else os.path.basename(wanted))
        bench.say(f"{name}: {wanted or 'everything'}")
        parts = to.split("/")
        above = (os.path.join(home, *parts[:depth]) for depth in range(1, len(parts)))
        if any(os.path.islink(folder) for folder in above):
            raise _twice(to)
        with explained(home):
            _place(found, os.path.join(home, to), to)


def _place(source: str, target: str, shown: str) -> None:
    """Copies a file or a folder to where nothing is yet; folders merge."""
    if os.path.isdir(source) and not os.path.islink(source):
        if os.path.lexists(target) and (os.path.islink(target) or not os.path.isdir(target)):
            raise _twice(shown)
        os.makedirs(target, exist_ok=True)
        os.chmod(target, 0o755)
        for name in sorted(os.listdir(source)):
            inner = f"{shown}/{name}" if shown else name
            _place(os.path.join(source, name), os.path.join(target, name), inner)
        return
    if os.path.lexists(target):
        raise _twice(shown)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copy2(source, target, follow_symlinks=False)
    if not os.path.islink(target):
        os.chmod(target, 0o755 if os.stat(target).st_mode & 0o100 else 0o644)


def _twice(path: str) -> StepFailed:
    return StepFailed(
        f"two sources of the data set have the path {path!r}",
        hint="Give one of them another place with 'to'.",
        code="E241",
    )


# --- index steps ---------------------------------------------------------------------------------


def _index(bench: Bench, trees: Trees, upper: str) -> Outcome:
    node, blobs = bench.action.node, bench.store.blobs
    platform = Platform(node.id.platform)
    config = parse_config(blobs.read(bench.action.inputs["config"]))
    digests = (*config.diff_ids, bench.action.inputs["files"])
    lowers = tuple(trees.layer(digest, blobs.path(digest)) for digest in digests)
    seconds = cast(int, node.hints["time_limit_s"])
    folder = os.path.join(bench.folder, "builder")
    local.make_folder(folder)
    job = Job(
        lowers=lowers,
        argv=("/bin/sh", "-eu", "-c", str(node.slice["script"])),
        environment={
            "HOME": "/root",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC0",
            **dict(config.environment),
            "SOURCE_DATE_EPOCH": str(node.epoch or 0),
        },
        working_folder=f"/{HOME}",
        time_limit_s=seconds,
        upper=upper,
        log=bench.log,
        stop=bench.stopping,
        **limits(bench),
    )
    layers = tuple(Layer(digest=digest, tar=blobs.path(digest)) for digest in digests)
    builder = require_builder(bench)
    result = builder.run(Work(job=job, layers=layers, platform=platform, folder=folder))
    check_limits(bench, result, "the index step")
    check_end(result, "the index step", seconds)
    for name in os.listdir(upper):  # what it wrote elsewhere is of no use to the data
        if name != HOME:
            trees.discard(os.path.join(upper, name))
    out = os.path.join(bench.folder, "layer.tar")
    exported = trees.export(upper, lowers[-1:], node.epoch or 0, out)
    if not exported.entries:
        raise StepFailed(
            "the index step left no file in the folder of the data",
            hint=f"It starts in /{HOME}: write there.",
            code="E242",
        )
    emulated = can_run(platform.baseline).kind == "emulated"
    return _outcome(
        bench, exported, out, builder=builder.name, mode=builder.mode, emulated=emulated
    )
