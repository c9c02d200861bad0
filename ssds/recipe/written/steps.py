"""Build steps, sources and tests as the maps of a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ssds.recipe.model import ExpectedFile, Test
from ssds.recipe.steps import (
    AptStep,
    CondaStep,
    CopyStep,
    EntrypointStep,
    EnvStep,
    FileStep,
    GivenFile,
    LabelsStep,
    LocalTree,
    PipStep,
    RecipeRef,
    RunStep,
    SourceRequest,
    Step,
    UserStep,
    WorkdirStep,
)
from ssds.recipe.written.yaml_text import as_text

Placed = Callable[[LocalTree], str]
"""Gives the path, relative to the new recipe, of a local file or folder."""
Named = Callable[[str], str]
"""Gives the name that a source has in the new recipe."""

_STEP_LIMIT_S, _TEST_LIMIT_S = 3600, 300
_CONDA_PREFIX = "/opt/conda"


def step_map(step: Step, placed: Placed, named: Named) -> dict[str, Any]:
    """Returns one build step."""
    if isinstance(step, RunStep):
        found = _run(step, placed, named)
    elif isinstance(step, CopyStep):
        found = _copy(step, placed, named)
    else:
        found = _WRITERS[type(step)](step)
    if step.time_limit_s != _STEP_LIMIT_S:
        found["time_limit_s"] = step.time_limit_s
    return found


def _run(step: RunStep, placed: Placed, named: Named) -> dict[str, Any]:
    more: dict[str, Any] = {}
    if step.plain:
        more["plain"] = True
    if step.network:
        more["network"] = True
    if step.tools:
        more["tools"] = _texts(step.tools)
    if step.sources:
        more["sources"] = [named(name) for name in step.sources]
    if step.files:
        more["files"] = {file.name: given_map(file, placed, named) for file in step.files}
    script = as_text(unfolded(step.script) if step.plain else step.script)
    return {"run": {**more, "script": script} if more else script}


def unfolded(script: str) -> str:
    """Returns commands that ``&&`` joins on lines of their own, as people write them.

    Only outside of quotes, and not where a here-document may follow: there a line end is text.
    """
    if "<<" in script or "\n" in script:
        return script
    parts: list[str] = []
    quote, start, at = "", 0, 0
    while at < len(script):
        character = script[at]
        if character == "\\" and quote != "'":
            at += 1
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "#" and script[at - 1 : at] in ("", " ", ";", "&", "|", "("):
            return script  # a comment goes on to the end of the line
        elif script.startswith("&& ", at) and script[at - 1 : at] == " ":
            parts.append(script[start:at].rstrip())
            start = at
        at += 1
    parts.append(script[start:])
    return " \\\n".join(parts) if not quote else script


def given_map(file: GivenFile, placed: Placed, named: Named) -> dict[str, Any]:
    """Returns where a file comes from that a step sees."""
    found: dict[str, Any]
    if file.local is not None:
        found = {"local": as_text(placed(file.local))}
    elif file.source:
        found = {"source": named(file.source)}
    else:
        found = {"content": as_text(file.content or "")}
    return {**found, "executable": True} if file.executable else found


def _copy(step: CopyStep, placed: Placed, named: Named) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if step.recipe is not None:
        found = {**ref_map(step.recipe), "paths": _texts(step.paths)}
    elif step.local is not None:
        found = {"local": as_text(placed(step.local))}
    elif step.file is not None:
        found = {"file": as_text(step.file.name), **given_map(step.file, placed, named)}
    else:
        found = {"source": named(step.source)}
    found["to"] = as_text(step.to)
    if step.executable:
        found["executable"] = True
    if step.merge:
        found["merge"] = True
    return {"copy": found}


def ref_map(ref: RecipeRef) -> dict[str, Any]:
    """Returns what names another recipe's release."""
    found = {"recipe": ref.name, "version": ref.version}
    return {**found, "variant": ref.variant} if ref.variant else found


def _conda(step: CondaStep) -> dict[str, Any]:
    found: dict[str, Any] = {"channels": _texts(step.channels), "packages": _texts(step.packages)}
    if step.prefix != _CONDA_PREFIX:
        found["prefix"] = as_text(step.prefix)
    return {"conda": found}


def _file(step: FileStep) -> dict[str, Any]:
    found: dict[str, Any] = {"path": as_text(step.path), "content": as_text(step.content)}
    if step.executable:
        found["executable"] = True
    return {"file": found}


def _expanded(step: EnvStep | WorkdirStep | UserStep, key: str, value: Any) -> dict[str, Any]:
    return {key: value, "expand": True} if step.expand else {key: value}


def _env(step: EnvStep) -> dict[str, Any]:
    return _expanded(step, "env", {name: as_text(text) for name, text in step.values.items()})


_WRITERS: Mapping[type[Step], Callable[[Any], dict[str, Any]]] = {
    AptStep: lambda step: {"apt": _texts(step.packages)},
    PipStep: lambda step: {"pip": _texts(step.requirements)},
    CondaStep: _conda,
    FileStep: _file,
    EnvStep: _env,
    WorkdirStep: lambda step: _expanded(step, "workdir", as_text(step.path)),
    UserStep: lambda step: _expanded(step, "user", as_text(step.name)),
    LabelsStep: lambda step: {"labels": {k: as_text(v) for k, v in step.values.items()}},
    EntrypointStep: lambda step: {"entrypoint": _texts(step.arguments)},
}


def source_map(source: SourceRequest) -> dict[str, Any]:
    """Returns one source."""
    found: dict[str, Any] = {}
    for key, value in (
        ("url", source.url),
        ("git", source.git),
        ("ref", source.ref),
        ("folder", source.folder),
        ("deb-src", source.deb_src),
        ("pypi", source.pypi),
        ("file", source.file),
    ):
        if value:
            found[key] = as_text(value)
    if source.mirrors:
        found["mirrors"] = _texts(source.mirrors)
    if source.sha256 is not None:
        found["sha256"] = source.sha256.hex
    elif source.url.startswith("http:"):
        found["insecure"] = True
    if source.empty_submodules:
        found["submodules"] = "empty"
    if source.unpack and not source.git:
        found["unpack"] = True
    return found


def test_map(test: Test, named: Named) -> dict[str, Any]:
    """Returns one test."""
    found: dict[str, Any] = {"name": as_text(test.name), "run": as_text(test.script)}
    if test.exit_code:
        found["exit_code"] = test.exit_code
    for key, texts in (("stdout", test.stdout), ("stderr", test.stderr)):
        if texts:
            found[key] = _texts(texts)
    if test.stdout_equals is not None:
        found["stdout_equals"] = as_text(test.stdout_equals)
    if test.files:
        found["files"] = [_expected(file) for file in test.files]
    if test.sources:
        found["sources"] = [named(name) for name in test.sources]
    if test.environment:
        found["environment"] = {name: as_text(text) for name, text in test.environment.items()}
    if test.time_limit_s != _TEST_LIMIT_S:
        found["time_limit_s"] = test.time_limit_s
    return found


def _expected(file: ExpectedFile) -> dict[str, Any]:
    found: dict[str, Any] = {"path": as_text(file.path)}
    if file.min_size_bytes:
        found["min_size_bytes"] = file.min_size_bytes
    if file.contains:
        found["contains"] = _texts(file.contains)
    if file.sha256 is not None:
        found["sha256"] = file.sha256.hex
    return found


def _texts(values: tuple[str, ...]) -> list[str]:
    return [as_text(value) for value in values]
