"""Runs a build node: one layer per step that changes files, one claim per step prefix (C5).

The key of a step is the tree before it, the config state that the step sees, its slice and its
inputs; so editing the last step reuses all layers before it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from ssds.builders.plug import Builder, Layer
from ssds.core.canonical import Json, action_key, canonical_bytes
from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError, StepFailed
from ssds.core.model import Claim
from ssds.core.platform import Platform
from ssds.host.machine import can_run
from ssds.host.sandbox import Sandbox
from ssds.kinds.api import Bench, Outcome, require_builder, require_sandbox
from ssds.kinds.build.state import TITLE, VERSION, ConfigState, step_environment
from ssds.kinds.build.steps import StepBench, perform
from ssds.oci.layers import ExportedLayer
from ssds.oci.types import config_bytes, parse_config
from ssds.store.trees import Trees

STEP_VERSION = 1
FILE_STEPS = frozenset({"run", "apt", "pip", "conda", "copy", "file", "workdir"})
"""The types of steps that change files."""


@dataclass(slots=True, kw_only=True)
class _Build:
    """The state of one build while it runs."""

    bench: Bench
    sandbox: Sandbox
    builder: Builder
    trees: Trees
    platform: Platform
    epoch: int
    chain: list[Digest]
    state: ConfigState
    emulated: bool
    history: list[str] = field(default_factory=list)


def run(bench: Bench) -> Outcome:
    """Builds; outputs ``config`` and ``layer/<n>`` for every layer, those of the base too.

    Raises:
        StepFailed: a step ended badly; the log tells the rest.
    """
    sandbox = require_sandbox(bench)
    node = bench.action.node
    platform = Platform(node.id.platform)
    build = _Build(
        bench=bench,
        sandbox=sandbox,
        builder=require_builder(bench),
        trees=Trees(bench.store.trees_folder, sandbox),
        platform=platform,
        epoch=node.epoch or 0,
        chain=[],
        state=ConfigState(),
        emulated=can_run(platform.baseline).kind == "emulated",
    )
    _start(build)
    steps = cast(list[dict[str, Any]], node.slice["steps"])
    for number, step in enumerate(steps):
        if bench.stopping():
            raise StepFailed("stopped by the user")
        if step["type"] in FILE_STEPS:
            _file_step(build, number, step, len(steps))
        build.state = build.state.after(step)
    config = _config(build)
    outputs = {"config": bench.store.blobs.put(config)}
    outputs.update({f"layer/{i}": digest for i, digest in enumerate(build.chain)})
    return Outcome(
        outputs=outputs,
        builder=build.builder.name,
        mode=build.builder.mode,
        emulated=build.emulated,
        impure="impure" in node.marks,
    )


def _start(build: _Build) -> None:
    bench = build.bench
    base = bench.action.inputs["base"]
    origin = next(i for i in bench.action.node.inputs if i.role == "base")
    if origin.output == "layer":
        build.chain = [base]
        return
    config = parse_config(bench.store.blobs.read(base))
    if config.platform not in build.platform.fallbacks:
        raise IntegrityError(f"the image below is for {config.platform}, not {build.platform}")
    build.chain = list(config.diff_ids)
    build.state = ConfigState.below(config)


def _file_step(build: _Build, number: int, step: dict[str, Any], count: int) -> None:
    bench = build.bench
    bench.say(f"step {number + 1}/{count}: {step['type']}")
    place = bench.action.node.origin.get(f"slice.steps[{number}]", f"step {number + 1}")
    bench.log(f"==> {place} ({step['type']})\n".encode())
    tools: list[Digest] = []
    if step.get("tools"):
        slice_ = {"type": "apt", "packages": step["tools"]}
        layer = _claimed(build, number, "tools", slice_, ConfigState(), [])
        if layer is not None:
            tools = [layer]
    layer = _claimed(build, number, "step", step, build.state, tools)
    if layer is not None:
        build.chain.append(layer)


def _claimed(
    build: _Build,
    number: int,
    role: str,
    step: Mapping[str, Any],
    state: ConfigState,
    tools: list[Digest],
) -> Digest | None:
    """Returns the step's layer from a claim with its bytes, or by doing it; None without one."""
    bench, store = build.bench, build.bench.store
    preimage = _preimage(build, number, step, state)
    key = action_key(preimage)
    with store.lease(key):
        for claim in () if bench.fresh else store.claims.find(key):
            if claim.emulated and bench.action.node.native:
                continue
            layer = claim.outputs.get("layer")
            if layer is None or store.blobs.has(layer):
                bench.log(f"    reused {layer or 'nothing to add'}\n".encode())
                return layer
        exported = _perform(build, number, step, state, tools)
        outputs = {"layer": exported.diff_id} if exported.entries else {}
        claim = Claim(
            key=key,
            kind="step",
            outputs=outputs,
            builder=build.builder.name,
            mode=build.builder.mode,
            emulated=build.emulated,
            impure=bool(step.get("network")),
        )
        store.claims.add(claim, canonical_bytes(preimage))
    bench.log(f"    {role} layer {outputs.get('layer', '(none)')}\n".encode())
    return outputs.get("layer")


def _preimage(
    build: _Build, number: int, step: Mapping[str, Any], state: ConfigState
) -> dict[str, Any]:
    given = (*step.get("files", {}).values(), *step.get("file", {}).values())
    sources = (name for part in (step, *given) for name in part.get("sources", {}))
    names = [f"source/{name}" for name in sources]
    if step["type"] == "copy" and "paths" in step:
        names.append(f"recipe/{number}")
    inputs = build.bench.action.inputs
    return {
        "kind": "step",
        "kind_version": STEP_VERSION,
        "salt": build.bench.action.preimage["salt"],
        "platform": str(build.platform),
        "tree": [str(d) for d in build.chain],
        "state": {
            "environment": dict(state.environment),
            "working_folder": state.working_folder,
            "user": state.user,
        }
        if step["type"] == "run" or step.get("expand")
        else {},
        "slice": dict(step),
        "inputs": {n: str(inputs[n]) for n in names if n in inputs},
        "source_date_epoch": build.epoch,
    }


def _perform(
    build: _Build, number: int, step: Mapping[str, Any], state: ConfigState, tools: list[Digest]
) -> ExportedLayer:
    bench = build.bench
    lowers = [_folder(build, digest) for digest in build.chain]
    seen = [*build.chain, *tools]
    upper = build.trees.new_upper()
    out = os.path.join(bench.folder, f"layer-{number}.tar")
    limits = cast(list[int], bench.action.node.hints["time_limits_s"])
    keep = False
    try:
        perform(
            StepBench(
                bench=bench,
                builder=build.builder,
                platform=build.platform,
                number=number,
                layers=tuple(Layer(digest=d, tar=bench.store.blobs.path(d)) for d in seen),
                lowers=tuple(_folder(build, digest) for digest in seen),
                upper=upper,
                state=state,
                epoch=build.epoch,
                time_limit_s=limits[number],
            ),
            step,
        )
        exported = build.trees.export(upper, lowers, build.epoch, out)
    except StepFailed as error:
        keep = bench.keep_failed and not bench.stopping()
        if keep:
            _keep(build, number, step, state, tools, build.trees.keep(upper))
            name = bench.action.node.id
            error.hint = f"`ssds log {name}` shows its output, `ssds shell {name}` opens its tree."
        raise
    finally:
        if not keep:
            build.trees.discard(upper)
    if exported.entries:
        bench.store.blobs.adopt(out, exported.diff_id)
    return exported


def _keep(
    build: _Build,
    number: int,
    step: Mapping[str, Any],
    state: ConfigState,
    tools: list[Digest],
    upper: str,
) -> None:
    """Remembers a failed step's tree, with all that a shell in it needs."""
    bench = build.bench
    sources: dict[str, dict[str, Json]] = {}
    for item in bench.action.node.inputs:
        name = item.role.removeprefix("source/")
        if name in step.get("sources", {}) and item.node is not None:
            digest = str(bench.action.inputs[item.role])
            seen = step["sources"][name]
            file = item.node.owner if seen is True else str(seen)
            sources[name] = {"digest": digest, "file": file, "unpack": seen is True}
    as_image = state if step["type"] == "run" else ConfigState()
    bench.keep(
        {
            "step": number,
            "mode": build.sandbox.mode,
            "upper": upper,
            "layers": [*map(str, build.chain), *map(str, tools)],
            "environment": step_environment(as_image, build.epoch),
            "working_folder": as_image.working_folder or "/",
            "user": as_image.user,
            "script": str(step.get("script", "")),
            "sources": sources,
        }
    )


def _folder(build: _Build, digest: Digest) -> str:
    return build.trees.layer(digest, build.bench.store.blobs.path(digest))


def _config(build: _Build) -> bytes:
    node = build.bench.action.node
    names = {TITLE: str(node.slice["name"]), VERSION: str(node.slice["version"])}
    return config_bytes(
        platform=build.platform,
        diff_ids=build.chain,
        environment=build.state.environment,
        working_folder=build.state.working_folder,
        user=build.state.user,
        entrypoint=build.state.entrypoint,
        command=build.state.command,
        labels={**names, **build.state.labels},
        created=build.epoch,
    )
