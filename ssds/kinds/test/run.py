"""Runs a test node: each test in a fresh copy of the built image, without network.

The report holds what was expected and what was found, no times, so that the same image gives the
same report; times and output go to the log and to JUnit (contract C6).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, cast

from ssds.core.canonical import canonical_bytes
from ssds.core.digest import sha256_of
from ssds.core.errors import InvalidValue, StepFailed
from ssds.core.model import FAIL, PASS
from ssds.core.platform import Platform
from ssds.host import local
from ssds.host.machine import can_run
from ssds.host.sandbox import Bind, Job, Sandbox
from ssds.kinds.api import (
    Bench,
    Outcome,
    bind_sources,
    limits,
    require_sandbox,
)
from ssds.kinds.test.results import (
    Captured,
    Result,
    as_known,
    check_times,
    junit,
    report_of,
    tell_known,
    too_late,
)
from ssds.kinds.test.suite import run_suite
from ssds.oci.types import Config, parse_config
from ssds.store.trees import Trees

WORK = "/run/ssds/work"
_FILE_LIMIT = 1 << 30


def run(bench: Bench) -> Outcome:
    """Tests; outputs ``verdict`` and ``report``, by-product ``junit``."""
    sandbox = require_sandbox(bench)
    platform = Platform(bench.action.node.id.platform)
    config = parse_config(bench.store.blobs.read(bench.action.inputs["config"]))
    trees = Trees(bench.store.trees_folder, sandbox)
    lowers = tuple(trees.layer(d, bench.store.blobs.path(d)) for d in config.diff_ids)
    tests = cast(list[dict[str, Any]], bench.action.node.slice["tests"])
    seconds = cast(list[int], bench.action.node.hints["time_limits_s"])
    known = cast(list[str], bench.action.node.slice.get("known_failures", []))
    results = []
    for number, test in enumerate(tests):
        if bench.stopping():
            raise StepFailed("stopped by the user")
        bench.say(f"test {number + 1}/{len(tests)}: {test['name']}")
        one = _one(bench, sandbox, config, lowers, number, test, seconds[number])
        results.append(as_known(one, known))
    check_times(results, "time_limit_s")
    suite = cast(dict[str, Any] | None, bench.action.node.slice.get("suite"))
    if suite is not None:
        results += run_suite(bench, sandbox, config, lowers, suite, known)
    tell_known(bench, results)
    failed = any(r.result == "fail" for r in results)
    report = report_of(results, suite["name"] if suite else "")
    put, name = bench.store.blobs.put, str(bench.action.node.id)
    outputs = {"verdict": put(FAIL if failed else PASS), "report": put(canonical_bytes(report))}
    if suite is not None:
        outputs["junit"] = put(junit(name, results, whole=False))
    return Outcome(
        outputs=outputs,
        verdict="fail" if failed else "pass",
        logs={"junit": put(junit(name, results))},
        mode=sandbox.mode,
        emulated=can_run(platform).kind == "emulated",
    )


def _one(
    bench: Bench,
    sandbox: Sandbox,
    config: Config,
    lowers: tuple[str, ...],
    number: int,
    test: Mapping[str, Any],
    time_limit_s: int,
) -> Result:
    folder = os.path.join(bench.folder, f"test-{number}")
    work = os.path.join(folder, "work")
    local.make_folder(work)
    binds = bind_sources(bench, test.get("sources", {}), os.path.join(folder, "sources"))
    binds.append(Bind(source=work, target=WORK, read_only=False))
    bench.log(f"==> test {number} ({test['name']})\n".encode())
    stdout, stderr = Captured(bench.log), Captured(bench.log)
    job = Job(
        lowers=lowers,
        argv=("/bin/sh", "-eu", "-c", test["script"]),
        environment={
            "HOME": "/root",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC0",
            **dict(config.environment),
            **test.get("environment", {}),
        },
        working_folder=WORK,
        binds=tuple(binds),
        time_limit_s=time_limit_s,
        log=stdout.write,
        log_errors=stderr.write,
        stop=bench.stopping,
        **limits(bench),
    )
    result = sandbox.run(job)
    late = too_late(bench, result, test["name"], time_limit_s)
    problems = late or judge(test, result.exit_code, bytes(stdout.data), bytes(stderr.data), work)
    for problem in problems:
        bench.log(f"    FAILED: {problem}\n".encode())
    return Result(
        name=test["name"],
        result="fail" if problems else "pass",
        problems=tuple(problems),
        duration_ms=result.duration_ms,
        output=bytes(stdout.data + stderr.data),
        late=bool(late),
    )


def judge(
    test: Mapping[str, Any],
    exit_code: int,
    stdout: bytes,
    stderr: bytes,
    work: str,
) -> list[str]:
    """Returns what differs from the expectation, in fixed words."""
    problems = []
    if exit_code != test["exit_code"]:
        problems.append(f"exit code {exit_code}, expected {test['exit_code']}")
    for name, data in (("stdout", stdout), ("stderr", stderr)):
        problems += [
            f"{name} lacks {text!r}" for text in test.get(name, ()) if text.encode() not in data
        ]
    equals = test.get("stdout_equals")
    if equals is not None and stdout.decode("utf-8", "replace").rstrip() != equals.rstrip():
        problems.append("stdout differs from the expected text")
    for expected in test.get("files", ()):
        problems += _judge_file(expected, work)
    return problems


def _judge_file(expected: Mapping[str, Any], work: str) -> list[str]:
    name = expected["path"]
    try:
        data = local.read_below(work, name, _FILE_LIMIT)
    except InvalidValue as error:
        return [error.message]
    if data is None:
        return [f"file {name} was not made"]
    if len(data) < expected["min_size"]:
        return [f"file {name} has less than {expected['min_size']} bytes"]
    problems = [
        f"file {name} lacks {text!r}" for text in expected["contains"] if text.encode() not in data
    ]
    promised = expected.get("sha256", "")
    if promised and sha256_of(data) != promised:
        problems.append(f"file {name} has another sha256 than {promised}")
    return problems
