"""Joining and comparing locks of reference data sets."""

from __future__ import annotations

from collections.abc import Iterator

from ssds.core.canonical import Json, canonical_text
from ssds.core.errors import Refused
from ssds.lock.data import DataLock, MadeSet, data_lock_bytes, read_data_lock
from ssds.lock.diff import LockChange, claim_changes, one_change
from ssds.lock.merge import Conflicts, joined_claim, optional, side


def merge_data(base: DataLock | None, ours: DataLock, theirs: DataLock) -> DataLock:
    """Returns both locks joined; ``base`` is their common ancestor, if there is one.

    A claim that both sides have anew, with other outputs, is dropped; so is the set then, and the
    next apply makes it.

    Raises:
        Refused: they are of different sets, or changed one thing in two ways (each is named).
    """
    if ours.id != theirs.id:
        raise Refused(
            f"{ours.id} and {theirs.id} are different data sets",
            hint="Merge two states of one lock file.",
        )
    start = base or DataLock(id=ours.id)
    c = Conflicts()
    actions = {}
    for name in sorted({*ours.actions, *theirs.actions}):
        mine, other = ours.actions.get(name), theirs.actions.get(name)
        same = mine and other and mine.key == other.key and mine.same_outputs(other)
        found = mine if same else joined_claim(start.actions.get(name), mine, other)
        if found is not None:
            actions[name] = found
    joined = DataLock(
        id=ours.id,
        about=c.three(start.about, ours.about, theirs.about, "about"),
        environment=c.three(start.environment, ours.environment, theirs.environment, "environment"),
        loc=c.three(start.loc, ours.loc, theirs.loc, "loc"),
        sources=c.maps(start.sources, ours.sources, theirs.sources, "sources"),
        actions=actions,
        made=_made(actions["dataset"].outputs.get("set"), ours, theirs)
        if "dataset" in actions
        else None,
    )
    c.refuse()
    return joined


def _made(content: object, *sides: DataLock) -> MadeSet | None:
    """Returns what the side says of the set whose content it is."""
    found = (side.made for side in sides if side.made and side.made.content.digest == content)
    return next(found, None)


def merge_data_files(base: str, ours: str, theirs: str, *, name: str) -> bytes:
    """Returns the merged bytes of three lock files of a data set, as ``lock.merge.merge_files``."""
    start = optional(base, name, read_data_lock)
    mine, other = side(ours, name, read_data_lock), side(theirs, name, read_data_lock)
    return data_lock_bytes(merge_data(start, mine, other))


def diff_data(old: DataLock | None, new: DataLock | None) -> tuple[LockChange, ...]:
    """Returns the differences; None stands for "no lock"."""
    some = new or old
    if some is None:
        return ()
    before, after = (lock or DataLock(id=some.id) for lock in (old, new))
    return tuple(_changes(before, after, str(some.id)))


def _changes(old: DataLock, new: DataLock, at: str) -> Iterator[LockChange]:
    yield from one_change(f"{at} set", _set(old.made), _set(new.made))
    for what, before, after in (
        ("", old.about, new.about),
        ("environment ", old.environment, new.environment),
        ("loc ", old.loc, new.loc),
    ):
        for key in sorted({*before, *after}):
            yield from one_change(
                f"{at} {what}{key}", _text(before.get(key)), _text(after.get(key))
            )
    for name in sorted({*old.sources, *new.sources}):
        texts = (
            f"{pin.file.name} {pin.file.digest.short}" if (pin := side.sources.get(name)) else ""
            for side in (old, new)
        )
        yield from one_change(f"{at} source {name}", *texts)
    yield from claim_changes(old.actions, new.actions, at)


def _set(made: MadeSet | None) -> str:
    if made is None:
        return ""
    return f"{made.content.digest.short} ({made.files} files, {made.size_bytes / 2**20:.1f} MiB)"


def _text(value: Json | None) -> str:
    return value if isinstance(value, str) else "" if value is None else canonical_text(value)
