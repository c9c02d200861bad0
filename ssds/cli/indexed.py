"""Plans with the index: what did not change since the last plan is not read, only counted.

The answer is that of a plan without it (a law that ``ssds selfcheck`` tries on your catalog).
Whatever the index cannot tell, from an error in a recipe to bytes that a channel offers, is left
to the whole plan.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable
from dataclasses import replace

from ssds.cli import channels, planning
from ssds.cli.output import json_text, say
from ssds.core.errors import InputError
from ssds.core.memory import uncollected
from ssds.core.text import shown
from ssds.delivery import Delivery, lacking
from ssds.graph.index import keeping
from ssds.graph.index.changes import Changes, find_changes
from ssds.graph.index.edit import Editor, Entry
from ssds.graph.index.entries import day_of, describe, unit_of
from ssds.graph.index.files import Notes
from ssds.graph.index.groups import Groups
from ssds.graph.index.layout import FILE_NAME, BadIndex, IndexFile, open_index
from ssds.graph.index.table import (
    DIGEST_BYTES,
    FOLDER,
    KEY_BYTES,
    SETTLED,
    UNSURE,
    WAIVERS,
    Documents,
    Table,
)
from ssds.graph.plan import Plan, Verb
from ssds.lock.model import Locks
from ssds.recipe.catalog import RESERVED_FOLDERS
from ssds.recipe.model import Release
from ssds.workspace import LOCK_FOLDER, STATE_FOLDER, Workspace

OFF = "SSDS_INDEX"
"""``SSDS_INDEX=off`` plans without the index and writes none."""

_FAR_S = 1 << 40
_FIXED_KINDS = ("source", "base")


@uncollected()
def deliver(workspace: Workspace, asked: planning.Asked, *, full: bool = False) -> Delivery:
    """Returns the joint plan, with reused rows only if ``full``; keeps an index for the next one.

    Selectors, dates, ``--fetch``, ``--rerun``, ``--refresh`` are planned without the index.
    """
    plain = replace(asked, platforms=(), retry=False) == planning.Asked()
    if os.environ.get(OFF, "").lower() in ("off", "0", "no") or not plain:
        return planning.make(workspace, asked).delivery
    session = _Session(workspace, asked)
    return session.deliver(full=full)


class _Session:
    """One plan with the index."""

    def __init__(self, workspace: Workspace, asked: planning.Asked) -> None:
        self.workspace = workspace
        self.asked = asked
        self.catalog = workspace.settings.catalog
        self.path = os.path.join(workspace.state_folder, FILE_NAME)
        self.today = day_of(dt.datetime.now(dt.UTC).date())
        self.notes = Notes(workspace.root, workspace.state_folder)
        self.file: IndexFile | None = None
        self.editor = Editor()
        self.documents = Documents()

    # -- opening -------------------------------------------------------------------------------

    def open(self) -> bool:
        """Opens the index; False where there is none that can be used."""
        try:
            file = open_index(self.path)
            if file is None:
                return False
            editor = Editor(Groups.load(file), Table.load(file))
            documents = Documents(file)
            if editor.table.facts.get("catalog") != self.catalog:
                return False
            self.file, self.editor, self.documents = file, editor, documents
        except (BadIndex, ValueError, OverflowError) as error:
            self._miss(str(error))
            return False
        return True

    def _miss(self, reason: str) -> None:
        say(f"warning: the plan index is of no use: {reason}; planning without it")
        self.file, self.editor, self.documents = None, Editor(), Documents()

    @property
    def table(self) -> Table:
        """The recipes that the index knows."""
        return self.editor.table

    def look(self) -> Changes | None:
        """Returns what changed since the index was written; None where it cannot be used."""
        try:
            changes = find_changes(
                self.editor,
                self.notes,
                catalog=self.catalog,
                locks=LOCK_FOLDER,
                reserved=RESERVED_FOLDERS,
            )
        except OSError as error:
            self._miss(os.strerror(error.errno or 0))
            return None
        if changes.code and keeping.code_digest() != self.table.facts.get("code"):
            self._miss("another version of ssds wrote it")
            return None
        return changes

    def note_ground(self) -> None:
        """Takes note of what is no recipe's, before it is read."""
        keeping.note_ground(
            self.notes,
            catalog=self.catalog,
            locks=LOCK_FOLDER,
            state=STATE_FOLDER,
            settings=self._settings_files(),
            store=self.workspace.store_path,
        )

    def _settings_files(self) -> tuple[str, ...]:
        from ssds.recipe.settings import WORKSPACE_FILE, user_file

        settings = self.workspace.settings
        more = (settings.ca_bundle,) if settings.ca_bundle else ()
        user = user_file(os.environ)
        return (WORKSPACE_FILE, *(() if user == os.devnull else (user,)), *more)

    # -- planning ------------------------------------------------------------------------------

    def deliver(self, *, full: bool) -> Delivery:
        """Returns the plan, and writes the index where it changed."""
        changes = self.look() if self.open() else None
        self.note_ground()
        if full or changes is None or changes.ground:
            return self.whole()
        try:
            return self.partly(changes) or self.whole()
        except InputError:
            return self.whole()  # it tells all problems of all files

    def whole(self) -> Delivery:
        """Returns the plan of the whole catalog, and remembers it anew."""
        self.notes.walk(self.catalog)
        self.notes.walk(LOCK_FOLDER)
        self.editor = Editor()
        self._store_facts()
        workspace = replace(self.workspace, documents=self.documents)
        planned = planning.make(workspace, self.asked)
        entries = self._described(planned, workspace)
        home = os.fsencode(self.catalog) + b"/"
        folders = {os.fsdecode(p[len(home) :]) for p in self.notes.folders if p.startswith(home)}
        folders = {n for n in folders if "/" not in n and not n.startswith(".")} - RESERVED_FOLDERS
        locks = os.fsencode(LOCK_FOLDER) + b"/"
        files = (p[len(locks) :] for p in self.notes.seen if p.startswith(locks))
        self._put(workspace, entries, {*entries, *folders}, keeping.lock_files_of(files))
        self._put_ground(workspace)
        self.editor.know({"catalog": self.catalog, "code": keeping.code_digest()})
        self._write(planned.delivery, from_day=self.today)
        return planned.delivery

    def partly(self, changes: Changes) -> Delivery | None:
        """Returns the plan where only some recipes are looked at; None where that is not enough."""
        names = self._touched(changes)
        files = self._note_changed(changes.recipes, relisted=changes.relisted)
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
        delivery = self._completed(delivery, entries, names)
        self._put(part, {n: e for n, e in entries.items() if n in names}, changes.recipes, files)
        gone = [n for n in names if n not in entries and n not in changes.recipes]
        self.editor.drop(gone)
        if changes.other:
            self._put_ground(part)
        dated = any(entry.flags & WAIVERS for entry in entries.values())
        assert self.file is not None
        self._write(delivery, from_day=self.today if dated else self.file.head[0])
        return delivery

    def _note_changed(self, names: set[str], *, relisted: bool) -> dict[str, list[bytes]]:
        """Takes note of recipes before they are read; returns their lock files, also those gone."""
        if not names:
            return {}
        files = self.editor.lock_files(names, LOCK_FOLDER)
        there: set[bytes] | None = None
        if relisted:
            try:
                there = set(os.listdir(os.fsencode(self.workspace.lock_folder)))
            except OSError:
                there = set()
            for name, new in keeping.lock_files_of(there).items():
                if name in names:
                    files[name] = sorted({*files.get(name, ()), *new})
        for name in names:
            keeping.note_recipe(
                self.notes, name, catalog=self.catalog, locks=LOCK_FOLDER, known=files.get(name, ())
            )
        if there is None:
            return files
        return {name: [f for f in found if f in there] for name, found in files.items()}

    def _completed(
        self, delivery: Delivery, entries: dict[str, Entry], names: set[str]
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
        notes, _ = channels.notes(self.workspace, self._channels(entries))
        return replace(delivery, rowless=delivery.rowless + own + shared, notes=notes)

    def _channels(self, entries: dict[str, Entry]) -> set[str]:
        """Returns the channels that any recipe is published to."""
        table, numbers = self.table, self.editor.numbers
        again = {numbers[name] for name in entries if name in numbers}
        masks = {mask for n, mask in enumerate(table.channels) if mask and n not in again}
        names = {
            name for bit, name in enumerate(table.channel_names) if any(m >> bit & 1 for m in masks)
        }
        return names.union(*(entry.channels for entry in entries.values()))

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

    def _store_facts(self) -> None:
        """Notes the generation of the claims and the number of the newest one."""
        store = self.workspace.store_if_there
        generation = store.claims.generation() if store else 0
        newest = store.claims.since(1 << 62, ())[0] if store else 0
        facts = {
            "store": self.workspace.store_path,
            "generation": str(generation),
            "claims": str(newest),
        }
        self.editor.know(facts)

    def _reclaimed(self) -> set[int]:
        """Returns the recipes that use bases or sources which the store has new claims of."""
        table = self.table
        same = table.facts.get("store") == self.workspace.store_path
        known = int(table.facts.get("claims", "0")) if same else 0
        store = self.workspace.store_if_there
        _, keys = store.claims.since(known, _FIXED_KINDS) if store else (0, frozenset())
        self._store_facts()
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
        if wants and channels.any_observed(self.workspace, self._channels(entries)):
            return False
        if table.facts.get("sites"):
            for name in names:
                now = set(entries[name].releases.split()) if name in entries else set()
                if name in numbers and set(table.releases[numbers[name]].split()) - now:
                    return False
        return True

    # -- remembering ---------------------------------------------------------------------------

    def _described(self, planned: planning.Planned, workspace: Workspace) -> dict[str, Entry]:
        built_on: dict[str, set[str]] = {}
        for edge in workspace.reading.edges:
            built_on.setdefault(edge.release.name, set()).add(edge.to.name)
        busy = {
            unit_of(row.node.rpartition(":")[0])
            for row in planned.delivery.rows
            if row.verb is not Verb.REUSE
        }
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

    def _put(
        self,
        workspace: Workspace,
        entries: dict[str, Entry],
        fresh: Iterable[str],
        files: dict[str, list[bytes]],
    ) -> None:
        """Sets the entries, and new rows for the ``fresh`` names, whose files were noted."""
        releases: dict[str, list[Release]] = {}
        for release in workspace.catalog.releases.values():
            releases.setdefault(release.id.name, []).append(release)
        ready = dict(entries)
        gone = []
        for name in fresh:
            rows, sure = keeping.recipe_rows(
                self.notes,
                name,
                releases.get(name, ()),
                catalog=self.catalog,
                locks=LOCK_FOLDER,
                lock_files=files.get(name, ()),
            )
            home = os.fsencode(f"{self.catalog}/{name}")
            folder = FOLDER if home in self.notes.folders or home in self.notes.links else 0
            entry = entries.get(name)
            if entry is None and not folder:
                gone.append(name)
                continue
            entry = entry or Entry(flags=SETTLED)
            flags = entry.flags if sure else entry.flags & ~SETTLED | UNSURE
            ready[name] = replace(entry, flags=flags | folder, rows=tuple(rows))
        for name in set(ready).difference(fresh):
            known = self.table.flags[self.editor.numbers[name]] & (FOLDER | UNSURE)
            settled = ready[name].flags if not known & UNSURE else ready[name].flags & ~SETTLED
            ready[name] = replace(ready[name], flags=settled | known)
        self.editor.put(ready)
        self.editor.drop(gone)

    def _put_ground(self, workspace: Workspace) -> None:
        keeping.put_ground(
            self.editor,
            self.notes,
            catalog=self.catalog,
            locks=LOCK_FOLDER,
            state=STATE_FOLDER,
            settings=self._settings_files(),
            store=self.workspace.store_path,
            more=workspace.catalog.advisories.values(),
        )
        sites = workspace.catalog.sites.values()
        self.editor.know({"sites": "yes" if any(s.include or s.exclude for s in sites) else ""})

    def _write(self, delivery: Delivery, *, from_day: int) -> None:
        """Writes the index where it is not the one that is there already."""
        table = self.table
        idle = all(row.verb is Verb.REUSE for row in delivery.rows)
        printed = None
        if idle and not table.all_with(SETTLED, without=True):
            text = shown(planning.render(delivery), lines=True)
            printed = (text, json_text(delivery.to_dict(), escaped=True))
        _, until_s = channels.notes(self.workspace, self._channels({}))
        keeping.save(
            self.path,
            self.editor,
            self.documents,
            before=self.file,
            from_day=from_day,
            notes_until_s=until_s or _FAR_S,
            printed=printed,
        )


def _locked_keys(locks: Locks) -> dict[str, list[str]]:
    """Returns recipe → every key that its locks claim."""
    found: dict[str, list[str]] = {}
    for lock in locks.releases.values():
        keys = found.setdefault(lock.name, [])
        for variant in lock.variants.values():
            keys += [c.key for c in (variant.metadata, variant.index) if c is not None]
            for section in variant.platforms.values():
                claims = [*section.latest.values()]
                claims += section.release.actions.values() if section.release else ()
                keys += [claim.key for claim in claims]
    return found
