"""Changes an index in memory: entries replaced, added or taken out, rows looked at anew."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Mapping, Sequence

from ssds.core.records import dataclass
from ssds.graph.index.groups import HOT_SECTIONS, Groups
from ssds.graph.index.rows import ROW_BYTES
from ssds.graph.index.table import (
    DIGEST_BYTES,
    GONE,
    KEY_BYTES,
    NEVER_DAY,
    NO_DIGEST,
    SECTIONS,
    Table,
)

_PER_RECIPE = frozenset(
    {"names", "flags", "until", "own", "channels", "releases", "prints"}
    | {"edges_at", "shared_at", "keys_at"}
)


@dataclass(frozen=True, slots=True)
class Row:
    """A file that a plan rests on: its base folder and path, its row, the sha256 of its content.

    ``digest`` is NO_DIGEST for a folder, for what is absent, and for what must be read again.
    """

    base: str
    path: bytes
    row: bytes
    digest: bytes = NO_DIGEST


@dataclass(frozen=True, slots=True)
class Entry:
    """Everything that the table holds of one recipe; see ``Table``. Rows None: as before."""

    flags: int = 0
    until: int = NEVER_DAY
    own: int = 0
    seen: bytes = NO_DIGEST
    channels: tuple[str, ...] = ()
    releases: str = ""
    builds_on: tuple[str, ...] = ()
    keys: tuple[bytes, ...] = ()
    shared: tuple[tuple[str, bytes], ...] = ()
    rows: tuple[Row, ...] | None = None


class Editor:
    """An index while it is changed; ``groups`` and ``table`` are whole after every call.

    Attributes:
        changed: the sections that may not be as they were read; all where none was.
    """

    def __init__(self, groups: Groups | None = None, table: Table | None = None) -> None:
        self.groups = groups or Groups()
        self.table = table or Table()
        self.changed = set[str]() if groups is not None else {*HOT_SECTIONS, *SECTIONS}
        self._numbers: dict[str, int] | None = None
        self._shared: dict[str, int] | None = None

    @property
    def numbers(self) -> dict[str, int]:
        """Name → number of every recipe that ever had one."""
        if self._numbers is None:
            self._numbers = {name: number for number, name in enumerate(self.table.names)}
        return self._numbers

    # -- entries -------------------------------------------------------------------------------

    def put(self, entries: Mapping[str, Entry]) -> None:
        """Sets the entries of these recipes and the rows of their files."""
        new = [name for name in entries if name not in self.numbers]
        new += {
            to for entry in entries.values() for to in entry.builds_on if to not in self.numbers
        } - set(new)
        for name in new:
            self._add(name)
        table = self.table
        for name, entry in entries.items():
            number = self.numbers[name]
            mask = sum(1 << self._channel(channel) for channel in entry.channels)
            for section, value in (
                ("flags", entry.flags),
                ("until", entry.until),
                ("own", entry.own),
                ("channels", mask),
                ("releases", entry.releases),
            ):
                column = getattr(table, section)
                if column[number] != value:
                    column[number] = value
                    self.changed.add(section)
            at = number * DIGEST_BYTES
            if table.prints[at : at + DIGEST_BYTES] != entry.seen:
                table.prints[at : at + DIGEST_BYTES] = entry.seen
                self.changed.add("prints")
        self._set_edges(entries)
        self._set_shared(entries)
        self._set_keys(entries)
        rows = {self.numbers[n]: e.rows for n, e in entries.items() if e.rows is not None}
        if rows:
            self.set_rows(rows)

    def drop(self, names: Sequence[str]) -> None:
        """Takes recipes out; their numbers stay empty."""
        self.put({name: Entry(flags=GONE, rows=()) for name in names if name in self.numbers})

    def _add(self, name: str) -> None:
        table = self.table
        self.numbers[name] = len(table.names)
        table.names.append(name)
        table.flags.append(GONE)
        table.until.append(NEVER_DAY)
        table.own.append(0)
        table.channels.append(0)
        table.releases.append("")
        table.prints += NO_DIGEST
        table.edges_at.append(len(table.edges))
        table.shared_at.append(len(table.shared))
        table.keys_at.append(len(table.keys) // KEY_BYTES)
        self.changed |= _PER_RECIPE

    def _channel(self, name: str) -> int:
        names = self.table.channel_names
        if name not in names:
            names.append(name)
            self.changed.add("channel_names")
        return names.index(name)

    def _set_edges(self, entries: Mapping[str, Entry]) -> None:
        new = {
            self.numbers[name]: array("i", sorted(self.numbers[to] for to in entry.builds_on))
            for name, entry in entries.items()
        }
        table = self.table
        if any(table.builds_on(number) != edges for number, edges in new.items()):
            table.edges_at, table.edges = _spliced(table.edges_at, table.edges, new)
            self.changed |= {"edges_at", "edges"}

    def _set_shared(self, entries: Mapping[str, Entry]) -> None:
        table = self.table
        if self._shared is None:
            self._shared = {name: number for number, name in enumerate(table.shared_names)}
        new: dict[int, array[int]] = {}
        for name, entry in entries.items():
            used = []
            for node, key in entry.shared:
                number = self._shared.setdefault(node, len(table.shared_names))
                if number == len(table.shared_names):
                    table.shared_names.append(node)
                    table.shared_keys += key
                    self.changed |= {"shared_names", "shared_keys"}
                elif table.shared_keys[number * DIGEST_BYTES :][:DIGEST_BYTES] != key:
                    table.shared_keys[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES] = key
                    self.changed.add("shared_keys")
                used.append(number)
            new[self.numbers[name]] = array("i", sorted(used))
        if any(table.shares(number) != nodes for number, nodes in new.items()):
            table.shared_at, table.shared = _spliced(table.shared_at, table.shared, new)
            self.changed |= {"shared_at", "shared"}

    def _set_keys(self, entries: Mapping[str, Entry]) -> None:
        new = {self.numbers[name]: b"".join(sorted(e.keys)) for name, e in entries.items()}
        table = self.table
        if all(table.keys_of(number) == keys for number, keys in new.items()):
            return
        at, keys = array("i", [0]), bytearray()
        for number in range(len(table.names)):
            keys += new[number] if number in new else table.keys_of(number)
            at.append(len(keys) // KEY_BYTES)
        table.keys_at, table.keys = at, keys
        self.changed |= {"keys_at", "keys"}

    def know(self, facts: Mapping[str, str]) -> None:
        """Sets facts of the whole index."""
        if any(self.table.facts.get(name) != text for name, text in facts.items()):
            self.table.facts.update(facts)
            self.changed.add("facts")

    def lock_files(self, names: Collection[str], base: str) -> dict[str, list[bytes]]:
        """Returns recipe → the names of its files below ``base``, for some recipes."""
        groups = self.groups
        wanted = {self.numbers[name]: name for name in names if name in self.numbers}
        found: dict[str, list[bytes]] = {}
        if base in groups.bases:
            group = groups.bases.index(base)
            start = sum(map(len, groups.paths[:group]))
            paths = groups.paths[group]
            for place in self.table.rows_of(wanted):
                if start <= place < start + len(paths):
                    name = wanted[self.table.owners[place]]
                    found.setdefault(name, []).append(paths[place - start])
        return found

    # -- rows ----------------------------------------------------------------------------------

    def set_rows(self, rows: Mapping[int, Sequence[Row]]) -> None:
        """Sets the rows of these owners; an owner's rows of before are forgotten."""
        if self._patched(rows):
            return
        self.changed |= {"groups", "paths", "rows", "owners", "digests"}
        groups, table = self.groups, self.table
        owners, digests = array("i"), bytearray()
        added: dict[str, list[tuple[int, Row]]] = {}
        for owner, own in rows.items():
            for row in own:
                added.setdefault(row.base, []).append((owner, row))
        for base in added:
            if base not in groups.bases:
                groups.bases.append(base)
                groups.paths.append([])
                groups.rows.append(bytearray())
        start = 0
        for number, base in enumerate(groups.bases):
            paths, old = groups.paths[number], groups.rows[number]
            kept = [at for at in range(len(paths)) if table.owners[start + at] not in rows]
            if len(kept) == len(paths):
                owners += table.owners[start : start + len(paths)]
                digests += table.digests[start * DIGEST_BYTES : (start + len(paths)) * DIGEST_BYTES]
                new_rows = bytearray(old)
            else:
                new_rows = bytearray()
                for at in kept:
                    here = start + at
                    owners.append(table.owners[here])
                    digests += table.digests[here * DIGEST_BYTES : (here + 1) * DIGEST_BYTES]
                    new_rows += old[at * ROW_BYTES : (at + 1) * ROW_BYTES]
            start += len(paths)
            groups.paths[number] = [paths[at] for at in kept]
            for owner, row in added.get(base, ()):
                groups.paths[number].append(row.path)
                owners.append(owner)
                digests += row.digest
                new_rows += row.row
            groups.rows[number] = new_rows
        table.owners, table.digests = owners, digests

    def _patched(self, rows: Mapping[int, Sequence[Row]]) -> bool:
        """Writes new values over the old ones where every owner has the same paths as before."""
        wanted = {(row.base, row.path, owner): row for owner, own in rows.items() for row in own}
        places: list[tuple[int, int, int, Row]] = []
        number = start = 0
        for place in self.table.rows_of(rows):
            while place >= start + len(self.groups.paths[number]):
                start += len(self.groups.paths[number])
                number += 1
            at, base = place - start, self.groups.bases[number]
            path = self.groups.paths[number][at]
            row = wanted.pop((base, path, self.table.owners[place]), None)
            if row is None:
                return False
            places.append((number, at, place, row))
        if wanted:
            return False
        for number, at, place, row in places:
            self.set_row(number, at, row.row, place=place, digest=row.digest)
        return True

    def set_row(
        self, group: int, at: int, row: bytes, *, place: int = -1, digest: bytes = b""
    ) -> None:
        """Sets one row, and the digest at ``place`` among all rows where one is given."""
        rows = self.groups.rows[group]
        span = slice(at * ROW_BYTES, (at + 1) * ROW_BYTES)
        if bytes(rows[span]) != row:
            if not isinstance(rows, bytearray):
                rows = self.groups.rows[group] = bytearray(rows)
            rows[span] = row
            self.changed.add("rows")
        span = slice(place * DIGEST_BYTES, (place + 1) * DIGEST_BYTES)
        if digest and self.table.digests[span] != digest:
            self.table.digests[span] = digest
            self.changed.add("digests")


def _spliced(
    starts: array[int], values: array[int], new: Mapping[int, array[int]]
) -> tuple[array[int], array[int]]:
    """Returns the columns with the lists of some numbers replaced."""
    at, out = array("i", [0]), array("i")
    for number in range(len(starts) - 1):
        found = new.get(number)
        out += values[starts[number] : starts[number + 1]] if found is None else found
        at.append(len(out))
    return at, out
