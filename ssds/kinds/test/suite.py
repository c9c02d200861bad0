"""Runs a suite: its tests in order, in one work folder, each in a fresh view of one unpacked image.

The work folder, the home folder and /tmp are the suite's; what a test writes elsewhere in the
image is gone afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from ssds.core.errors import StepFailed
from ssds.core.text import shown
from ssds.host import local
from ssds.host.sandbox import Bind, Job, Sandbox
from ssds.kinds.api import Bench, limits
from ssds.kinds.test.nifti import HEAD_BYTES, shape
from ssds.kinds.test.results import Captured, Result, as_known, check_times, too_late
from ssds.oci.types import Config
from ssds.recipe.suite import GIVEN, WORK

HOME = "/run/ssds/home"
SETUP_LIMIT_S = 3600
RAN = "at least one test"
"""What a suite of which nothing ran fails: what was not tested has not passed."""


def run_suite(
    bench: Bench,
    sandbox: Sandbox,
    config: Config,
    lowers: tuple[str, ...],
    suite: Mapping[str, Any],
    known: Collection[str] = (),
) -> list[Result]:
    """Returns the results in the order of the tests; a setup that failed is one more in front.

    A suite of which nothing ran has one more at its end, a failed one. A test at its time limit
    fails, and the others go on.

    Raises:
        StepFailed: a test reached its time limit; said when all of them have ended.
    """
    return _Suite(bench, sandbox, config, lowers, suite, known).run()


class _Suite:
    def __init__(
        self,
        bench: Bench,
        sandbox: Sandbox,
        config: Config,
        lowers: tuple[str, ...],
        suite: Mapping[str, Any],
        known: Collection[str],
    ) -> None:
        self.bench, self.sandbox, self.config = bench, sandbox, config
        self.lowers, self.suite, self.known = lowers, suite, known
        self.folder = os.path.join(bench.folder, "suite")
        self.work = os.path.join(self.folder, "work")
        self.shared = {WORK: self.work}
        for name, seen in (("home", HOME), ("tmp", "/tmp")):  # noqa: S108 - the sandbox's
            self.shared[seen] = os.path.join(self.folder, name)

    def run(self) -> list[Result]:
        tests = cast(Sequence[Mapping[str, Any]], self.suite["tests"])
        seconds = cast(Sequence[int], self.bench.action.node.hints["suite_limits_s"])
        why = self.suite["skipped"]
        results = [] if why else self.prepare()
        if results:
            why = "the setup failed"
        ended: dict[str, str] = {}
        for number, test in enumerate(tests):
            if self.bench.stopping():
                raise StepFailed("stopped by the user")
            lacking = [n for n in test.get("depends_on", ()) if ended.get(n, "skip") != "pass"]
            if why or lacking:
                told = why or f"{', '.join(lacking)} did not pass"
                result = Result(name=test["name"], result="skip", problems=(told,))
            else:
                self.bench.say(f"test {number + 1}/{len(tests)}: {test['name']}")
                result = as_known(self.one(test, seconds[number]), self.known)
            ended[result.name] = result.result
            results.append(result)
        if all(r.result == "skip" for r in results):
            told = f"no test ran: {why or 'it has none that can'}"
            results.append(Result(name=RAN, result="fail", problems=(told,)))
        self.tell(results)
        check_times(results, "timeout")
        return results

    def prepare(self) -> list[Result]:
        """Lays out the folders and runs the setup; returns its result where it failed."""
        for folder in self.shared.values():
            local.make_folder(folder)
        for name in self.suite["folders"]:
            local.make_folder(os.path.join(self.work, name))
        for data in self.suite["data"]:
            digest = self.bench.action.inputs[f"source/{data['source']}"]
            target = os.path.join(self.work, data["path"])
            local.copy_hashed(self.bench.store.blobs.path(digest), target, mode=0o644)
        if not self.suite["setup"]:
            return []
        self.bench.say("setup")
        result = self.one({"name": "setup", "script": self.suite["setup"], "exit_code": 0}, 0)
        return [] if result.result == "pass" else [result]

    def one(self, test: Mapping[str, Any], time_limit_s: int) -> Result:
        """Runs one script and judges it."""
        bench = self.bench
        given = os.path.join(self.folder, "given")
        local.make_folder(given)
        for name, text in {**test.get("files", {}), "run.sh": test["script"]}.items():
            local.write(os.path.join(given, name), text.encode(), mode=0o755)
        bench.log(f"==> {shown(test['name'])}\n".encode())
        stdout, stderr = Captured(bench.log), Captured(bench.log)
        time_limit_s = time_limit_s or SETUP_LIMIT_S
        result = self.sandbox.run(
            Job(
                lowers=self.lowers,
                argv=("/bin/sh", "-c", f"exec bash {GIVEN}/run.sh"),
                environment={
                    "LC_ALL": "C.UTF-8",
                    "TZ": "UTC0",
                    **dict(self.config.environment),
                    "HOME": HOME,
                },
                working_folder=WORK,
                binds=(
                    *(Bind(source=s, target=t, read_only=False) for t, s in self.shared.items()),
                    Bind(source=given, target=GIVEN),
                ),
                time_limit_s=time_limit_s,
                log=stdout.write,
                log_errors=stderr.write,
                stop=bench.stopping,
                **limits(bench),
            )
        )
        local.remove_folder(given)
        output = bytes(stdout.data + stderr.data)
        late = too_late(bench, result, test["name"], time_limit_s)
        problems = late or (*judge(test, result.exit_code, output), *self.checks(test))
        for problem in problems:
            bench.log(f"    FAILED: {problem}\n".encode())
        return Result(
            name=test["name"],
            result="fail" if problems else "pass",
            problems=tuple(problems),
            duration_ms=result.duration_ms,
            output=output,
            late=bool(late),
        )

    def checks(self, test: Mapping[str, Any]) -> list[str]:
        """Returns what is wrong with the files that a test left behind."""
        problems = (check(self.work, c["kind"], c["paths"]) for c in test.get("checks", ()))
        return [p for p in problems if p]

    def tell(self, results: Sequence[Result]) -> None:
        """Writes the report of the suite to the end of the log."""
        log = self.bench.log
        log(f"==> suite {shown(self.suite['name'])}\n".encode())
        for r in results:
            what = f"  ({shown('; '.join(r.problems))})" if r.problems else ""
            seconds = f"{r.duration_ms / 1000:7.2f} s" if r.result != "skip" else " " * 9
            log(f"    {r.result}  {seconds}  {shown(r.name)}{what}\n".encode())
        count = {w: sum(r.result == w for r in results) for w in ("pass", "fail", "skip", "known")}
        known = f", {count['known']} known" if count["known"] else ""
        told = f"{count['pass']} pass, {count['fail']} fail, {count['skip']} skip{known}"
        log(f"    {told}\n".encode())


def judge(test: Mapping[str, Any], exit_code: int, output: bytes) -> list[str]:
    """Returns what differs from the expectation, in fixed words."""
    problems = []
    if exit_code != test.get("exit_code", exit_code):
        problems.append(f"exit code {exit_code}, expected {test['exit_code']}")
    if exit_code == test.get("exit_code_not"):
        problems.append(f"exit code {exit_code}, which it must not be")
    problems += [
        f"output lacks {shown(text)!r}"
        for text in test.get("output", ())
        if text.encode() not in output
    ]
    return problems


def check(work: str, kind: str, paths: Sequence[str]) -> str:
    """Returns what a check finds wrong, or the empty string."""
    found = [local.settled(work, path, WORK) for path in paths]
    for path, place in zip(paths, found, strict=True):
        if place is None:
            return f"{shown(path)} was not made"
    places = [place for place in found if place is not None]
    if kind == "output_exists":
        return ""
    if kind == "output_dir_not_empty":
        full = os.path.isdir(places[0]) and os.listdir(places[0])
        return "" if full else f"{shown(paths[0])} is an empty folder or none"
    shapes = [shape(local.head(place, HEAD_BYTES)) for place in places]
    for path, size in zip(paths, shapes, strict=True):
        if size is None:
            return f"{shown(path)} is no NIfTI image"
    told = [" x ".join(map(str, size)) for size in shapes if size is not None]
    if kind == "is_3d":
        return "" if len(shapes[0] or ()) == 3 else f"{shown(paths[0])} is {told[0]}, not 3D"
    if shapes[0] == shapes[1]:
        return ""
    return f"{shown(paths[0])} is {told[0]}, but {shown(paths[1])} is {told[1]}"
