"""What is measured: a no-op, one edit and a cold start of each size; the start of a process."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import make_catalog
from measure import HERE, Sample, Way, run
from shapes import Edit, beside_python, c_loop, write_ninja, write_paths

INDEX = ".ssds/plan.index"
SETTLE_S = 2.5
"""Files that are younger than this are not trusted by their times alone."""
COLD_ROUNDS = 3
MOST_WHOLE = 10_000
"""Above so many recipes a plan without the index is made once, to have one, and not measured."""

PLAN, NINJA, YAML = "ssds plan", "ninja", "CSafeLoader loop"
PYTHON_LSTAT, C_LSTAT = "lstat loop in Python", "lstat loop in C"
VERSION, BARE = "ssds --version", "python -c pass"
_NOTHING, _NINJA_NOTHING = "Nothing to do", "no work to do"


@dataclass(kw_only=True)
class Bench:
    """Everything that the cases share.

    Attributes:
        cache: where made catalogs and scratch files are.
        rounds: how often each way runs.
        say: tells progress.
        skipped: what could not be measured, and why.
        checked: what was checked on the way, by size.
        commands: what was run, for people, by the name of the way.
        program: ssds.
        ninja: the program, or None where it is missing.
    """

    cache: Path
    rounds: int
    say: Callable[[str], None]
    skipped: list[str] = field(default_factory=list)
    checked: dict[str, str] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)
    program: str = field(init=False)
    ninja: str | None = field(init=False)

    def __post_init__(self) -> None:
        self.cache.mkdir(parents=True, exist_ok=True)
        self.program = beside_python("ssds") or ""
        if not self.program:
            raise SystemExit("there is no ssds beside this Python: install the project first")
        self.ninja = beside_python("ninja")
        if self.ninja is None:
            self.skip("ninja is not here: `pip install 'ssds[bench]'` brings it")

    def skip(self, text: str) -> None:
        """Notes what is left out, once."""
        if text not in self.skipped:
            self.skipped.append(text)
            self.say(text)

    def ssds(self, *arguments: str) -> list[str]:
        """Returns the command."""
        return [self.program, *arguments]

    def run(self, way: Way, folder: Path) -> Sample:
        """Runs a way once, and notes its command."""
        self.commands[way.name] = way.shown
        return run(way, folder)[0]

    def interleaved(
        self, ways: Sequence[Way], rounds: int, folder: Path
    ) -> dict[str, list[Sample]]:
        """Runs all ways ``rounds`` times, one after another; each round begins with another."""
        samples: dict[str, list[Sample]] = {way.name: [] for way in ways}
        for number in range(rounds):
            start = number % len(ways)
            for way in (*ways[start:], *ways[:start]):
                samples[way.name].append(self.run(way, folder))
        return samples

    def start(self) -> dict[str, list[Sample]]:
        """Measures what a process costs that does nothing."""
        ways = [
            Way(name=VERSION, shown=VERSION, command=self.ssds("--version"), folder=self.cache),
            Way(name=BARE, shown=BARE, command=[sys.executable, "-c", "pass"], folder=self.cache),
        ]
        return self.interleaved(ways, max(self.rounds, 5) * 2, self.cache)


class Size:
    """The cases of one size."""

    def __init__(self, bench: Bench, count: int) -> None:
        self.bench = bench
        self.count = count
        self.folder = bench.cache / str(count)
        self.workspace = self.folder / "workspace"
        self.other = self.folder / "ninja"
        self.listing = self.folder / "paths.txt"

    def prepare(self) -> None:
        """Makes what is not there yet, and lets every tool see it once."""
        self.folder.mkdir(exist_ok=True)
        if not make_catalog.is_made(self.workspace, self.count):
            self.bench.say(f"making {self.count} recipes")
            make_catalog.make(self.count, self.workspace)
        Edit(self.workspace, self.count).undo()  # a run may have been killed in the middle
        write_paths(self.workspace, self.listing, self.count)
        if self.bench.ninja:
            self.bench.say("making the same shape for ninja")
            write_ninja(self.workspace, self.other, self.count)
            run(self._ninja(), self.folder)
        time.sleep(SETTLE_S)
        for _ in range(2):
            run(self._plan(), self.folder)
        if not (self.workspace / INDEX).exists():
            self.bench.skip(f"there is no {INDEX}: every plan is a cold one")

    def _plan(self) -> Way:
        return Way(
            name=PLAN,
            shown=PLAN,
            command=self.bench.ssds("plan"),
            folder=self.workspace,
            expected=_NOTHING,
        )

    def _ninja(self) -> Way:
        return Way(
            name=NINJA,
            shown=NINJA,
            command=[self.bench.ninja or ""],
            folder=self.other,
            expected=_NINJA_NOTHING,
        )

    def _loop(self, name: str, mode: str, subject: Path) -> Way:
        return Way(
            name=name,
            shown=f"python benchmarks/loops.py {mode} {subject.name}",
            command=[sys.executable, str(HERE / "loops.py"), mode, str(subject)],
            folder=self.folder,
        )

    def unchanged(self) -> dict[str, list[Sample]]:
        """Measures a plan without anything to do."""
        ways = [self._plan()]
        if self.bench.ninja:
            ways.append(self._ninja())
        ways.append(self._loop(PYTHON_LSTAT, "lstat", self.listing))
        program = c_loop(self.bench.cache)
        if program:
            shown = f"lstat {self.listing.name} (benchmarks/lstat.c)"
            command = [str(program), str(self.listing)]
            ways.append(Way(name=C_LSTAT, shown=shown, command=command, folder=self.folder))
        else:
            self.bench.skip("there is no C compiler: the lstat loop in C is left out")
        return self.bench.interleaved(ways, self.bench.rounds, self.folder)

    def edited(self) -> dict[str, list[Sample]]:
        """Measures a plan after one build step was changed, each time to a new text."""
        edit = Edit(self.workspace, self.count)
        samples: dict[str, list[Sample]] = {}
        for _ in range(self.bench.rounds):
            edit.make(time.time_ns())
            try:
                for way in self._after_edit():
                    samples.setdefault(way.name, []).append(self.bench.run(way, self.folder))
            finally:
                edit.undo()
            run(self._plan(), self.folder)
            if self.bench.ninja:
                run(self._ninja(), self.folder)
        return samples

    def _after_edit(self) -> list[Way]:
        ways = [replace(self._plan(), expected="to do, ")]
        if self.bench.ninja:
            name = f"{NINJA} -n"
            command = [self.bench.ninja, "-n"]
            way = replace(self._ninja(), name=name, shown=name, command=command)
            ways.append(replace(way, expected="[8/8]"))
        return ways

    def cold(self) -> dict[str, list[Sample]]:
        """Measures a plan without the index, against only loading the recipes' YAML."""
        index = self.workspace / INDEX
        ways = [
            replace(self._plan(), before=lambda: index.unlink(missing_ok=True)),
            self._loop(YAML, "yaml", self.workspace / "catalog"),
        ]
        return self.bench.interleaved(ways, min(self.bench.rounds, COLD_ROUNDS), self.folder)

    def check_index(self) -> None:
        """Checks that the plan is the same with and without the index, also after an edit."""
        if "--no-index" not in self._printed("--help"):
            self.bench.skip("`ssds plan` has no --no-index: the plans are not compared")
            return
        edit = Edit(self.workspace, self.count)
        for state in ("unchanged", "edited"):
            if state == "edited":
                edit.make(time.time_ns())
            try:
                with_index, without = (self._printed(*more) for more in ((), ("--no-index",)))
            finally:
                edit.undo()
            if with_index != without:
                raise SystemExit(
                    f"with {self.count} recipes ({state}) the plan differs without the index:\n"
                    f"{with_index[-1000:]}\n---\n{without[-1000:]}"
                )
        run(self._plan(), self.folder)
        size = (self.workspace / INDEX).stat().st_size / 2**20
        text = f"the same plan with and without the index, which has {size:.1f} MiB"
        self.bench.checked[str(self.count)] = text

    def _printed(self, *more: str) -> str:
        command = self.bench.ssds("plan", *more)
        shown = " ".join((PLAN, *more))
        way = Way(name=PLAN, shown=shown, command=command, folder=self.workspace)
        return run(way, self.folder)[1]


CASES = {"no-op": Size.unchanged, "one edit": Size.edited, "cold": Size.cold}
"""What is measured at each size, by the name that results have."""


def measure(size: Size, cases: Collection[str]) -> Mapping[str, dict[str, list[Sample]]]:
    """Returns the samples of the named cases of one size."""
    size.prepare()
    found = {}
    for name, case in CASES.items():
        if name == "cold" and size.count > MOST_WHOLE:
            continue
        if name in cases:
            size.bench.say(f"{size.count} recipes: {name}")
            found[name] = case(size)
    if size.count <= MOST_WHOLE:
        size.check_index()
    else:
        size.bench.skip(
            f"with {size.count:,} recipes plans without the index, which take minutes and much "
            "memory, are neither measured nor compared"
        )
    return found
