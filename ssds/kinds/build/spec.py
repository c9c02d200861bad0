"""Compiles a target and its pins to a build node. Pure.

The slice holds the steps that reach the image and nothing else: no address, no time limit, no
location. Package sets enter with their exact content, local files with their digests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from ssds.core.canonical import Json
from ssds.core.model import Input, Later, Node, NodeId
from ssds.core.pins import PackageSet, PlatformPins
from ssds.packages.wire import identities, package_to_json
from ssds.recipe.model import Base, Target
from ssds.recipe.steps import (
    AptStep,
    CondaStep,
    CopyStep,
    EntrypointStep,
    EnvStep,
    FileStep,
    GivenFile,
    LabelsStep,
    PipStep,
    RecipeRef,
    RunStep,
    Step,
    UserStep,
    WorkdirStep,
)
from ssds.recipe.uses import given_files, seen_as, sources_of

KIND_VERSION = 1
ON_RECIPE_VERSION = 2
"""The version of a build that starts from another recipe's image (2: with its own name)."""

Listed = Callable[[PackageSet], Json]
RefInput = Callable[[RecipeRef, str], Input]


def node(
    target: Target,
    pins: PlatformPins,
    *,
    base: Input,
    sources: Mapping[str, Input],
    recipe: RefInput,
    unpinned: tuple[str, ...],
    recipe_path: str,
    resources: Mapping[str, int] = MappingProxyType({}),
    below: Base | None = None,
    listed: Listed | None = None,
) -> Node:
    """Returns the build node.

    Args:
        base: the input of role ``base`` (a base's ``layer``, or an image's ``config``).
        sources: by source name, the inputs of role ``source/<name>``.
        recipe: gives the input of a role for another recipe's build.
        unpinned: what has no valid pin; the node is then "not locked" (C10).
        resources: what a step may use.
        below: the bootstrapped base; steps with network see its archive.
        listed: gives what a slice holds of a package set, where many builds share it.
    """
    inputs: dict[str, Input] = {base.role: base}
    steps: list[Json] = []
    for number, step in enumerate(target.steps):
        packages = pins.packages.get(f"build/{number}")
        steps.append(_step_slice(step, packages, target, sources, listed or _packages_json))
        for name in sources_of(step):
            inputs[f"source/{name}"] = sources[name]
        if isinstance(step, CopyStep) and step.recipe is not None:
            role = f"recipe/{number}"
            inputs[role] = recipe(step.recipe, role)
    impure = any(isinstance(s, RunStep) and s.network for s in target.steps)
    archive = below if impure and below is not None and below.suite else None
    return Node(
        id=NodeId(str(target.release), "build", str(target.platform)),
        kind_version=KIND_VERSION if base.output == "layer" else ON_RECIPE_VERSION,
        slice={"name": target.release.name, "version": target.release.version, "steps": steps},
        inputs=tuple(inputs.values()),
        epoch=pins.epoch,
        hints=Later(lambda: _hints(target, pins, resources, archive)),
        marks=frozenset({"impure"} if impure else ()),
        unpinned=unpinned,
        origin=Later(lambda: _origin(target)),
        recipe_path=recipe_path,
        required=target.required,
    )


def _hints(
    target: Target, pins: PlatformPins, resources: Mapping[str, int], archive: Base | None
) -> dict[str, Json]:
    sets = (pins.packages.get(f"build/{number}") for number in range(len(target.steps)))
    packages = (package for held in sets if held for package in held.packages)
    hints: dict[str, Json] = {
        "packages": {str(package.file.digest): package_to_json(package) for package in packages},
        "time_limits_s": [step.time_limit_s for step in target.steps],
        "local": _local_paths(target),
    }
    if resources:
        hints["resources"] = dict(resources)
    if archive is not None:
        hints["archive"] = {"suite": archive.suite, "components": list(archive.components)}
    return hints


def _origin(target: Target) -> dict[str, str]:
    return {f"slice.steps[{number}]": step.address for number, step in enumerate(target.steps)}


def _local_paths(target: Target) -> Json:
    found: dict[str, Json] = {}
    for number, step in enumerate(target.steps):
        if isinstance(step, CopyStep) and step.local is not None:
            found[str(number)] = step.local.path
        for file in given_files(step):
            if file.local is not None:
                found[f"{number}/{file.name}"] = file.local.path
    return found


def _packages_json(packages: PackageSet) -> Json:
    return identities(packages.packages)


def _step_slice(
    step: Step,
    packages: PackageSet | None,
    target: Target,
    sources: Mapping[str, Input],
    listed: Listed,
) -> Json:
    entry: dict[str, Json]
    match step:
        case RunStep():
            entry = _run_slice(step, packages, target, sources, listed)
        case AptStep():
            entry = {"type": "apt", "packages": listed(packages) if packages else []}
        case PipStep():
            entry = {"type": "pip", "packages": listed(packages) if packages else []}
        case CondaStep():
            entry = {
                "type": "conda",
                "prefix": step.prefix,
                "packages": listed(packages) if packages else [],
            }
        case CopyStep():
            entry = _copy_slice(step, target, sources)
        case FileStep():
            entry = {"type": "file", "path": step.path, "content": step.content}
            if step.executable:
                entry["executable"] = True
        case EnvStep():
            entry = {"type": "env", "values": dict(step.values)}
            entry |= {"expand": True} if step.expand else {}
        case WorkdirStep():
            entry = {"type": "workdir", "path": step.path}
            entry |= {"expand": True} if step.expand else {}
        case UserStep():
            entry = {"type": "user", "name": step.name}
            entry |= {"expand": True} if step.expand else {}
        case LabelsStep():
            entry = {"type": "labels", "values": dict(step.values)}
        case EntrypointStep():
            entry = {"type": "entrypoint", "arguments": list(step.arguments)}
        case _:
            raise AssertionError(f"no slice for {type(step).__name__}")
    return entry


def _run_slice(
    step: RunStep,
    packages: PackageSet | None,
    target: Target,
    sources: Mapping[str, Input],
    listed: Listed,
) -> dict[str, Json]:
    entry: dict[str, Json] = {"type": "run", "script": step.script}
    if step.tools:
        entry["tools"] = listed(packages) if packages else []
    if step.sources:
        entry["sources"] = {n: seen_as(target.sources[n], sources[n]) for n in step.sources}
    if step.network:
        entry["network"] = True
    if step.plain:
        entry["plain"] = True
    if step.files:
        entry["files"] = {file.name: _file_slice(file, target, sources) for file in step.files}
    return entry


def _file_slice(file: GivenFile, target: Target, sources: Mapping[str, Input]) -> dict[str, Json]:
    entry: dict[str, Json]
    if file.local is not None:
        entry = {"local": file.local.to_json()}
    elif file.source:
        seen = seen_as(target.sources[file.source], sources[file.source])
        entry = {"sources": {file.source: seen}}
    else:
        entry = {"content": file.content}
    if file.executable:
        entry["executable"] = True
    return entry


def _copy_slice(step: CopyStep, target: Target, sources: Mapping[str, Input]) -> dict[str, Json]:
    entry: dict[str, Json] = {"type": "copy", "to": step.to}
    if step.local is not None:
        entry["local"] = step.local.to_json()
        entry["local_name"] = step.local.path.rpartition("/")[2]
    elif step.source:
        seen = seen_as(target.sources[step.source], sources[step.source])
        entry["sources"] = {step.source: seen}
    elif step.file is not None:
        entry["file"] = {step.file.name: _file_slice(step.file, target, sources)}
    else:
        entry["paths"] = list(step.paths)
    if step.executable:
        entry["executable"] = True
    if step.merge:
        entry["merge"] = True
    return entry
