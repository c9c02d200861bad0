"""Reads what ``ssds diff`` compares, says what it is, and compares two of one kind."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from ssds.cli.output import counted
from ssds.core.diagnostics import Collector
from ssds.core.errors import EnvironmentProblem, Refused, UsageError
from ssds.core.text import shown
from ssds.graph.plandiff import PlanChange, PlanRow, compare
from ssds.host.git import read_at, resolve_revision
from ssds.lock.diff import LockChange, diff, diff_catalog
from ssds.lock.model import CatalogLock
from ssds.lock.read import CATALOG_LOCK, SUFFIX, parse_catalog_lock_bytes, parse_lock_bytes

LIMIT_BYTES = 256 << 20
RELEASE = "release lock"
SHARED = "catalog lock"
DATA = "data lock"
PLAN = "plan"
_STEPS_AT_MOST = 5_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One thing to compare.

    Attributes:
        name: how the user wrote it.
        file: the file's name, as diagnostics show it.
        data: its bytes; None where it was not there (a revision without it, the null device).
    """

    name: str
    file: str
    data: bytes | None

    @property
    def kind(self) -> str:
        """RELEASE, SHARED, DATA or PLAN; the empty string where there is nothing.

        Raises:
            UsageError: E143, it is none of these.
        """
        return "" if self.data is None else _kind_of(self.data, self.file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The difference of two things of one kind."""

    kind: str
    changes: tuple[LockChange | PlanChange, ...]

    def render(self) -> str:
        """Returns one line for each change, and a count."""
        count = len(self.changes)
        lines = [change.render() for change in self.changes]
        return "\n".join([*lines, counted(count, "difference")])

    def to_dicts(self) -> list[dict[str, Any]]:
        """Returns the changes in JSON."""
        return [
            change.to_dict()
            if isinstance(change, PlanChange)
            else {"what": change.address, "before": change.before, "after": change.after}
            for change in self.changes
        ]


def side(text: str, folder: str) -> Side:
    """Returns what a word of the command line names: a file, or ``REV:path`` in git.

    Args:
        text: a path, from the current folder; or a revision, a colon and a path, from the
            checkout's top or from ``folder``.
        folder: the workspace, or the current folder.

    Raises:
        UsageError: E140, E141 (git), E142 (no such file).
        EnvironmentProblem: it cannot be read.
    """
    if text == os.devnull:
        return Side(name=text, file=text, data=None)
    try:
        data = _read(text)
    except IsADirectoryError:
        _no_file(text)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        revision, colon, path = text.partition(":")
        if colon and revision and path:
            return at_revision(text, folder, resolve_revision(folder, revision), path)
        raise UsageError(
            f"there is no file {shown(text)}",
            hint="Name two files, or REV:PATH for one as it was; with --since REV, names of "
            "releases.",
            code="E142",
        ) from None
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot read {shown(text)}: {error.strerror}", hint="Check its owner and permissions."
        ) from error
    return Side(name=text, file=text, data=data)


def lock_side(path: str, other: str) -> Side:
    """Returns a lock file for ``ssds lock diff``: where it is missing there is no lock.

    A copy under another name (``git show`` wrote it) goes by its twin's.
    """
    name = os.path.basename(path)
    file = path if "@" in name or name == CATALOG_LOCK else os.path.basename(other)
    if not os.path.lexists(path):
        return Side(name=path, file=file, data=None)
    found = side(path, ".")
    return Side(name=path, file=file, data=found.data)


def at_revision(name: str, folder: str, tree: str, path: str) -> Side:
    """Returns a file as it was in a tree; without data where it was not there."""
    data = read_at(folder, tree, path, limit_bytes=LIMIT_BYTES)
    if data is None and not path.startswith(("./", "../", "/")):
        data = read_at(folder, tree, f"./{path}", limit_bytes=LIMIT_BYTES)
    return Side(name=name, file=name, data=data)


def _read(path: str) -> bytes:
    """Returns a regular file's bytes, one more than the limit at most; a pipe is not waited for."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            _no_file(path)
        return file.read(LIMIT_BYTES + 1)


def _no_file(path: str) -> NoReturn:
    raise UsageError(f"{shown(path)} is not a file", hint="Name two files.", code="E142")


def _kind_of(data: bytes, file: str) -> str:
    """Says what a file is by its content; a damaged one by its name and words."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, Mapping):
        if "lock_version" in value:
            return RELEASE if "name" in value else DATA if "set" in value else SHARED
        if "format_version" in value and ("steps" in value or "format" in value):
            return PLAN
    name = os.path.basename(file.rpartition(":")[2])
    if name == CATALOG_LOCK:
        return SHARED
    if name.endswith(SUFFIX) or b'"lock_version"' in data:
        return RELEASE
    if b'"format_version"' in data:
        return PLAN
    raise UsageError(
        f"{shown(file)} is neither a lock nor a plan",
        hint="Compare files of lockfiles/, or what `ssds plan --json` or `--out` wrote.",
        code="E143",
    )


def compared(old: Side, new: Side) -> Compared:
    """Returns the differences.

    Raises:
        UsageError: E143 one is neither a lock nor a plan; E145 a plan cannot be read.
        Refused: E144 they are of two kinds, or locks of two recipes; or nothing is there.
        InputError: a lock is not sound, with every diagnostic.
    """
    kinds = (old.kind, new.kind)
    kind = kinds[0] or kinds[1]
    if not kind:
        raise Refused(
            f"neither {shown(old.name)} nor {shown(new.name)} is there",
            hint="Give two files that are there.",
            code="E144",
        )
    if all(kinds) and kinds[0] != kinds[1]:
        raise Refused(
            f"{shown(old.name)} is a {kinds[0]}, and {shown(new.name)} is a {kinds[1]}",
            hint="Compare two locks of one recipe or data set, two catalog locks, or two plans.",
            code="E144",
        )
    if kind == PLAN:
        rows = [_rows(one) if one.data is not None else () for one in (old, new)]
        return Compared(kind=kind, changes=compare(*rows))
    locks = {SHARED: _shared, DATA: _data}.get(kind, _release)
    return Compared(kind=kind, changes=locks(old, new))


def _shared(old: Side, new: Side) -> tuple[LockChange, ...]:
    collector = Collector()
    sides = [
        parse_catalog_lock_bytes(one.data, one.file, collector) if one.data is not None else None
        for one in (old, new)
    ]
    collector.raise_if_failed()
    return diff_catalog(*(one or CatalogLock() for one in sides))


def _release(old: Side, new: Side) -> tuple[LockChange, ...]:
    collector = Collector()
    before, after = (
        parse_lock_bytes(one.data, one.file, collector) if one.data is not None else None
        for one in (old, new)
    )
    collector.raise_if_failed()
    if before and after and before.name != after.name:
        raise Refused(
            f"{before.name} and {after.name} are different software",
            hint="Compare two locks of one recipe.",
            code="E144",
        )
    return diff(before, after)


def _data(old: Side, new: Side) -> tuple[LockChange, ...]:
    from ssds.lock.data import parse_data_lock_bytes
    from ssds.lock.data_merge import diff_data

    collector = Collector()
    before, after = (
        parse_data_lock_bytes(one.data, one.file, collector) if one.data is not None else None
        for one in (old, new)
    )
    collector.raise_if_failed()
    if before and after and before.id.name != after.id.name:
        raise Refused(
            f"{before.id.name} and {after.id.name} are different data sets",
            hint="Compare two locks of one data set.",
            code="E144",
        )
    return diff_data(before, after)


def _rows(plan: Side) -> Sequence[PlanRow]:
    """Returns the rows of a plan file: as printed with ``--json``, or as saved."""
    assert plan.data is not None
    name = shown(plan.name)
    if len(plan.data) > LIMIT_BYTES:
        _bad_plan(name, f"it has more than {LIMIT_BYTES >> 20} MiB")
    try:
        value: Any = json.loads(plan.data)
    except (ValueError, RecursionError) as error:
        _bad_plan(name, f"it is not JSON: {str(error)[:100]}")
    if isinstance(value, Mapping) and "format" in value:
        return _saved(plan.data, name)
    if not str(value["format_version"]).startswith("1."):
        _bad_plan(name, f"its format is {shown(str(value['format_version'])[:20])}, not 1.x")
    steps = value.get("steps")
    if not isinstance(steps, list) or len(steps) > _STEPS_AT_MOST:
        _bad_plan(name, "its steps are not a list")
    return [_row(name, number, step) for number, step in enumerate(steps)]


def _row(name: str, number: int, step: object) -> PlanRow:
    given = step if isinstance(step, Mapping) else {}
    texts = [given.get(key) for key in ("node", "platform", "verb", "reason_code", "reason")]
    marks = given.get("marks")
    if not all(isinstance(text, str) for text in texts) or not (
        isinstance(marks, list) and all(isinstance(mark, str) for mark in marks)
    ):
        _bad_plan(name, f"steps[{number}] is no step of a plan")
    node, platform, verb, code, text = (str(text) for text in texts)
    return PlanRow(
        node=node, platform=platform, verb=verb, code=code, text=text, marks=tuple(marks)
    )


def _saved(data: bytes, name: str) -> Sequence[PlanRow]:
    from ssds.saved.read import parse_saved

    saved, _ = parse_saved(data, name)
    rows = [*(step.row for step in saved.steps), *(entry.row for entry in saved.rows)]
    return [
        PlanRow(
            node=row.node,
            platform=row.platform,
            verb=row.verb.word,
            code=row.reason,
            text=row.text,
            marks=row.marks,
        )
        for row in rows
    ]


def _bad_plan(name: str, why: str) -> NoReturn:
    raise UsageError(
        f"{name} is not a plan that can be read: {why}",
        hint="Write it again: `ssds plan --json > FILE`, or `ssds plan --out FILE`.",
        code="E145",
    )
