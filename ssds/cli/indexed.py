"""Plans with the index: what did not change since the last plan is not read, only counted.

The answer is that of a plan without it (a law that ``ssds selfcheck`` tries on your catalog).
Whatever the index cannot tell, from an error in a recipe to bytes that a channel offers, is left
to the whole plan.
"""

from __future__ import annotations

import json
import os

from ssds.cli import channels, planning
from ssds.cli.index_memory import BROKEN_SITES, DOUBTED, OPEN, TOLD, Memory
from ssds.core.errors import InputError, SsdsError
from ssds.core.memory import uncollected
from ssds.core.records import replace
from ssds.delivery import Delivery, lacking
from ssds.graph.index import keeping
from ssds.graph.index.changes import Changes
from ssds.graph.index.edit import Editor, Entry
from ssds.graph.index.entries import data_settled, describe, unit_of
from ssds.graph.index.hot import Glance
from ssds.graph.index.table import (
    DIGEST_BYTES,
    KEY_BYTES,
    SETTLED,
    WAIVERS,
)
from ssds.graph.plan import Plan, Verb
from ssds.lock.make import locked_claims
from ssds.lock.model import Locks
from ssds.recipe.homes import Home, home_with
from ssds.workspace import LOCK_FOLDER, Workspace

OFF = "SSDS_INDEX"
"""``SSDS_INDEX=off`` plans without the index and writes none."""

_FIXED_KINDS = ("source", "base")


@uncollected()
def deliver(
    workspace: Workspace,
    asked: planning.Asked,
    *,
    full: bool = False,
    glance: Glance | None = None,
) -> Delivery:
    """Returns the joint plan, with reused rows only if ``full``; keeps an index for the next one.

    Dates, ``--fetch``, ``--rerun``, ``--refresh`` are planned without the index. Where there are
    reference data sets it answers when nothing changed; otherwise everything is planned.

    Args:
        glance: what the shortest way saw a moment ago.
    """
    plain = replace(asked, platforms=(), retry=False, selectors=()) == planning.Asked()
    off = os.environ.get(OFF, "").lower() in ("off", "0", "no")
    if off or not plain or (workspace.has_data and asked.selectors):
        return planning.make(workspace, asked).delivery
    session = Session(workspace, replace(asked, selectors=()), glance=glance)
    if asked.selectors:
        return session.selected(asked)
    return session.deliver(full=full or workspace.has_data)


class Session(Memory):
    """One plan with the index."""

    def __init__(
        self,
        workspace: Workspace,
        asked: planning.Asked,
        path: str = "",
        *,
        glance: Glance | None = None,
    ) -> None:
        super().__init__(workspace, path, glance=glance)
        self.asked = asked

    def deliver(self, *, full: bool) -> Delivery:
        """Returns the plan, and writes the index where it changed."""
        changes = self.look() if self.open() else None
        self.note_ground()
        if full or changes is None or changes.ground or self.table.facts.get(BROKEN_SITES):
            return self.whole()
        try:
            return self.partly(changes) or self.whole()
        except InputError:
            return self.whole()  # it tells all problems of all files

    def selected(self, asked: planning.Asked) -> Delivery:
        """Returns the plan of what selectors name; of the other recipes only the changed are read.

        They are looked at first: whatever is wrong with one of them is an error here too.
        """
        changes = self.look() if self.open() else None
        self.note_ground()
        whole = replace(self.workspace, documents=self.documents)
        names = {unit_of(text.partition(":")[0]) for text in asked.selectors}
        try:
            known = changes is not None and not changes.ground and self.partly(changes) is not None
        except InputError:
            known = False
        known = known and not self.table.facts.get(BROKEN_SITES)  # the whole plan tells of them
        while known and names <= set(self.editor.numbers):
            part = whole.part(names)
            try:
                delivery = planning.make(part, asked).delivery
            except SsdsError:
                break  # the whole plan tells it, with all that the catalog knows
            read = {release.name for release in part.catalog.releases} | names
            more = self._claimants(delivery.plan) - read
            if not more and self._is_enough(delivery.plan, {}, set()):
                notes, _ = channels.notes(self.workspace, self.channels_in_use({}))
                notes += planning.cache_notes(self.workspace)
                return replace(delivery, notes=notes + self._told(names, part))
            if not more:
                break
            names |= more
        return planning.make(whole, asked).delivery

    def _data_settled(self, planned: planning.Planned) -> bool:
        """Whether the rows of the index tell all that the plan of data sets rests on."""
        files = keeping.data_files(self.workspace.root, self.homes[0].folder, LOCK_FOLDER)
        followed = any(os.fsencode(path) in self.notes.links for path in files)
        return not followed and data_settled(planned.graph, planned.plan)

    def _folders(self, home: Home) -> set[str]:
        """Returns the names of the folders of recipes in a home, as they were noted."""
        top = os.fsencode(home.folder) + b"/"
        names = {os.fsdecode(p[len(top) :]) for p in self.notes.folders if p.startswith(top)}
        return {n for n in names if "/" not in n and not n.startswith(".")} - home.reserved

    def whole(self) -> Delivery:
        """Returns the plan of the whole catalog, and remembers it anew."""
        for home in self.homes:
            self.notes.walk(home.folder)
        self.notes.walk(LOCK_FOLDER)
        self.editor = Editor()
        self.know_store()
        workspace = replace(self.workspace, documents=self.documents)
        planned = planning.make(workspace, self.asked)
        entries = self._described(planned, workspace)
        folders = {name for home in self.homes for name in self._folders(home)}
        locks = os.fsencode(LOCK_FOLDER) + b"/"
        files = (p[len(locks) :] for p in self.notes.seen if p.startswith(locks))
        self.put(workspace, entries, {*entries, *folders}, keeping.lock_files_of(files))
        self.put_ground(workspace)
        self.editor.know({TOLD: json.dumps(planning.told_texts(workspace.locks))})
        data = "" if self._data_settled(planned) else OPEN
        self.editor.know({"catalog": self.catalog, "code": keeping.code_digest(), "data": data})
        self.editor.know({DOUBTED: self.doubted()})
        self.write(planned.delivery, from_day=self.today)
        return planned.delivery

    def partly(self, changes: Changes) -> Delivery | None:
        """Returns the plan where only some recipes are looked at; None where that is not enough."""
        names = self._touched(changes)
        files = self.note_changed(changes.recipes, relisted=changes.relisted)
        entries: dict[str, Entry] = {}
        delivery = Delivery(plan=Plan(steps={}), rows=())
        part = self.workspace.part(())
        while names:
            part = replace(self.workspace, documents=self.documents).part(names)
            planned = planning.make(part, self.asked)
            delivery, entries = planned.delivery, self._described(planned, part)
            more = self._dependants(entries, names) | self._claimants(delivery.plan)
            if more <= {*entries, *names}:  # some may be gone: no entry ever
                break
            names |= more
        if not self._is_enough(delivery.plan, entries, names):
            return None
        delivery = self._completed(delivery, entries, names, part)
        self.put(part, {n: e for n, e in entries.items() if n in names}, changes.recipes, files)
        gone = [n for n in names if n not in entries and n not in changes.recipes]
        self.editor.drop(gone)
        if changes.other:
            self.put_ground(part)
        dated = any(entry.flags & WAIVERS for entry in entries.values())
        assert self.file is not None
        self.write(delivery, from_day=self.today if dated else self.file.head[0])
        return delivery

    def _completed(
        self, delivery: Delivery, entries: dict[str, Entry], names: set[str], part: Workspace
    ) -> Delivery:
        """Returns the plan with the results of the other recipes counted, and all notes."""
        table, numbers = self.table, self.editor.numbers
        inside = sorted({numbers[name] for name in {*entries, *names} if name in numbers})
        own = sum(table.own) - sum(table.own[number] for number in inside)
        others, start = set[int](), 0
        for number in inside:
            others.update(table.shared[start : table.shared_at[number]])
            start = table.shared_at[number + 1]
        others.update(table.shared[start:])
        planned = {node.label for node in delivery.plan.steps}
        shared = sum(1 for number in others if table.shared_names[number] not in planned)
        notes, _ = channels.notes(self.workspace, self.channels_in_use(entries))
        notes += planning.cache_notes(self.workspace) + self._told(names, part)
        return replace(delivery, rowless=delivery.rowless + own + shared, notes=notes)

    def _told(self, names: set[str], part: Workspace) -> tuple[str, ...]:
        """Returns what is to be told of releases, of ``names`` by their locks, and keeps it."""
        try:
            known = json.loads(self.table.facts.get(TOLD) or "{}")
            items = {str(r): str(text) for r, text in known.items()}
        except (ValueError, AttributeError, RecursionError):
            items = {}  # somebody else wrote the index
        texts = {r: text for r, text in items.items() if r.partition("@")[0] not in names}
        texts |= planning.told_texts(part.locks)
        self.editor.know({TOLD: json.dumps(texts)})
        return planning.told_notes(texts)

    def _touched(self, changes: Changes) -> set[str]:
        """Returns the recipes whose plan may be another one than before."""
        table, numbers = self.table, self.editor.numbers
        found = table.all_with(SETTLED, without=True)
        moved = {numbers[name] for name in changes.relocked if name in numbers}
        while moved:
            found |= moved
            moved = table.built_on(moved) - found
        assert self.file is not None
        first, until, _, _ = self.file.head
        if not first <= self.today < until:
            found |= table.all_with(WAIVERS)
        if changes.store or table.facts.get("store") != self.workspace.store_path:
            found |= self._reclaimed()
        return changes.recipes | {table.names[number] for number in found}

    def _reclaimed(self) -> set[int]:
        """Returns the recipes that use bases or sources which the store has new claims of."""
        table = self.table
        same = table.facts.get("store") == self.workspace.store_path
        known = int(table.facts.get("claims", "0")) if same else 0
        store = self.workspace.store_if_there
        if same and store and str(store.claims.generation()) == table.facts.get("generation"):
            return set()  # the file was written to, and no claim was (C4)
        _, keys = store.claims.since(known, _FIXED_KINDS) if store else (0, frozenset())
        self.know_store()
        new = {bytes.fromhex(key.hex) for key in keys}
        text = bytes(table.shared_keys)
        nodes = {
            at // DIGEST_BYTES
            for at in range(0, len(text), DIGEST_BYTES)
            if text[at : at + DIGEST_BYTES] in new
        }
        return table.users(nodes) if nodes else set()

    def _dependants(self, entries: dict[str, Entry], names: set[str]) -> set[str]:
        """Returns the recipes built on those of which others now see something else."""
        numbers, table = self.editor.numbers, self.table
        different = {
            numbers[name]
            for name in {*entries, *names}
            if name in numbers
            and (name not in entries or entries[name].seen != table.print_of(numbers[name]))
        }
        return {table.names[n] for n in table.built_on(different)} if different else set()

    def _claimants(self, plan: Plan) -> set[str]:
        """Returns the recipes whose locks claim a key that is to be run: theirs may be reused."""
        found: set[int] = set()
        for step in plan.steps.values():
            if step.action is not None and step.verb is not Verb.REUSE:
                found |= self.table.claiming(bytes.fromhex(step.action.key.hex)[:KEY_BYTES])
        return {self.table.names[number] for number in found}

    def _is_enough(self, plan: Plan, entries: dict[str, Entry], names: set[str]) -> bool:
        """Whether these recipes' plan rests on no other recipe, and no other's on them."""
        table, numbers = self.table, self.editor.numbers
        wants = bool(plan.brought) or any(s.reason == "bytes" for s in plan.steps.values())
        if wants and channels.any_observed(self.workspace, self.channels_in_use(entries)):
            return False
        if table.facts.get("sites"):
            for name in names:
                now = set(entries[name].releases.split()) if name in entries else set()
                if name in numbers and set(table.releases[numbers[name]].split()) - now:
                    return False
        return True

    def _described(self, planned: planning.Planned, workspace: Workspace) -> dict[str, Entry]:
        built_on: dict[str, set[str]] = {}
        for edge in workspace.reading.edges:
            built_on.setdefault(edge.release.name, set()).add(edge.to.name)
        absent = set()
        for user, names in workspace.reading.looked.items():
            known = {n for n in names if home_with(workspace.root, workspace.homes, n) is not None}
            built_on.setdefault(user, set()).update(known)
            absent |= {user} if known != names else set()
        busy = {
            unit_of(row.node.rpartition(":")[0])
            for row in planned.delivery.rows
            if row.verb is not Verb.REUSE
        }
        busy |= absent  # what would be built on a recipe that is not there is read each time
        busy |= {r.name for r in lacking(planned.plan, workspace.locks, workspace.catalog.releases)}
        return describe(
            planned.graph,
            planned.plan,
            workspace.catalog,
            built_on=built_on,
            locked=_locked_keys(workspace.locks),
            channels=channels.used_by(workspace),
            busy=busy,
            as_of=planned.as_of,
        )


def _locked_keys(locks: Locks) -> dict[str, list[str]]:
    """Returns recipe → every key that its locks claim."""
    found: dict[str, list[str]] = {}
    for lock in locks.releases.values():
        keys = found.setdefault(lock.name, [])
        for variant, entry in lock.variants.items():
            claims = locked_claims(lock.release_name(variant), entry)
            keys += [claim.key for claim in claims.values()]
    return found
