"""``plan --since``: what lies between two revisions of the catalog, with the verbs of the plan now.

The older revision (and the newer one, where both are named) is read out of git into a folder below
``.ssds``; the user's index and tree are not touched. Only what differs is told: what is to run on
both sides is not the change's doing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ssds.cli import planning
from ssds.cli.planning import Asked
from ssds.cli.reasons import Places, told
from ssds.cli.releases import select
from ssds.cli.wishes import make_wishes
from ssds.core.canonical import Json
from ssds.core.diagnostics import Diagnostic
from ssds.core.errors import InputError, SsdsError, UsageError
from ssds.core.model import Claim, ReleaseName
from ssds.delivery import Row, found_by_plan, lock_rows
from ssds.graph.between import Between, Renewed, compare
from ssds.graph.compile import Graph
from ssds.graph.plan import Facts, Plan, Verb, make_plan
from ssds.host.files import atomic_write
from ssds.host.git import head_of
from ssds.host.revisions import (
    Revision,
    find_revision,
    read_file_at,
    scratch,
    write_out,
)
from ssds.recipe.settings import SETTINGS_FILE, read_settings
from ssds.workspace import LOCK_FOLDER, Workspace

FORMAT_VERSION = "1.0"
_SETTINGS_LIMIT_BYTES = 1 << 20
_PLACED_AT_MOST = 500
_ORDER = (Verb.HELD, Verb.REMOVE, Verb.RUN, Verb.UNKNOWN, Verb.WAIT, Verb.REUSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two sides.

    Attributes:
        name: what the user called it; empty for the working tree.
        commit: the full id; of the working tree the one that is checked out, or empty.
    """

    name: str
    commit: str
    dirty: bool = False

    def __str__(self) -> str:
        short = self.commit[:12]
        if not self.name:
            return "the working tree"
        return self.name if self.name.startswith(short) else f"{self.name} ({short})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """What lies between.

    Attributes:
        recipes: release → ``added``, ``changed`` or ``removed``; sorted.
        unchanged: how many releases are the same.
        rows: irreversible first, then held, then by verb.
        owners: row → the release that it belongs to; shared nodes have none.
        gone: labels of nodes that are no more.
    """

    base: Side
    head: Side
    recipes: Mapping[str, str]
    unchanged: int
    rows: tuple[Row, ...]
    gone: tuple[str, ...]
    owners: Mapping[Row, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def count(self, verb: Verb) -> int:
        """How many rows have that verb."""
        return sum(1 for row in self.rows if row.verb is verb)

    def recipe_count(self, word: str) -> int:
        """How many releases were added, changed or removed."""
        return sum(1 for found in self.recipes.values() if found == word)

    @property
    def summary(self) -> dict[str, int]:
        """The counts by verb and mark; ``reuse`` has a new key and is built already."""
        counts = {verb.word: self.count(verb) for verb in Verb}
        for mark in ("irreversible", "impure"):
            counts[mark] = sum(
                1 for row in self.rows if mark in row.marks and row.verb is not Verb.REUSE
            )
        return counts

    @property
    def exit_code(self) -> int:
        """For ``--detailed-exitcode``: 0 nothing to do, 2 something can run, 3 it is held."""
        if any(self.count(verb) for verb in (Verb.RUN, Verb.UNKNOWN, Verb.REMOVE)):
            return 2
        return 3 if self.count(Verb.HELD) else 0

    def to_dict(self) -> dict[str, Json]:
        """Returns the one JSON object of ``plan --since --json``."""
        named = {w: [n for n, v in self.recipes.items() if v == w] for w in _WORDS}
        return {
            "format_version": FORMAT_VERSION,
            "base": {"revision": self.base.name, "commit": self.base.commit},
            "head": {
                "revision": self.head.name,
                "commit": self.head.commit,
                "dirty": self.head.dirty,
            },
            "recipes": {**named, "unchanged": self.unchanged},
            "summary": dict(self.summary),
            "steps": [row.to_dict() for row in self.rows],
            "gone": list(self.gone),
            "notes": list(self.notes),
        }


_WORDS = ("added", "changed", "removed")


def since(workspace: Workspace, asked: Asked, text: str) -> Since:
    """Returns what lies between the revision in ``text`` and the working tree.

    Args:
        text: ``REV``, or ``REV..REV2``; ``REV...`` stands for where REV was left.

    Raises:
        UsageError: E130 to E132, there is no such revision of this workspace.
        InputError: recipes or locks are broken there; places are named ``REV:path``.
    """
    older, newer = _sides(text)
    with contextlib.ExitStack() as stack:
        folder = os.path.join(workspace.state_folder, "since")
        base = find_revision(workspace.root, older)
        before = stack.enter_context(_at(workspace, base, folder))
        after, head = workspace, None
        if newer:
            head = find_revision(workspace.root, newer)
            after = stack.enter_context(_at(workspace, head, folder))
        with _named(base.name):
            old = _Compiled.of(before, asked)
        with _named(head.name if head else ""):
            planned = planning.make(after, asked)
        return _Joining(before, after, old, planned, asked).since(
            _side(workspace, base), _side(workspace, head)
        )


def _sides(text: str) -> tuple[str, str]:
    """Returns older and newer revision; the empty string stands for the working tree."""
    ours, dots, theirs = text.partition("...")
    if dots:
        return text, theirs
    ours, dots, theirs = text.partition("..")
    return ours, (theirs or "HEAD") if dots else ""


def _side(workspace: Workspace, revision: Revision | None) -> Side:
    if revision is not None:
        return Side(name=revision.name, commit=revision.commit)
    head = head_of(workspace.root, (workspace.settings.catalog, LOCK_FOLDER, SETTINGS_FILE))
    return Side(name="", commit=head.commit, dirty=head.dirty)


@contextlib.contextmanager
def _at(workspace: Workspace, revision: Revision, folder: str) -> Iterator[Workspace]:
    """Gives the workspace as it was at a revision, with the store and settings of this one."""
    data = read_file_at(revision, SETTINGS_FILE, _SETTINGS_LIMIT_BYTES)
    if data is None:
        raise UsageError(
            f"there is no {SETTINGS_FILE} at {revision.name}: the workspace did not exist there",
            hint="Name a later revision.",
            code="E132",
        )
    with scratch(folder) as own:
        first = os.path.join(own, "settings")
        atomic_write(os.path.join(first, SETTINGS_FILE), data, point="since")
        with _named(revision.name):
            catalog = read_settings(first, {"SSDS_USER_SETTINGS": os.devnull}).catalog
        root = write_out(revision, (SETTINGS_FILE, catalog, LOCK_FOLDER), own)
        found = Workspace(root=root, settings=replace(workspace.settings, catalog=catalog))
        observed = os.path.join(workspace.state_folder, "observed")
        if os.path.isdir(observed):
            shutil.copytree(observed, os.path.join(found.state_folder, "observed"))
        if workspace.store_if_there is not None:
            # Opened on its own, the store would list the scratch folder as a workspace.
            found.opened[found.store_path] = workspace.store
        yield found


@contextlib.contextmanager
def _named(revision: str) -> Iterator[None]:
    """Makes errors say at which revision they stand, as git writes it: ``REV:path``."""
    try:
        yield
    except InputError as error:
        if not revision:
            raise
        found = [
            replace(d, span=replace(d.span, path=f"{revision}:{d.span.path}"))
            for d in error.diagnostics
            if isinstance(d, Diagnostic)
        ]
        raise InputError(found) from error
    except SsdsError as error:
        if not revision:
            raise
        error.args = (f"at {revision}: {error.message}",)
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compiled:
    """The older side: its graph, and the facts that its locks give."""

    graph: Graph
    facts: Facts

    @classmethod
    def of(cls, workspace: Workspace, asked: Asked) -> _Compiled:
        from ssds.cli.wishes import parse_date

        return cls(graph=workspace.graph(parse_date(asked.as_of)), facts=workspace.facts())


class _Joining:
    """Joins both sides to what is told."""

    def __init__(
        self,
        before: Workspace,
        after: Workspace,
        old: _Compiled,
        planned: planning.Planned,
        asked: Asked,
    ) -> None:
        self.before, self.after, self.old, self.planned = before, after, old, planned
        names = {*old.graph.releases, *planned.graph.releases}
        chosen = dict.fromkeys(sorted(names))
        self.names = select(chosen, _owners(asked.selectors)) if asked.selectors else names
        wishes = make_wishes(
            planned.graph,
            selectors=(),
            platforms=asked.platforms or after.settings.platforms,
            fetch=False,
            rerun=(),
            retry=False,
        )
        facts = _joined(planned.facts, old.facts)
        self.plan_before = make_plan(old.graph, facts, wishes)
        self.plan_after = make_plan(planned.graph, facts, wishes)
        self.between = self._selected(compare(self.plan_before, self.plan_after))
        self.places = Places(after, blames=0, limit_s=0.0)

    def _selected(self, found: Between) -> Between:
        """Leaves out what the selectors do not name."""
        steps = self.planned.plan.steps
        kept = {n: r for n, r in found.renewed.items() if n in steps}
        owners = {str(name) for name in self.names}
        gone = tuple(n for n in found.gone if n.owner in owners or n.kind in ("source", "base"))
        return replace(found, renewed=kept, gone=gone)

    def since(self, base: Side, head: Side) -> Since:
        rows, owners = self._rows()
        recipes = self._recipes()
        marked = {id(row): "irreversible" not in row.marks for row in rows}
        rows.sort(key=lambda row: (marked[id(row)], _ORDER.index(row.verb)))
        return Since(
            base=base,
            head=head,
            recipes={str(name): word for name, word in sorted(recipes.items())},
            unchanged=len(self.names) - len(recipes),
            rows=tuple(rows),
            gone=tuple(name.label for name in self.between.gone),
            owners=owners,
            notes=self.planned.delivery.notes,
        )

    def _recipes(self) -> dict[ReleaseName, str]:
        """Returns the releases that differ."""
        old, new = self.old.graph.releases, self.planned.graph.releases
        gone, renewed = set(self.between.gone), self.between.renewed
        found = {}
        for name in self.names:
            if name not in old:
                found[name] = "added"
            elif name not in new:
                found[name] = "removed"
            elif any(n in renewed for n in new[name]) or any(n in gone for n in old[name]):
                found[name] = "changed"
        return found

    def _rows(self) -> tuple[list[Row], dict[Row, str]]:
        releases = {node: n for n, nodes in self.planned.graph.releases.items() for node in nodes}
        rows: list[Row] = []
        owners: dict[Row, str] = {}
        by_id = {step.node.id: step for step in self.planned.plan.steps.values()}
        for number, (name, renewed) in enumerate(self.between.renewed.items()):
            step = by_id[name]
            row = Row(
                node=str(name),
                kind=name.kind,
                platform=name.platform,
                verb=step.verb,
                reason="new" if renewed.new else "changed" if renewed.changes else "input",
                text=self._why(renewed, placed=number < _PLACED_AT_MOST),
                marks=tuple(sorted(step.node.marks)),
            )
            rows.append(row)
            if name in releases:
                owners[row] = str(releases[name])
        for row, owner in self._other_rows():
            rows.append(row)
            owners[row] = owner
        return rows, owners

    def _why(self, renewed: Renewed, *, placed: bool) -> str:
        step = self.planned.plan.steps[renewed.node]
        blocked = step.verb in (Verb.HELD, Verb.WAIT) or step.reason == "unlocked"
        also = f"; {step.text}" if blocked else ""
        if renewed.new:
            return f"new{also}"
        if not renewed.changes:
            first = renewed.follows[0].label if renewed.follows else "its inputs"
            more = f" and {len(renewed.follows) - 1} more" if len(renewed.follows) > 1 else ""
            return f"follows from {first}{more}{also}"
        change = renewed.changes[0]
        more = f" and {len(renewed.changes) - 1} more" if len(renewed.changes) > 1 else ""
        if not placed:
            return f"changed: {change.address or change.path}{more}{also}"
        return f"changed: {told(self.places.spot(step, change), change)}{more}{also}"

    def _other_rows(self) -> Iterator[tuple[Row, str]]:
        """Gives the rows of locks and channels that the older side does not have."""
        before = {(row.node, row.verb, row.text) for row in self._old_lock_rows()}
        renewed = {n.owner for n in self.between.renewed}
        moved = {str(n) for n in self.names if self._lock_differs(n)}
        owners = {str(name) for name in self.names}
        for row in self.planned.delivery.rows:
            owner = row.node.rpartition(":")[0]
            if owner not in owners:
                continue
            if row.kind == "lock":
                if row.verb is Verb.UNKNOWN and owner not in renewed:
                    continue
                if row.verb is Verb.UNKNOWN or (row.node, row.verb, row.text) not in before:
                    yield row, owner
            elif row.kind == "push" and owner in moved:
                yield row, owner

    def _old_lock_rows(self) -> list[Row]:
        plan: Plan = self.plan_before
        found = found_by_plan(plan, self.before.read_blob)
        catalog, locks = self.before.catalog, self.before.locks
        return lock_rows(self.old.graph, catalog, plan, locks, found, whole=True)

    def _lock_differs(self, name: ReleaseName) -> bool:
        old, new = (w.locks.get(name).variant(name) for w in (self.before, self.after))
        return old.index != new.index or old.metadata != new.metadata


def _owners(selectors: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.partition(":")[0] for text in selectors))


def _joined(first: Facts, second: Facts) -> Facts:
    """Returns the facts of both sides: a claim that a lock of one side has counts for both."""

    def claims(key: Any) -> tuple[Claim, ...]:
        return (*first.claims(key), *second.claims(key))

    return replace(first, claims=claims, sizes={**second.sizes, **first.sizes})


def label_of(row: Row) -> str:
    """Returns a row's node with its platform."""
    return f"{row.node} [{row.platform}]" if row.platform else row.node
