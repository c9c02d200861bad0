"""Runs functional tests on a site's own tree: the module is loaded, the wrapper runs the program.

What a recipe's test says of exit code, output and files is judged as in the sandbox. What only
exists there (sources, data, files below ``/run/ssds``) is not on a site: such tests are skipped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, cast

from ssds.core.records import dataclass
from ssds.host import local
from ssds.host.module_shell import Ended, run_loaded
from ssds.kinds.test import suite as suites
from ssds.kinds.test.results import Result, as_known
from ssds.kinds.test.run import judge
from ssds.kinds.test.spec import slice_of
from ssds.recipe.model import Target
from ssds.ship.generation import Entry
from ssds.ship.tree import SITES

LOADS = "its module loads"
OFFERS = "its commands are wrappers of this tree"
LOAD_LIMIT_S = 120
_ELSEWHERE = "/run/ssds"
_GONE = "it needs what only the sandbox has"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where tests run.

    Attributes:
        tree, site: the deployed tree, absolute, and the site.
        program: the module system's command line.
        scratch: a folder for work folders.
    """

    tree: str
    site: str
    program: str
    scratch: str


def run_entry(
    place: Place,
    entry: Entry,
    target: Target | None,
    known: Collection[str] = (),
    say: Callable[[str], None] = lambda _: None,
) -> list[Result]:
    """Returns the results of one release: its module, its commands, its recipe's tests.

    Args:
        target: what the catalog says of it; None where it has no recipe.
        known: names of tests that may fail.
    """
    session = _Session(place, entry)
    loads = session.loads()
    results = [loads]
    if loads.result == "pass" and entry.commands and not entry.adopted:
        results.append(session.offers())
    if target is None:
        return results
    why = "" if loads.result == "pass" else "its module does not load"
    for test in target.tests:
        missing = why or (_GONE if test.sources or _ELSEWHERE in test.script else "")
        if missing:
            results.append(Result(name=test.name, result="skip", problems=(missing,)))
            continue
        say(f"{session.module}: {test.name}")
        alone = replace(target, tests=(test,), suite=None)
        said = cast(Mapping[str, Any], cast(Any, slice_of(alone, {})["tests"])[0])
        result = session.test(said, test.environment, test.time_limit_s)
        results.append(as_known(result, known))
    if target.suite is not None:
        results += _suite(session, target, known, why, say)
    return results


def _suite(
    session: _Session,
    target: Target,
    known: Collection[str],
    why: str,
    say: Callable[[str], None],
) -> list[Result]:
    """Runs a suite's tests in order in one work folder."""
    suite = target.suite
    assert suite is not None
    said: Mapping[str, Any] = {}
    if not suite.data:  # else none of it runs
        said = cast(Mapping[str, Any], slice_of(replace(target, tests=()), {})["suite"])
    why = why or suite.skipped or (_GONE if suite.data or _ELSEWHERE in suite.setup else "")
    results: list[Result] = []
    work = session.work()
    if not why:
        for name in suite.folders:
            local.make_folder(os.path.join(work, name))
        if suite.setup:
            setup = {"name": "setup", "script": suite.setup, "exit_code": 0}
            first = session.suite_test(setup, work, suites.SETUP_LIMIT_S)
            if first.result != "pass":
                results.append(first)
                why = "the setup failed"
    ended: dict[str, str] = {}
    for index, test in enumerate(suite.tests):
        lacking = [n for n in test.depends_on if ended.get(n, "skip") != "pass"]
        missing = why or (f"{', '.join(lacking)} did not pass" if lacking else "")
        missing = missing or (_GONE if test.files or _ELSEWHERE in test.script else "")
        if missing:
            result = Result(name=test.name, result="skip", problems=(missing,))
        else:
            say(f"{session.module}: {test.name}")
            own = cast(Mapping[str, Any], cast(Any, said["tests"])[index])
            result = as_known(session.suite_test(own, work, test.time_limit_s), known)
        ended[test.name] = result.result
        results.append(result)
    return results


class _Session:
    def __init__(self, place: Place, entry: Entry) -> None:
        self.place, self.entry = place, entry
        self.module = f"{entry.name}/{entry.module}"
        folder = os.path.dirname(entry.folder) if entry.folder else "modules"
        self.site = os.path.join(place.tree, SITES, place.site)
        self.modules = os.path.join(self.site, folder)
        self.number = 0

    def work(self) -> str:
        """Makes a work folder and a home folder beside it; returns the first."""
        self.number += 1
        top = os.path.join(self.place.scratch, f"{self.entry.name}-{self.number}")
        for name in ("work", "home"):
            local.make_folder(os.path.join(top, name))
        return os.path.join(top, "work")

    def run(
        self, argv: list[str], work: str, limit_s: int, environment: Mapping[str, str]
    ) -> Ended:
        return run_loaded(
            argv,
            program=self.place.program,
            module=self.module,
            module_path=self.modules,
            tree=self.place.tree,
            environment={
                "LC_ALL": "C.UTF-8",
                "TZ": "UTC0",
                "HOME": os.path.join(os.path.dirname(work), "home"),
                **environment,
            },
            folder=work,
            time_limit_s=limit_s,
        )

    def loads(self) -> Result:
        """Loads the module and runs nothing."""
        ended = self.run(["true"], self.work(), LOAD_LIMIT_S, {})
        problems = (
            () if ended.loaded and ended.exit_code == 0 else (_shown(ended, "it did not load"),)
        )
        return _result(LOADS, problems, ended)

    def offers(self) -> Result:
        """Looks for each command on the PATH that the module made: it must be of this tree."""
        argv = ["sh", "-c", 'printf "%s" "$PATH"']
        ended = self.run(argv, self.work(), LOAD_LIMIT_S, {})
        said = ended.stdout.decode("utf-8", "surrogateescape").split(":")
        folders = [folder for folder in said if os.path.isabs(folder)]
        top = os.path.realpath(self.place.tree) + os.sep
        problems = []
        for name in self.entry.commands:
            paths = (os.path.join(folder, name) for folder in folders)
            path = next((p for p in paths if os.access(p, os.X_OK)), "")
            if not path or not os.path.realpath(path).startswith(top):
                problems.append(f"{name} is {path or 'not there'}")
        return _result(OFFERS, problems, ended)

    def test(self, test: Mapping[str, Any], environment: Mapping[str, str], limit_s: int) -> Result:
        work = self.work()
        ended = self.run(["/bin/sh", "-eu", "-c", test["script"]], work, limit_s, environment)
        problems = _late(ended, limit_s) or judge(
            test, ended.exit_code, ended.stdout, ended.stderr, work
        )
        return _result(test["name"], problems, ended)

    def suite_test(self, test: Mapping[str, Any], work: str, limit_s: int) -> Result:
        ended = self.run(["bash", "-c", test["script"]], work, limit_s, {})
        problems = _late(ended, limit_s)
        if not problems:
            problems = suites.judge(test, ended.exit_code, ended.stdout + ended.stderr)
            checks = (suites.check(work, c["kind"], c["paths"]) for c in test.get("checks", ()))
            problems += [text for text in checks if text]
        return _result(test["name"], problems, ended)


def _late(ended: Ended, limit_s: int) -> list[str]:
    if ended.timed_out:
        return [f"stopped after its time limit of {limit_s} s"]
    return [] if ended.loaded else [_shown(ended, "its module did not load")]


def _shown(ended: Ended, text: str) -> str:
    said = (ended.stdout + ended.stderr).decode("utf-8", "replace").strip()
    return f"{text}: {said[-200:]}" if said else text


def _result(name: str, problems: Collection[str], ended: Ended) -> Result:
    return Result(
        name=name,
        result="fail" if problems else "pass",
        problems=tuple(problems),
        duration_ms=ended.duration_ms,
        output=ended.stdout + ended.stderr,
    )
