"""Runs a deploy test: looks at what an image offers, as its users will find it. Nothing is run.

So it judges images of every platform on any machine. One report names all that is wrong (C6).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import cast
from xml.etree import ElementTree as ET

from ssds.core.canonical import Json, canonical_bytes
from ssds.core.model import FAIL, PASS
from ssds.core.platform import Platform
from ssds.core.records import dataclass
from ssds.core.text import shown
from ssds.kinds.api import Bench, Outcome
from ssds.kinds.deploytest.access import Access
from ssds.kinds.deploytest.libraries import Loader
from ssds.kinds.deploytest.programs import Programs
from ssds.kinds.deploytest.spec import SUITE
from ssds.oci.flatten import Entry, FlatTree, flatten
from ssds.oci.programs import (
    DEFAULT_PATH,
    FILES_LIMIT,
    NAME,
    NO_PROGRAM,
    search_folders,
)
from ssds.oci.types import parse_config


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was found of one command or folder; ``skip``: it is no program, so nobody calls it."""

    name: str
    result: str
    problems: tuple[str, ...] = ()


def run(bench: Bench) -> Outcome:
    """Outputs ``verdict`` and ``report``, by-product ``junit``."""
    blobs = bench.store.blobs
    config = parse_config(blobs.read(bench.action.inputs["config"]))
    tree = flatten([blobs.path(layer) for layer in config.diff_ids])
    node = bench.action.node
    results = judge(
        tree,
        Platform(node.id.platform).architecture,
        commands=cast(Sequence[str], node.slice["commands"]),
        paths=cast(Sequence[str], node.slice["paths"]),
        environment=config.environment,
    )
    failed = [r for r in results if r.result == "fail"]
    bench.say(f"{len(results)} looked at, {len(failed)} cannot be used")
    for result in results:
        bench.log(f"{result.result}  {result.name}\n".encode())
        for problem in result.problems:
            bench.log(f"      {problem}\n".encode())
    report: dict[str, Json] = {
        "suite": SUITE,
        "tests": [
            {"name": r.name, "result": r.result, "problems": list(r.problems)} for r in results
        ],
    }
    return Outcome(
        outputs={
            "verdict": blobs.put(FAIL if failed else PASS),
            "report": blobs.put(canonical_bytes(report)),
        },
        verdict="fail" if failed else "pass",
        logs={"junit": blobs.put(_junit(str(node.id), results))},
    )


def judge(
    tree: FlatTree,
    architecture: str,
    *,
    commands: Sequence[str],
    paths: Sequence[str],
    environment: Mapping[str, str],
) -> list[Result]:
    """Returns the results, commands first, each in the order in which it was declared."""
    return list(_Judge(tree, architecture, environment).all(commands, paths))


class _Judge:
    def __init__(self, tree: FlatTree, architecture: str, environment: Mapping[str, str]) -> None:
        self.tree = tree
        self.search = search_folders(environment.get("PATH", DEFAULT_PATH))
        self.access = Access(tree)
        loader = Loader(self.access, environment)
        self.programs = Programs(self.access, loader, architecture, self.search)

    def all(self, commands: Sequence[str], paths: Sequence[str]) -> Iterator[Result]:
        for name in commands:
            yield _result(name, self.command(name, (*self.search, *paths)))
        for folder in dict.fromkeys(paths):
            entry, problems = self.access.follow(folder)
            if entry is None or entry.type != "folder":
                yield _result(folder, problems or (f"{shown(folder)} is not a folder",))
                continue
            names = self.tree.names(entry.path)
            if len(names) > FILES_LIMIT:
                problems = (*problems, f"only the first {FILES_LIMIT} of its files were looked at")
            yield _result(folder, problems)
            for name in names[:FILES_LIMIT]:
                found = self.member(posixpath.join(folder, name), name)
                if found is not None:
                    yield found

    def command(self, name: str, folders: Sequence[str]) -> tuple[str, ...]:
        """Returns what is wrong with a named command.

        The first file that others may run is the command, whatever it lacks: a shell, and whoever
        calls ``execvp``, goes on only past what is not there (ENOENT) or closed (EACCES).
        """
        if not NAME.fullmatch(name):
            return (f"{shown(name)!r} is not a name that a wrapper can have",)
        passed: tuple[str, ...] = ()
        for folder in dict.fromkeys(folders):
            path = posixpath.join(folder, name)
            place = self.tree.get(path) or self._inside(folder, name)
            if place is None or place.type == "folder":
                continue
            problems = self.programs.problems(path)
            if self.programs.is_open(path):
                return problems
            passed = passed or problems
        return passed or (f"not found in {':'.join(dict.fromkeys(folders))}",)

    def _inside(self, folder: str, name: str) -> Entry | None:
        entry, _ = self.access.follow(folder)
        return self.tree.get(f"{entry.path}/{name}") if entry else None

    def member(self, path: str, name: str) -> Result | None:
        """Returns the result of a file in a declared folder; None for what nobody calls."""
        entry, problems = self.access.follow(path)
        if not NAME.fullmatch(name) or (entry and entry.type != "file"):
            return None
        if entry is None:
            return _result(path, problems)
        if not entry.mode & 0o111:
            return None
        problems = self.programs.problems(path)
        if NO_PROGRAM in problems:
            return Result(name=shown(path), result="skip", problems=(NO_PROGRAM,))
        return _result(path, problems)


def _result(name: str, problems: Sequence[str]) -> Result:
    return Result(name=shown(name), result="fail" if problems else "pass", problems=tuple(problems))


def _junit(name: str, results: Sequence[Result]) -> bytes:
    """Returns JUnit XML, the form that CI systems read."""
    count = {word: sum(r.result == word for r in results) for word in ("fail", "skip")}
    suite = ET.Element(
        "testsuite",
        name=name,
        tests=str(len(results)),
        failures=str(count["fail"]),
        skipped=str(count["skip"]),
    )
    for result in results:
        case = ET.SubElement(suite, "testcase", classname=SUITE, name=result.name)
        if result.result != "pass":
            word = "failure" if result.result == "fail" else "skipped"
            ET.SubElement(case, word, message="; ".join(result.problems))
    data: bytes = ET.tostring(suite, encoding="utf-8", xml_declaration=True)
    return data
