"""Compiles a target's tests to a test node. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from ssds.core.canonical import Json
from ssds.core.model import Input, Later, Node, NodeId
from ssds.recipe.model import Target, Test
from ssds.recipe.uses import seen_as

if TYPE_CHECKING:
    from ssds.recipe.suite import Suite, SuiteTest

KIND_VERSION = 1
SUITE_VERSION = 2
"""The version of a test that has a suite (2: one of which nothing ran fails)."""


def node(
    target: Target,
    *,
    config: Input,
    sources: Mapping[str, Input],
    unpinned: tuple[str, ...],
    recipe_path: str,
    resources: Mapping[str, int] = MappingProxyType({}),
    tests: Mapping[str, Json] | None = None,
    failing: Sequence[str] = (),
) -> Node:
    """Returns the test node; ``sources`` gives the inputs of role ``source/<name>`` by name.

    ``tests`` is its slice, where it was made before for another platform; ``failing`` names the
    tests that may fail today, sorted.
    """
    own = slice_of(target, sources) if tests is None else tests
    known: dict[str, Json] = {"known_failures": list(failing)} if failing else {}
    used = dict.fromkeys(name for test in target.tests for name in test.sources)
    if target.suite:
        used.update(dict.fromkeys(data.source for data in target.suite.data))
    return Node(
        id=NodeId(str(target.release), "test", str(target.platform)),
        kind_version=SUITE_VERSION if target.suite else KIND_VERSION,
        slice={**own, **known} if known else own,
        inputs=(config, *(sources[name] for name in used)),
        hints=Later(
            lambda: {
                "time_limits_s": [test.time_limit_s for test in target.tests],
                **(
                    {
                        "suite_limits_s": [t.time_limit_s for t in target.suite.tests],
                        "suite_file": target.suite.file,
                    }
                    if target.suite
                    else {}
                ),
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
    tests: Json = [_test_slice(test, target, sources) for test in target.tests]
    return {"tests": tests, **({"suite": _suite_slice(target.suite)} if target.suite else {})}


def _suite_slice(suite: Suite) -> Json:
    return {
        "name": suite.name,
        "setup": suite.setup,
        "folders": list(suite.folders),
        "data": [{"source": d.source, "path": d.path} for d in suite.data],
        "skipped": suite.skipped,
        "tests": [_suite_test(test) for test in suite.tests],
    }


def _suite_test(test: SuiteTest) -> Json:
    entry: dict[str, Json] = {"name": test.name, "script": test.script}
    if test.files:
        entry["files"] = dict(test.files)
    if test.exit_code is not None:
        entry["exit_code"] = test.exit_code
    if test.exit_code_not is not None:
        entry["exit_code_not"] = test.exit_code_not
    if test.output:
        entry["output"] = list(test.output)
    if test.checks:
        entry["checks"] = [{"kind": c.kind, "paths": list(c.paths)} for c in test.checks]
    if test.depends_on:
        entry["depends_on"] = list(test.depends_on)
    return entry


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
