"""Compiles a target's tests to a test node. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ssds.core.canonical import Json
from ssds.core.model import Input, Later, Node, NodeId
from ssds.recipe.model import Target, Test
from ssds.recipe.uses import seen_as

KIND_VERSION = 1


def node(
    target: Target,
    *,
    config: Input,
    sources: Mapping[str, Input],
    unpinned: tuple[str, ...],
    recipe_path: str,
    resources: Mapping[str, int] = MappingProxyType({}),
    tests: Mapping[str, Json] | None = None,
) -> Node:
    """Returns the test node; ``sources`` gives the inputs of role ``source/<name>`` by name.

    ``tests`` is its slice, where it was made before for another platform.
    """
    used = dict.fromkeys(name for test in target.tests for name in test.sources)
    return Node(
        id=NodeId(str(target.release), "test", str(target.platform)),
        kind_version=KIND_VERSION,
        slice=slice_of(target, sources) if tests is None else tests,
        inputs=(config, *(sources[name] for name in used)),
        hints=Later(
            lambda: {
                "time_limits_s": [test.time_limit_s for test in target.tests],
                **({"resources": dict(resources)} if resources else {}),
            }
        ),
        origin=Later(
            lambda: {f"slice.tests[{i}]": f"tests[{i}]" for i in range(len(target.tests))}
        ),
        unpinned=unpinned,
        recipe_path=recipe_path,
        required=target.required,
    )


def slice_of(target: Target, sources: Mapping[str, Input]) -> dict[str, Json]:
    """Returns the node's slice; of ``sources`` it holds what tests read."""
    return {"tests": [_test_slice(test, target, sources) for test in target.tests]}


def _test_slice(test: Test, target: Target, sources: Mapping[str, Input]) -> Json:
    entry: dict[str, Json] = {
        "name": test.name,
        "script": test.script,
        "exit_code": test.exit_code,
    }
    if test.stdout:
        entry["stdout"] = list(test.stdout)
    if test.stderr:
        entry["stderr"] = list(test.stderr)
    if test.stdout_equals is not None:
        entry["stdout_equals"] = test.stdout_equals
    if test.sources:
        entry["sources"] = {n: seen_as(target.sources[n], sources[n]) for n in test.sources}
    if test.environment:
        entry["environment"] = dict(test.environment)
    if test.files:
        entry["files"] = [
            {
                "path": f.path,
                "contains": list(f.contains),
                "min_size": f.min_size_bytes,
                **({"sha256": str(f.sha256)} if f.sha256 else {}),
            }
            for f in test.files
        ]
    return entry
