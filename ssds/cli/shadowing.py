"""``ssds plan --shadow``: a daily report beside the old scripts; it changes nothing of theirs."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from ssds.adopt.memory import Memory
from ssds.adopt.plan import plan_adoption
from ssds.adopt.shadow import Row, report, state_of
from ssds.adopt.shadow_state import keep_state, read_state
from ssds.adopt.sources import Means, read_source
from ssds.cli import planning
from ssds.cli.guard import EXIT_ERROR
from ssds.cli.output import counted, print_json, report_diagnostics, say, show, table
from ssds.cli.since_text import code
from ssds.core.diagnostics import Severity
from ssds.core.errors import UsageError
from ssds.core.records import dataclass
from ssds.core.text import shown
from ssds.graph.plan import Verb
from ssds.lock.model import releasable
from ssds.oci.types import rfc3339
from ssds.workspace import Workspace

STATE, MEMORY = "shadow.json", "adopted.json"
HEAD = ("release", "platform", "they", "ssds", "theirs", "ours", "verdict", "why")
EVENTS = ("added", "changed", "removed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """A report, and what it rests on.

    Attributes:
        foreign: (lock file, for how long it has been there in s) of others that write now.
        broken: whether something of the sources could not be read.
    """

    sources: tuple[str, ...]
    at: str
    since: str
    rows: tuple[Row, ...]
    foreign: tuple[tuple[str, int], ...]
    broken: bool

    @property
    def kept(self) -> bool:
        """A tree that could not be read whole, or that others change now, is no state to keep."""
        return not self.broken and not self.foreign

    @property
    def exit_code(self) -> int:
        """For ``--detailed-exitcode``: 0 both agree, 2 they do not, 3 others write now."""
        return 3 if self.foreign else 0 if all(row.agrees for row in self.rows) else 2

    def counts(self, side: str) -> dict[str, int]:
        """Returns how much a side (``they``, ``we``) added, changed and removed."""
        found = Counter(getattr(row, side) for row in self.rows)
        return {word: found[word] for word in EVENTS}

    def shown(self, *, full: bool, as_json: bool, markdown: bool, detailed: bool) -> int:
        """Prints the report; returns the exit code."""
        rows = [row for row in self.rows if full or row.news or not row.agrees]
        if as_json:
            print_json(
                {
                    "format_version": "1.0",
                    "sources": list(self.sources),
                    "at": self.at,
                    "since": self.since,
                    "kept": self.kept,
                    "foreign": [{"lock": path, "age_s": age_s} for path, age_s in self.foreign],
                    "verdicts": dict(Counter(row.verdict for row in self.rows)),
                    "they": self.counts("they"),
                    "ssds": self.counts("we"),
                    "rows": [asdict(row) for row in rows],
                }
            )
        else:
            show("\n".join((_markdown if markdown else _plain)(self, rows)))
        for path, age_s in self.foreign:
            say(f"others write there now: {shown(path)} has been there for {age_s // 60} min")
        if not self.kept:
            say("this report is not kept: the next one counts from the one before it")
        if self.broken:
            return EXIT_ERROR
        return self.exit_code if detailed else 0


def make(workspace: Workspace, sources: tuple[str, ...], respected: tuple[str, ...]) -> Shadow:
    """Returns a report; keeps what the next one counts from where nothing stands against it."""
    at = rfc3339(int(time.time()))
    foreign = dict(_foreign(sources, respected))
    memory = Memory(os.path.join(workspace.state_folder, MEMORY))
    means = Means(memory=memory, mirrors=lambda: workspace.mirrors)
    try:
        readings = [read_source(text, means) for text in sources]
    finally:
        memory.keep()
    foreign.update(_foreign(sources, respected))  # also one that began meanwhile
    locks = workspace.locks
    planned = plan_adoption(readings, locks, stands=os.path.lexists)
    report_diagnostics(planned.problems)
    path = os.path.join(workspace.state_folder, STATE)
    last, now = read_state(path, sources), state_of(readings, locks, at)
    rows = report(
        now,
        last,
        planned=planned.changes,
        would=_would(workspace),
        withdrawn={(n.name, n.tag): said.text for n, said in locks.withdrawn.items()},
        adopted={key for key, lock in locks.releases.items() if not releasable(lock)},
    )
    broken = any(problem.severity is Severity.ERROR for problem in planned.problems)
    found = Shadow(
        sources=sources, at=at, since=last.at, rows=tuple(rows), foreign=tuple(foreign.items()),
        broken=broken,
    )  # fmt: skip
    if found.kept:
        keep_state(path, sources, now)
    return found


def _would(workspace: Workspace) -> Mapping[tuple[str, str], str]:
    """Returns what the plan says of recipes that are not released: its first step, and why."""
    waiting = {
        str(name): (name.name, name.tag)
        for name in workspace.catalog.releases
        if workspace.locks.get(name).variant(name).index is None
    }
    if not waiting:
        return {}
    order = (Verb.HELD, Verb.WAIT, Verb.RUN, Verb.UNKNOWN)
    rows = planning.make(workspace, planning.Asked()).delivery.rows
    found: dict[tuple[str, str], str] = {}
    for verb in order:
        for row in rows:
            release = waiting.get(row.node.partition(":")[0])
            if release is not None and row.verb is verb:
                found.setdefault(release, f"{row.node} is {_word(verb)}: {row.text}")
    return found


def _word(verb: Verb) -> str:
    return {Verb.HELD: "held", Verb.WAIT: "waiting"}.get(verb, "to run")


def _foreign(sources: Sequence[str], respected: Iterable[str]) -> list[tuple[str, int]]:
    """Returns the lock files of others that are there, and for how many seconds.

    Those that were named, and that of an open transaction where a source lies in a repository.
    """
    from ssds.ship.targets.cvmfs_settings import CvmfsSettings

    settings = CvmfsSettings.of(os.environ)
    paths = [os.path.abspath(path) for path in respected]
    for text in sources:
        place = os.path.realpath(text.partition("=")[2]) + os.sep
        mount = os.path.realpath(settings.mount) + os.sep
        if place.startswith(mount):
            repository = place.removeprefix(mount).partition(os.sep)[0]
            paths.append(os.path.join(settings.spool, repository, "in_transaction.lock"))
    found = []
    for path in dict.fromkeys(paths):
        try:
            age_s = time.time() - os.lstat(path).st_mtime
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise UsageError(
                f"{path[:200]} cannot be looked at: {error.strerror}",
                hint="Name a lock file that you may see.",
                code="E350",
            ) from error
        found.append((path, max(0, int(age_s))))
    return found


def _since(found: Shadow) -> str:
    return (
        f"since {found.since}" if found.since else "the first report; there is nothing to compare"
    )


def _counts(found: Shadow) -> str:
    agree = sum(row.agrees for row in found.rows)
    told = (
        f"{counted(len(found.rows), 'release')}: {agree} agree, {len(found.rows) - agree} do not."
    )
    if not found.since:
        return told
    they, we = (", ".join(f"{n} {w}" for w, n in found.counts(s).items()) for s in ("they", "we"))
    return f"{told} Since then they have {they}; ssds {we}."


def _cells(row: Row) -> list[str]:
    return [
        row.release, row.platform, row.they or "-", row.we or "-", row.theirs, row.ours,
        row.verdict, row.reason,
    ]  # fmt: skip


def _plain(found: Shadow, rows: Sequence[Row]) -> list[str]:
    lines = [f"Beside {', '.join(found.sources)}, {_since(found)}."]
    if rows:
        lines += ["", table([list(HEAD), *map(_cells, rows)]), ""]
    return [*lines, _counts(found)]


def _markdown(found: Shadow, rows: Sequence[Row]) -> list[str]:
    beside = f"Beside {', '.join(map(code, found.sources))}, {_since(found)}."
    lines = ["# What ssds would have done", "", beside]
    if found.foreign:
        lines += ["", f"Others write now: {', '.join(code(path) for path, _ in found.foreign)}"]
    if rows:
        lines += ["", f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
        cells = ([code(c).replace("|", "\\|") if c != "-" else c for c in _cells(r)] for r in rows)
        lines += [f"| {' | '.join(row)} |" for row in cells]
    return [*lines, "", _counts(found)]
