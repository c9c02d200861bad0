"""The index of a workspace while one plan is made: opened, held against the disk, written again."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from collections.abc import Iterable

from ssds.cli import channels, planning
from ssds.cli.output import json_text, say
from ssds.core.records import replace
from ssds.core.text import shown
from ssds.delivery import Delivery
from ssds.graph.index import keeping
from ssds.graph.index.changes import Changes, find_changes
from ssds.graph.index.edit import Editor, Entry
from ssds.graph.index.entries import day_of
from ssds.graph.index.files import Notes
from ssds.graph.index.groups import Groups
from ssds.graph.index.hot import Glance
from ssds.graph.index.layout import FILE_NAME, BadIndex, IndexFile, open_index
from ssds.graph.index.table import (
    FOLDER,
    SETTLED,
    UNSURE,
    Documents,
    Table,
)
from ssds.graph.plan import Verb
from ssds.recipe.homes import described
from ssds.recipe.model import Release
from ssds.workspace import LOCK_FOLDER, STATE_FOLDER, Workspace

OPEN = "open"
"""The fact ``data`` where the plan of data sets rests on more than the index has rows of."""
_FAR_S = 1 << 40
_SANDBOX = "sandbox"
"""The fact of the index that says on what premises a sandbox worked."""
BROKEN_SITES = "broken-sites"
DOUBTED = "doubted"
"""The fact whether files of sites have errors, which only the whole plan tells."""
TOLD = "told"
"""The fact of what is withdrawn or adopted. JSON: what ``planning.told_texts`` gives."""


class Memory:
    """What the last plan left, and what this one leaves.

    Attributes:
        today: days since 1970-01-01 (UTC).
        notes: how the disk looked when this plan began.
        file: the index as it is, or None.
        editor, documents: the index as it will be.

    Args:
        path: of the index; by default in the workspace's state.
        glance: what the shortest way saw a moment ago.
    """

    def __init__(
        self, workspace: Workspace, path: str = "", *, glance: Glance | None = None
    ) -> None:
        self.workspace = workspace
        self.homes = workspace.homes
        self.catalog = described(self.homes)
        self.path = path or os.path.join(workspace.state_folder, FILE_NAME)
        self.today = day_of(dt.datetime.now(dt.UTC).date())
        self.notes = Notes(workspace.root, workspace.state_folder)
        self._glance = glance if glance is not None and glance.path == self.path else None
        self.file: IndexFile | None = None
        self.editor = Editor()
        self.documents = Documents()

    def open(self) -> bool:
        """Opens the index; False where there is none that can be used."""
        try:
            glance = self._glance
            file = glance.file if glance else None
            file = file or open_index(self.path)
            if file is None:
                return False
            groups = glance.groups if glance else None
            editor = Editor(groups or Groups.load(file), Table.load(file))
            documents = Documents(file)
            facts = editor.table.facts
            if facts.get("catalog") != self.catalog or facts.get(DOUBTED, "") != self.doubted():
                return False
            self.file, self.editor, self.documents = file, editor, documents
            self.workspace.trial.known = editor.table.facts.get(_SANDBOX, "")
        except (BadIndex, ValueError, OverflowError) as error:
            self._miss(str(error))
            return False
        return True

    def doubted(self) -> str:
        """Returns a digest of the claims that came from caches and do not count, or nothing.

        A lock's claim of the same does not count either, though neither lock nor recipe changed.
        """
        signed = self.workspace.settings.signed_caches
        store = self.workspace.store_if_there if signed else None
        found = store.claims.doubted() if store else {}
        texts = sorted(
            f"{key} {sorted(c.outputs.items())}" for key, cs in found.items() for c in cs
        )
        return hashlib.sha256("\n".join(texts).encode()).hexdigest() if texts else ""

    def _miss(self, reason: str) -> None:
        say(f"warning: the plan index is of no use: {reason}; planning without it")
        self.file, self.editor, self.documents = None, Editor(), Documents()
        self.workspace.trial.known = ""

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
                homes=self.homes,
                locks=LOCK_FOLDER,
                seen=self._glance.changed if self._glance else {},
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
            homes=self.homes,
            locks=LOCK_FOLDER,
            state=STATE_FOLDER,
            settings=self._settings_files(),
            store=self.workspace.store_path,
        )

    def _settings_files(self) -> tuple[str, ...]:
        from ssds.recipe.settings import SETTINGS_FILE, user_file

        settings = self.workspace.settings
        more: tuple[str, ...] = (settings.ca_bundle,) if settings.ca_bundle else ()
        if settings.signed_caches:
            more += tuple(settings.trust.keys.values())
        user = user_file(os.environ)
        return (SETTINGS_FILE, *(() if user == os.devnull else (user,)), *more)

    def note_changed(self, names: set[str], *, relisted: bool) -> dict[str, list[bytes]]:
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
                self.notes, name, homes=self.homes, locks=LOCK_FOLDER, known=files.get(name, ())
            )
        if there is None:
            return files
        return {name: [f for f in found if f in there] for name, found in files.items()}

    def channels_in_use(self, entries: dict[str, Entry]) -> set[str]:
        """Returns the channels that any recipe is published to."""
        table, numbers = self.table, self.editor.numbers
        others = table.channels[:]
        for name in entries:
            if name in numbers:
                others[numbers[name]] = 0
        masks = set(others)
        names = {
            name for bit, name in enumerate(table.channel_names) if any(m >> bit & 1 for m in masks)
        }
        return names.union(*(entry.channels for entry in entries.values()))

    def know_store(self) -> None:
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

    def put(
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
                homes=self.homes,
                locks=LOCK_FOLDER,
                lock_files=files.get(name, ()),
            )
            there = any(keeping.is_there(self.notes, home, name) for home in self.homes)
            folder = FOLDER if there else 0
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

    def put_ground(self, workspace: Workspace) -> None:
        """Sets the rows that are no recipe's, as they were noted."""
        keeping.put_ground(
            self.editor,
            self.notes,
            homes=self.homes,
            locks=LOCK_FOLDER,
            state=STATE_FOLDER,
            settings=self._settings_files(),
            store=self.workspace.store_path,
            more=workspace.catalog.advisories.values(),
        )
        sites = workspace.catalog.sites.values()
        self.editor.know({"sites": "yes" if any(s.include or s.exclude for s in sites) else ""})
        self.editor.know({BROKEN_SITES: "yes" if workspace.reading.site_errors else ""})

    def write(self, delivery: Delivery, *, from_day: int) -> None:
        """Writes the index where it is not the one that is there already."""
        self.editor.know({_SANDBOX: self.workspace.trial.known})
        table = self.table
        idle = all(row.verb is Verb.REUSE for row in delivery.rows)
        printed = None
        if idle and table.facts.get("data") != OPEN and not table.all_with(SETTLED, without=True):
            text = shown(planning.render(delivery), lines=True)
            printed = (text, json_text(delivery.to_dict(), escaped=True))
        _, until_s = channels.notes(self.workspace, self.channels_in_use({}))
        keeping.save(
            self.path,
            self.editor,
            self.documents,
            before=self.file,
            from_day=from_day,
            notes_until_s=until_s or _FAR_S,
            printed=printed,
        )
