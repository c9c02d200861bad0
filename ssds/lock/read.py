"""Reading lock files: limits first, then JSON, then sense; all problems collected."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection
from typing import TypeVar

from ssds.core.diagnostics import Collector, Diagnostic, Severity, Span
from ssds.core.patterns import pattern
from ssds.host.reading import read_open
from ssds.lock.check import Checker, Fault
from ssds.lock.codes import CODES
from ssds.lock.marks import DEPTH_LIMIT, Marks, address, line_column, marks_of
from ssds.lock.model import CatalogLock, Lock, Locks
from ssds.lock.parse import parse_catalog_lock, parse_lock
from ssds.lock.quick import quick_catalog_lock, quick_lock
from ssds.lock.quick_pins import Known

SIZE_LIMIT_BYTES = 16 * 1024 * 1024
CATALOG_LOCK = "catalog.lock.json"
SUFFIX = ".lock.json"
DATA_FOLDER = "data"
_FEW = 16
_CONFLICT = pattern(r"^(?:<<<<<<< |=======$|>>>>>>> )", re.MULTILINE)
_HUGE = pattern(r"(?<![\w.\"+-])-?\d{19,}")
_FLOAT = pattern(r"[:\[,]\s*(-?\d+(?:\.\d+(?:[eE][-+]?\d+)?|[eE][-+]?\d+)|NaN|-?Infinity)")

T = TypeVar("T")


class _BadError(Exception):
    def __init__(self, code: str, found: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.found = found


def diagnostic(
    code: str,
    path: str,
    place: tuple[int, int] = (0, 0),
    *,
    at: str = "",
    facts: tuple[tuple[str, str], ...] = (),
    **more: str,
) -> Diagnostic:
    """Returns the diagnostic of a lock code at a line and column."""
    summary, hint = CODES[code]
    return Diagnostic(
        code=code,
        summary=summary,
        span=Span(path=path, line=place[0], column=place[1]),
        address=at,
        facts=(*facts, *more.items()),
        hint=hint.replace("FILE", path),
        severity=Severity.WARNING if code == "L027" else Severity.ERROR,
    )


def parse_bytes(
    data: bytes, path: str, parse: Callable[[Checker, object], T], collector: Collector
) -> T | None:
    """Returns what ``parse`` makes of lock bytes, or None with the problems in ``collector``."""
    if len(data) > SIZE_LIMIT_BYTES:
        collector.add(diagnostic("L002", path, limit=f"{SIZE_LIMIT_BYTES} bytes"))
        return None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        collector.add(diagnostic("L003", path, (line, column), found=error.reason))
        return None
    value = _json(text, path, collector)
    if value is None:
        return None
    checker = Checker()
    result = parse(checker, value)
    if not checker.faults:
        return result
    report(checker.faults, text, path, collector)
    return None


def report(faults: list[Fault], text: str, path: str, collector: Collector) -> None:
    """Adds a diagnostic with line and column for each fault."""
    marks = marks_of(text)
    for fault in faults:
        where = marks.place(fault.path)
        at = address(fault.path)
        collector.add(diagnostic(fault.code, path, where, at=at, facts=fault.facts))


def _json(text: str, path: str, collector: Collector) -> object | None:
    try:
        return _wrapped(
            json.loads(
                text,
                object_pairs_hook=_pairs,
                parse_int=_integer,
                parse_float=_no_float,
                parse_constant=_no_float,
            )
        )
    except _BadError as error:
        collector.add(_explain(error, text, path))
    except RecursionError:
        collector.add(_explain(_BadError("L007"), text, path))
    except json.JSONDecodeError as error:
        place = (error.lineno, error.colno)
        if text.startswith("\ufeff"):
            collector.add(diagnostic("L003", path, (1, 1), found="a byte order mark"))
        elif conflict := _CONFLICT.search(text):
            collector.add(diagnostic("L021", path, line_column(text, conflict.start())))
        else:
            end = error.pos >= len(text.rstrip())
            found = "the file ends too early" if end else error.msg
            collector.add(diagnostic("L004", path, place, found=found))
    return None


def _wrapped(value: object) -> object:
    return "null" if value is None else value  # a bare null is no lock either


def _explain(error: _BadError, text: str, path: str) -> Diagnostic:
    marks: Marks = marks_of(text)
    if error.code == "L005" and marks.doubles:
        where, offset = marks.doubles[0]
        place = line_column(text, offset)
        return diagnostic("L005", path, place, at=address(where), key=str(where[-1]))
    if error.code == "L007":
        limit = f"{DEPTH_LIMIT} levels"
        return diagnostic("L007", path, line_column(text, max(0, marks.too_deep)), limit=limit)
    pattern = _HUGE if error.code == "L008" else _FLOAT
    match = pattern.search(text)
    place = line_column(text, match.start(match.lastindex or 0)) if match else (1, 1)
    return diagnostic(error.code, path, place, found=error.found[:40])


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _BadError("L005")
    return found


def _integer(text: str) -> int:
    if len(text) > 18 and (len(text) > 20 or not -(2**63) <= int(text) < 2**63):
        raise _BadError("L008", text)
    return int(text)


def _no_float(text: str) -> object:
    raise _BadError("L006", text)


def parse_lock_bytes(
    data: bytes, path: str, collector: Collector, known: Known | None = None
) -> Lock | None:
    """Returns the lock in ``data``; None with diagnostics where it is wrong.

    ``known`` keeps what it has in common with others that are read.
    """
    quick = quick_lock(data, known) if len(data) <= SIZE_LIMIT_BYTES else None
    if quick is not None and os.path.basename(path) == quick.file_name:
        return quick

    def parse(checker: Checker, value: object) -> Lock:
        lock = parse_lock(checker, value)
        name = os.path.basename(path)
        if not checker.faults and name.endswith(SUFFIX) and name != lock.file_name:
            checker.fault("L016", ("name",), file=name, expected=lock.file_name)
        return lock

    return parse_bytes(data, path, parse, collector)


def parse_catalog_lock_bytes(data: bytes, path: str, collector: Collector) -> CatalogLock | None:
    """Returns the catalog lock in ``data``; None with diagnostics where it is wrong."""
    quick = quick_catalog_lock(data) if len(data) <= SIZE_LIMIT_BYTES else None
    return quick or parse_bytes(data, path, parse_catalog_lock, collector)


def read_bytes(path: str, shown: str, collector: Collector) -> bytes | None:
    """Returns the bytes of a lock file, None where there is none or it cannot be read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            return read_open(handle, SIZE_LIMIT_BYTES)
        finally:
            os.close(handle)
    except FileNotFoundError:
        return None
    except OSError as error:
        collector.add(diagnostic("L001", shown, found=os.strerror(error.errno or 0)))
        return None


def read_marks(path: str) -> Marks:
    """Returns where things stand in a lock file; nothing of one that cannot be read."""
    data = read_bytes(path, path, Collector()) or b""
    return marks_of(data.decode("utf-8", "replace"))


def read_lock(path: str, *, shown: str = "") -> Lock | None:
    """Returns the lock at ``path``, or None where there is no file.

    Raises:
        InputError: with every diagnostic; ``shown`` is the path that people see.
    """
    collector = Collector()
    data = read_bytes(path, shown or path, collector)
    lock = None if data is None else parse_lock_bytes(data, shown or path, collector)
    collector.raise_if_failed()
    return lock


def read_catalog_lock(path: str, *, shown: str = "") -> CatalogLock:
    """Returns the shared pins at ``path``, empty where there is no file; raises InputError."""
    collector = Collector()
    data = read_bytes(path, shown or path, collector)
    lock = None if data is None else parse_catalog_lock_bytes(data, shown or path, collector)
    collector.raise_if_failed()
    return lock or CatalogLock()


def read_locks(
    folder: str,
    *,
    shown: str = "lockfiles",
    collector: Collector,
    only: Collection[str] | None = None,
) -> Locks:
    """Returns all locks of ``folder`` that are sound; problems of the others are collected.

    A missing folder gives no locks. ``shown`` is the folder's name in diagnostics. With ``only``
    just the locks of recipes of these names are read, and the shared one.
    """
    releases: dict[tuple[str, str], Lock] = {}
    paths: dict[tuple[str, str], str] = {}
    catalog, known = CatalogLock(), Known()
    names = _names(folder, shown, collector)
    if only is not None:
        if len(only) <= _FEW:  # most of many thousand names are left out at once
            begins = (*(f"{name}@" for name in only), *only, CATALOG_LOCK)
            names = [n for n in names if n.startswith(begins)]
        names = [n for n in names if n.partition("@")[0] in only or n == CATALOG_LOCK]
    for name in sorted(names):
        path, seen = os.path.join(folder, name), f"{shown}/{name}"
        if not name.endswith(SUFFIX):
            if not name.startswith(".") and name != DATA_FOLDER:
                collector.add(diagnostic("L027", seen))
            continue
        data = read_bytes(path, seen, collector)
        if data is None:
            continue
        if name == CATALOG_LOCK:
            catalog = parse_catalog_lock_bytes(data, seen, collector) or catalog
        elif lock := parse_lock_bytes(data, seen, collector, known):
            releases[lock.name, lock.version] = lock
            paths[lock.name, lock.version] = seen
    locks = Locks(releases=releases, catalog=catalog, paths=paths)
    if not collector.failed:
        collector.extend(cross_check(locks))
    return locks


def _names(folder: str, shown: str, collector: Collector) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        collector.add(diagnostic("L001", shown, found=os.strerror(error.errno or 0)))
        return []


def cross_check(locks: Locks) -> list[Diagnostic]:
    """Returns what is wrong between files: missing shared pins (C8), equal tag texts (C12)."""
    found: list[Diagnostic] = []
    tags: dict[tuple[str, str], str] = {}
    shared = locks.catalog.pins
    for key, lock in sorted(locks.releases.items()):
        path = locks.paths[key]
        for name, variant in sorted(lock.variants.items()):
            release = lock.release_name(name)
            other = tags.setdefault((lock.name, release.tag), str(release))
            if other != str(release):
                facts = (("tag", release.tag), ("first", other), ("second", str(release)))
                found.append(diagnostic("L023", path, facts=facts))
            for platform, section in sorted(variant.platforms.items()):
                at = f"variants.{name or 'default'}.platforms.{platform}.pins"
                base, advisories = section.pins.base, section.pins.advisories
                if base and (base, platform.baseline) not in shared.bases:
                    found.append(diagnostic("L022", path, at=f"{at}.base", missing=base))
                if advisories and advisories not in shared.advisories:
                    found.append(diagnostic("L022", path, at=at, missing=advisories))
    return found
