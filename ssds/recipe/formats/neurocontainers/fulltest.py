"""Reads ``fulltest.yaml``, the functional tests of NeuroDesk's recipes, as one suite.

What differs from their runner is told in ``docs/explanation/neurodesk-tests.md``.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from ssds.core.diagnostics import Collector
from ssds.core.records import dataclass, replace
from ssds.core.text import shown
from ssds.recipe.address import Path
from ssds.recipe.codes import near
from ssds.recipe.formats.neurocontainers.fulltest_texts import TooLong, Variables
from ssds.recipe.formats.neurocontainers.values import load
from ssds.recipe.formats.scope import Report
from ssds.recipe.model import Target
from ssds.recipe.shared import plain_relative
from ssds.recipe.steps import SourceRequest
from ssds.recipe.suite import CHECKS, GIVEN, WORK, Check, Suite, SuiteData, SuiteTest

FILE = "fulltest.yaml"
DATASETS = "https://s3.amazonaws.com/openneuro.org/{dataset}/{file}"
"""Where OpenNeuro shows the newest files of its data sets to everybody."""
DEFAULT_TIME_S = 120
TIME_LIMIT_S = 86_400
TESTS_LIMIT = 10_000
_COMPARED = 500
"""Names among which one that is like an unknown one is looked for."""

_TEXT, _WHOLE, _FLAG = (str,), (int,), (bool,)
_TEXTS = (str, list)
_SUITE: Mapping[str, tuple[type, ...]] = {
    "name": _TEXT, "version": (str, int, float), "description": _TEXT, "container": _TEXT,
    "pin_container": _FLAG, "tests": (list,), "setup": (dict,), "cleanup": (dict,),
    "test_data": (dict,), "required_files": (list,), "default_timeout": _WHOLE,
    "env_setup": _TEXT, "env": (dict,), "matlab_runtime": (dict,), "script_runner": _TEXT,
    "script_ext": _TEXT,
}  # fmt: skip
_TEST: Mapping[str, tuple[type, ...]] = {
    "name": _TEXT, "command": _TEXT, "script": _TEXT, "description": _TEXT,
    "expected_output_contains": _TEXTS, "expected_exit_code": _WHOLE,
    "expected_exit_code_not": _WHOLE, "ignore_exit_code": _FLAG, "validate": (list,),
    "depends_on": _TEXTS, "timeout": _WHOLE, "tags": (list,), "env_setup": _TEXT,
}  # fmt: skip
_NO_VARIABLES = frozenset(_SUITE) - {"name", "version", "description"}
_WORDS = {str: "text", int: "a whole number", bool: "true or false", list: "a list", dict: "a map",
          float: "a number"}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class FullTest:
    """A suite, and the sources that hold its data."""

    suite: Suite
    version: str
    sources: Mapping[str, SourceRequest]

    def given_to(self, target: Target) -> Target:
        """Returns a target that is tested by the suite, and has the sources of its data."""
        return replace(target, suite=self.suite, sources={**target.sources, **self.sources})


def read_fulltest(
    data: bytes,
    path: str,
    collector: Collector,
    *,
    name: str = "",
    version: str = "",
    datasets: str = DATASETS,
) -> FullTest | None:
    """Returns the suite of a file; None where it has an error.

    Args:
        path: the file's name in messages.
        name: the recipe's, where the suite has none; without both it is an error.
        version: the recipe's: a suite for another is warned of; the empty string asks nothing.
        datasets: the address of a data set's file, with ``{dataset}`` and ``{file}``.
    """
    own = Collector()
    document = load(data, path, own)
    found = None
    if document.usable and not own.failed:
        report = Report(document, own)
        if isinstance(document.data, dict):
            found = _Reader(document.data, report, datasets, name).read(version)
        else:
            report("N060", (), ("found", _kind(document.data)), ("expected", "a map"))
    failed = own.failed
    collector.extend(own)
    return None if failed else found


class _Reader:
    def __init__(self, data: Mapping[str, Any], report: Report, datasets: str, name: str) -> None:
        self.data, self.report, self.datasets = data, report, datasets
        self.good = self.checked(data, _SUITE, (), extra=(str, int, float, bool))
        self.values = Variables(self.scalars())
        self.suite = self.text(self.good.get("name", name), ("name",))
        if not self.suite:
            self.report("N061", (), ("key", "name"))
        elif not plain_relative(self.suite) or "/" in self.suite:
            self.report("N066", ("name",), ("found", self.suite))
        self.sources: dict[str, SourceRequest] = {}
        self.files: list[SuiteData] = []

    def read(self, version: str) -> FullTest | None:
        """Returns what the file says; problems go to the report."""
        own = self.text(str(self.good.get("version", "")), ("version",))
        if "tests" not in self.data:
            self.report("N061", (), ("key", "tests"))
        if version and own != version:
            self.report("N062", ("version",), ("suite", own or "none"), ("recipe", version))
        self.required()
        self.values = Variables(self.variables(), self.values.left)
        setup = self.good.get("setup", {})
        self.unknown(setup, ("script", "host_script"), ("setup",))
        self.unknown(self.good.get("cleanup", {}), ("script",), ("cleanup",))
        skipped = ""
        if setup.get("host_script"):
            self.report("N068", ("setup", "host_script"), key=True)
            skipped = "its host_script would run on the host"
        tests = self.good.get("tests", [])
        if not tests and "tests" in self.good:
            self.report("N054", ("tests",))
        if len(tests) > TESTS_LIMIT:
            self.report("N061", ("tests",), ("tests", str(len(tests))), ("limit", str(TESTS_LIMIT)))
            return None
        self.known: dict[str, int] = {}
        read = [t for i, item in enumerate(tests) if (t := self.test(item, ("tests", i)))]
        output = self.values.values.get("output_dir", "")
        folder = self.below(output) if "output_dir" in self.good.get("test_data", {}) else None
        suite = Suite(
            name=self.suite,
            tests=tuple(read),
            setup=self.text(str(setup.get("script") or ""), ("setup", "script")),
            folders=(folder,) if folder else (),
            data=tuple(self.files),
            skipped=skipped,
            file=self.report.document.path,
        )
        return FullTest(suite=suite, version=own, sources=self.sources)

    def checked(
        self,
        data: Mapping[str, Any],
        known: Mapping[str, tuple[type, ...]],
        path: Path,
        extra: tuple[type, ...] = (),
    ) -> dict[str, Any]:
        """Returns what has the right type; ``extra`` are types that unknown keys may have."""
        good = {}
        for key, value in data.items():
            types = known.get(key)
            if types is None:
                if not isinstance(value, extra) or not extra:
                    self.report("N063", (*path, key), ("key", key), key=True,
                                first=near(key, list(known)))  # fmt: skip
                continue
            if value is None:
                continue
            fits = isinstance(value, types) and (bool in types or not isinstance(value, bool))
            if not fits:
                wanted = " or ".join(_WORDS[t] for t in types)
                self.report("N060", (*path, key), ("found", _kind(value)), ("expected", wanted))
                continue
            good[key] = value
        return good

    def unknown(self, data: Mapping[str, Any], known: Sequence[str], path: Path) -> None:
        for key, value in data.items():
            if key not in known:
                self.report("N063", (*path, key), ("key", key), key=True)
            elif not isinstance(value, str | None):
                self.report("N060", (*path, key), ("found", _kind(value)), ("expected", "text"))

    def required(self) -> None:
        """Makes sources of the files of data sets."""
        for index, item in enumerate(self.good.get("required_files", [])):
            path: Path = ("required_files", index)
            files = item.get("files") if isinstance(item, dict) else None
            dataset = item.get("dataset") if isinstance(item, dict) else None
            if not isinstance(files, list) or not isinstance(dataset, str):
                self.report("N060", path, ("expected", "a map with dataset and files"))
                continue
            for number, name in enumerate(files):
                good = isinstance(name, str) and plain_relative(name)
                if not good or not plain_relative(dataset) or "/" in dataset:
                    self.report("N066", (*path, "files", number), ("found", f"{dataset}/{name}"))
                    continue
                self.file(dataset, name)

    def file(self, dataset: str, name: str) -> None:
        import hashlib
        from urllib.parse import quote

        whole = f"{dataset}/{name}"
        source = f"data-{hashlib.sha256(whole.encode()).hexdigest()[:16]}"
        if source not in self.sources:
            url = self.datasets.format(dataset=quote(dataset), file=quote(name))
            self.sources[source] = SourceRequest(name=source, url=url)
            self.files.append(SuiteData(source=source, path=f"{self.suite}/{whole}"))

    def variables(self) -> dict[str, str]:
        """Returns name → value, in the order in which their runner knows them."""
        home = f"{WORK}/{self.suite}" if self.good.get("required_files") else WORK
        found: dict[str, str] = {}
        for key, value in self.good.get("test_data", {}).items():
            if not isinstance(value, str):
                self.report(
                    "N060", ("test_data", key), ("found", _kind(value)), ("expected", "text")
                )
                continue
            found[key] = posixpath.join(WORK if key == "output_dir" else home, value)
        return {**self.scalars(), **found}

    def scalars(self) -> dict[str, str]:
        """Returns the keys of the file that are variables, too."""
        return {
            key: str(value)
            for key, value in self.data.items()
            if key not in _NO_VARIABLES and isinstance(value, str | int | float)
        }

    def text(self, text: str, path: Path) -> str:
        try:
            return self.values(text)
        except TooLong:
            self.report("N067", path)
            return ""

    def setup_lines(self, test: Mapping[str, Any], path: Path) -> str:
        """Returns what a shell does before a test: variables, then ``env_setup``."""
        if "env_setup" in test:
            return self.text(test["env_setup"], (*path, "env_setup"))
        lines = [f'export {name}="{value}"' for name, value in self.good.get("env", {}).items()]
        lines.append(self.good.get("env_setup", ""))
        return self.text("\n".join(line for line in lines if line), ("env_setup",))

    def test(self, item: object, path: Path) -> SuiteTest | None:
        """Returns one test; None after a problem."""
        if not isinstance(item, dict):
            self.report("N060", path, ("found", _kind(item)), ("expected", "a map"))
            return None
        test = self.checked(item, _TEST, path)
        name = str(test.get("name") or "")
        if not name:
            self.report("N061", path, ("key", "name"))
            return None
        if name in self.known:
            self.report("N069", (*path, "name"), ("test", name))
            name = f"{name} ({path[-1]})"
        depends = tuple(str(name) for name in _list(test.get("depends_on", [])))
        for other in depends:
            if other not in self.known and other != "setup":  # which comes before all
                few = len(self.known) <= _COMPARED
                first = near(other, list(self.known)) if few else ""
                self.report("N065", (*path, "depends_on"), ("test", other), first=first)
        self.known[name] = len(self.known)
        command, files = self.command(test, path)
        if not command:
            if not test.get("command") and not test.get("script"):
                self.report("N061", path, ("key", "command or script"))
            return None
        script = "\n".join(part for part in (self.setup_lines(test, path), command) if part)
        banned = test.get("expected_exit_code_not")
        wanted = test.get("expected_exit_code", 0)
        free = test.get("ignore_exit_code", False)
        time = test.get("timeout", self.good.get("default_timeout", DEFAULT_TIME_S))
        if not 0 < time <= TIME_LIMIT_S:
            self.report("N060", (*path, "timeout"), ("found", str(time)), ("expected", "seconds"))
        return SuiteTest(
            name=name,
            script=f"{script}\n",
            files=files,
            exit_code=None if free or banned is not None else wanted,
            exit_code_not=None if free else banned,
            output=tuple(
                text
                for t in _list(test.get("expected_output_contains", []))
                if (text := self.text(str(t), (*path, "expected_output_contains")))
            ),
            checks=self.checks(test.get("validate", []), path),
            depends_on=depends,
            time_limit_s=time,
            tags=tuple(map(str, test.get("tags", []))),
        )

    def command(
        self, test: Mapping[str, Any], path: Path
    ) -> tuple[str, tuple[tuple[str, str], ...]]:
        """Returns what bash runs, and the file that a ``script`` becomes."""
        if test.get("command"):
            return self.text(test["command"], (*path, "command")), ()
        text = self.text(test.get("script", ""), (*path, "script"))
        if not text:
            return "", ()
        runner, end = self.good.get("script_runner", ""), self.good.get("script_ext", ".sh")
        matlab = self.good.get("matlab_runtime", {})
        if not runner and matlab.get("runner"):
            runner, end = f"{matlab['runner']} {matlab.get('path', '')}".strip(), ".m"
        if "/" in end or len(end) > 32:
            self.report("N060", ("script_ext",), ("found", end), ("expected", "a file ending"))
            end = ".sh"
        place = f"{GIVEN}/script{end}"
        return f"{runner} {place}".strip(), ((f"script{end}", text),)

    def checks(self, items: Sequence[object], path: Path) -> tuple[Check, ...]:
        found = []
        for index, item in enumerate(items):
            where: Path = (*path, "validate", index)
            if not isinstance(item, dict):
                self.report("N060", where, ("found", _kind(item)), ("expected", "a map"))
                continue
            for kind, value in item.items():
                if kind not in CHECKS:
                    facts = (("found", kind), ("known", ", ".join(CHECKS)))
                    first = near(kind, CHECKS)
                    self.report("N064", (*where, kind), *facts, first=first, key=True)
                    continue
                count = 2 if kind == "same_dimensions" else 1
                values = [str(v) for v in _list(value)]
                paths = [self.below(self.text(v, (*where, kind))) for v in values]
                good = tuple(p for p in paths if p is not None)
                if len(good) != count or len(values) != count:
                    told = ", ".join(shown(v) for v in values)
                    self.report("N066", (*where, kind), ("found", told))
                    continue
                found.append(Check(kind=kind, paths=good))
        return tuple(found)

    def below(self, path: str) -> str | None:
        """Returns a path relative to the work folder; None where it lies elsewhere."""
        whole = posixpath.normpath(posixpath.join(WORK, path))
        return posixpath.relpath(whole, WORK) if whole.startswith(f"{WORK}/") else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _kind(value: object) -> str:
    return "nothing" if value is None else _WORDS.get(type(value), type(value).__name__)
