"""``plan --out``: saves a plan, and remembers that it was saved (a saved plan is a gc root, C21).

``.ssds/plans/<id>.json`` says where the file is, which bytes its steps need, and what an apply of
it has run again on request. It is a note only: without it the plan is applied all the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ssds.cli import channels
from ssds.cli.planning import Asked, Planned
from ssds.core.canonical import canonical_bytes
from ssds.core.digest import Digest
from ssds.core.errors import SsdsError
from ssds.core.model import ReleaseName
from ssds.graph.plan import needs_bytes
from ssds.host.files import atomic_write, remove_file
from ssds.host.git import head_of
from ssds.recipe.settings import SETTINGS_FILE
from ssds.saved.make import make_saved
from ssds.saved.model import ChannelState, Made, Options, SavedPlan
from ssds.saved.read import SIZE_LIMIT_BYTES, encoded, write_saved
from ssds.version import VERSION
from ssds.workspace import LOCK_FOLDER, Workspace

_NOTE_LIMIT_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What a workspace remembers of a saved plan.

    Attributes:
        path: where the file was, absolute.
        needs: digests that its steps take.
        finished: labels of nodes that an apply of it has run again on request.
    """

    path: str
    needs: frozenset[Digest] = frozenset()
    finished: frozenset[str] = field(default_factory=frozenset)


def save(
    workspace: Workspace, planned: Planned, asked: Asked, path: str, *, full: bool = False
) -> tuple[SavedPlan, Digest]:
    """Writes the plan to ``path``; returns it and its id."""
    saved = saved_of(workspace, planned, asked, full=full)
    plan_id, data = encoded(saved)
    with contextlib.suppress(SsdsError, OSError):  # a read-only workspace: then it is no root
        _forget_lost(workspace)
        note = Note(path=os.path.abspath(path), needs=frozenset(_needs(planned)))
        write_note(workspace, plan_id, note)  # first: a plan without a note would be no root
    write_saved(path, data)
    return saved, plan_id


def saved_of(
    workspace: Workspace, planned: Planned, asked: Asked, *, full: bool = False
) -> SavedPlan:
    """Returns the plan as it would be saved now."""
    head = head_of(workspace.root, (workspace.settings.catalog, LOCK_FOLDER, SETTINGS_FILE))
    platforms = asked.platforms or tuple(str(p) for p in workspace.settings.platforms)
    pairs = channels.states(workspace, _pushed(workspace, planned))
    return make_saved(
        planned.delivery,
        workspace.locks,
        made=Made(
            at=int(time.time()),
            ssds=VERSION,
            workspace=os.path.basename(workspace.root),
            catalog=workspace.settings.catalog,
            commit=head.commit,
            dirty=head.dirty,
        ),
        as_of=planned.as_of.isoformat(),
        options=Options(
            selectors=asked.selectors,
            platforms=platforms,
            as_of=asked.as_of,
            fetch=asked.fetch,
            rerun=asked.rerun,
            retry=asked.retry,
        ),
        releases=workspace.catalog.releases,
        channels=tuple(
            ChannelState(channel=channel, release=name, observed=digest)
            for (channel, name), digest in sorted(pairs.items())
        ),
        full=full,
    )


def _pushed(workspace: Workspace, planned: Planned) -> list[ReleaseName]:
    """Returns the releases that apply may push: those with a row of a lock or a channel."""
    rows = planned.delivery.rows
    owners = {row.node.rpartition(":")[0] for row in rows if row.kind in ("lock", "push")}
    return [name for name in workspace.catalog.releases if str(name) in owners]


def _needs(planned: Planned) -> Iterator[Digest]:
    """Gives the digests, known now, whose bytes the plan's steps take."""
    steps = planned.plan.steps
    for step in steps.values():
        for item in step.node.inputs if step.runs else ():
            if item.node is None:
                continue
            digest = steps[item.node].outputs.get(item.output)
            if digest is not None and needs_bytes(step.node, item.role, digest, planned.facts):
                yield digest


def _folder(workspace: Workspace) -> str:
    return os.path.join(workspace.state_folder, "plans")


def _note_path(workspace: Workspace, plan_id: Digest) -> str:
    return os.path.join(_folder(workspace), f"{plan_id.hex}.json")


def write_note(workspace: Workspace, plan_id: Digest, note: Note) -> None:
    """Remembers a saved plan."""
    data = canonical_bytes(
        {
            "path": note.path,
            "needs": sorted(str(digest) for digest in note.needs),
            "finished": sorted(note.finished),
        }
    )
    atomic_write(_note_path(workspace, plan_id), data, point="plan-note")


def read_note(workspace: Workspace, plan_id: Digest) -> Note | None:
    """Returns what is remembered of a saved plan; None where there is nothing to be used."""
    try:
        with open(_note_path(workspace, plan_id), "rb") as file:
            found = json.loads(file.read(_NOTE_LIMIT_BYTES))
        return Note(
            path=str(found["path"]),
            needs=frozenset(Digest(str(d)) for d in found["needs"]),
            finished=frozenset(str(label) for label in found["finished"]),
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def note_finished(workspace: Workspace, plan_id: Digest, path: str, labels: Iterable[str]) -> None:
    """Remembers which nodes an apply of the plan in ``path`` has run again on request."""
    known = read_note(workspace, plan_id) or Note(path="")
    finished = known.finished | frozenset(labels)
    note = Note(path=os.path.abspath(path), needs=known.needs, finished=finished)
    with contextlib.suppress(SsdsError, OSError):
        write_note(workspace, plan_id, note)


def notes(workspace: Workspace) -> dict[Digest, Note]:
    """Returns what is remembered of every plan whose file is still where it was."""
    return {i: note for i, note in _all_notes(workspace).items() if _there(i, note)}


def _all_notes(workspace: Workspace) -> Mapping[Digest, Note]:
    found = {}
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(_folder(workspace))):
            try:
                plan_id = Digest(f"blake3:{name.removesuffix('.json')}")
            except SsdsError:
                continue
            note = read_note(workspace, plan_id)
            if note is not None:
                found[plan_id] = note
    return found


def _there(plan_id: Digest, note: Note) -> bool:
    try:
        with open(note.path, "rb") as file:
            return str(plan_id).encode() in file.read(SIZE_LIMIT_BYTES)
    except (OSError, ValueError):
        return False


def _forget_lost(workspace: Workspace) -> None:
    """Removes the notes of plans whose file is gone."""
    for plan_id, note in _all_notes(workspace).items():
        if not _there(plan_id, note):
            remove_file(_note_path(workspace, plan_id), point="plan-note")


def plan_roots(workspace: Workspace) -> dict[Digest, str]:
    """Returns digest → reason for what saved plans need (C21)."""
    return {
        digest: f"needed by the saved plan {os.path.basename(note.path)}"
        for note in notes(workspace).values()
        for digest in note.needs
    }
