"""Claims and pre-images: one SQLite file beside the blobs (contracts C3, C4).

A claim says "this action gave these outputs". For each key a set of claims is kept: a later one
with other outputs never replaces an earlier one. Write-ahead log, full sync: a claim that was
added survives a power cut, and it is added only after its blobs.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from ssds.core.digest import ActionKey, Digest
from ssds.core.errors import UnavailableError
from ssds.core.model import Claim
from ssds.core.records import dataclass
from ssds.host.files import write_point
from ssds.store.ledger import Audit, audit_row, read_audit
from ssds.store.records import BUSY_S, explained, give_way, insert, read_row, set_up

_MANY = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A pre-image that the store keeps, for ``explain``; ``node`` is the node's text."""

    key: ActionKey
    node: str
    preimage: bytes


class Claims:
    """The claims of one store; threads and processes may use it at once.

    Attributes:
        counts: which claims the finding methods give; None for all. One that does not count gives
            way when the same is claimed anew.
    """

    def __init__(self, path: str, has_blob: Callable[[Digest], bool]) -> None:
        self.path = path
        self._has_blob = has_blob
        self.counts: Callable[[Claim], bool] | None = None
        self._local = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._guard = threading.Lock()

    def find(self, key: ActionKey) -> tuple[Claim, ...]:
        """Returns all claims for ``key``, the earliest first; none gives an empty tuple."""
        return self.find_many([key]).get(key, ())

    def find_many(self, keys: Iterable[ActionKey]) -> dict[ActionKey, tuple[Claim, ...]]:
        """Returns the claims of each key that has any."""
        found: dict[ActionKey, list[Claim]] = {}
        wanted = list(dict.fromkeys(keys))
        with self._reading() as database:
            for start in range(0, len(wanted), _MANY):
                part = [str(key) for key in wanted[start : start + _MANY]]
                marks = ",".join("?" * len(part))
                rows = database.execute(
                    "SELECT key, kind, outputs, verdict, record FROM claims "  # noqa: S608
                    f"WHERE key IN ({marks}) ORDER BY number",
                    part,
                )
                for row in rows:
                    claim = read_row(row)
                    if self.counts is None or self.counts(claim):
                        found.setdefault(claim.key, []).append(claim)
        return {key: tuple(claims) for key, claims in found.items()}

    def doubted(self) -> dict[ActionKey, tuple[Claim, ...]]:
        """Returns the claims of caches that do not count, by key."""
        found: dict[ActionKey, list[Claim]] = {}
        if self.counts is not None:
            with self._reading() as database:
                rows = database.execute(
                    "SELECT key, kind, outputs, verdict, record FROM claims "
                    "WHERE instr(record, 'from_cache') ORDER BY number"
                ).fetchall()
            for claim in map(read_row, rows):
                if not self.counts(claim):
                    found.setdefault(claim.key, []).append(claim)
        return {key: tuple(claims) for key, claims in found.items()}

    def add(self, claim: Claim, preimage: bytes, node: str = "") -> bool:
        """Remembers a claim and its pre-image; False where the same one was known.

        Args:
            node: the node's text (``samtools@1.16.1:build``), by which ``nearest`` finds it.

        Raises:
            UnavailableError: T010, an output is not a blob of the store.
            EnvironmentProblem: disk full, no permission.
        """
        return self.add_many([(claim, preimage, node)]) == 1

    def add_many(self, entries: Sequence[tuple[Claim, bytes, str]]) -> int:
        """Remembers many as ``add`` does each, all or none; returns how many were not known.

        Args:
            entries: (claim, pre-image, node's text).
        """
        for claim, _, _ in entries:
            self._check_outputs(claim)
        write_point("claim.add")
        with self._writing() as database:
            if self.counts is not None:
                for claim, _, _ in entries:
                    give_way(database, claim, self.counts)
            added = sum(insert(database, *entry) for entry in entries)
            write_point("claim.written")
        write_point("claim.durable")
        return added

    def _check_outputs(self, claim: Claim) -> None:
        for name, digest in claim.outputs.items():
            if not self._has_blob(digest):
                raise UnavailableError(
                    f"the claim of {claim.kind} {claim.key.short} names the output {name!r} "
                    f"{digest}, which the store does not have",
                    hint="A claim follows its blobs; put them into the store first.",
                    code="T010",
                )

    def preimage(self, key: ActionKey) -> bytes | None:
        """Returns the canonical pre-image of ``key``, or None where it is not known."""
        with self._reading() as database:
            row = database.execute(
                "SELECT preimage FROM preimages WHERE key = ?", (str(key),)
            ).fetchone()
        return bytes(row[0]) if row else None

    def nearest(
        self, kind: str, owner_hint: str, platform: str, *, limit: int = 20
    ) -> tuple[Remembered, ...]:
        """Returns pre-images near to a node: its owner first, then its name, newest first.

        Args:
            owner_hint: the node's owner (``samtools@1.16.1``).
            platform: ``linux/amd64``, or ``any`` or the empty string.
        """
        name = owner_hint.partition("@")[0]
        with self._reading() as database:
            rows = database.execute(
                "SELECT key, node, preimage FROM preimages WHERE kind = ? AND platform IN (?, ?) "
                "AND (owner = ? OR (owner >= ? AND owner < ?)) "
                "ORDER BY (owner = ?) DESC, number DESC LIMIT ?",
                (
                    kind,
                    platform or "any",
                    platform if platform != "any" else "",
                    name,
                    f"{name}@",
                    f"{name}A",  # "A" follows "@": everything that begins with the name and "@"
                    owner_hint,
                    limit,
                ),
            ).fetchall()
        return tuple(
            Remembered(key=ActionKey(key), node=node, preimage=bytes(data))
            for key, node, data in rows
        )

    def generation(self) -> int:
        """Returns a number that changes with every write."""
        with self._reading() as database:
            row = database.execute("SELECT value FROM meta WHERE name = 'generation'").fetchone()
        return int(row[0]) if row else 0

    def since(self, number: int, kinds: Iterable[str]) -> tuple[int, frozenset[ActionKey]]:
        """Returns the number of the newest claim, and the keys of the claims after ``number``.

        Args:
            number: what an earlier call returned; 0 for all.
            kinds: only claims of these kinds.
        """
        wanted = tuple(kinds)
        marks = ",".join("?" * len(wanted))
        with self._reading() as database:
            newest = database.execute("SELECT COALESCE(MAX(number), 0) FROM claims").fetchone()[0]
            rows = database.execute(
                f"SELECT key FROM claims WHERE number > ? AND kind IN ({marks})",  # noqa: S608
                (number, *wanted),
            ).fetchall()
        return int(newest), frozenset(ActionKey(row[0]) for row in rows)

    def disagreements(self) -> dict[ActionKey, tuple[Claim, ...]]:
        """Returns the keys whose claims differ in outputs or verdict, with those claims."""
        with self._reading() as database:
            rows = database.execute(
                "SELECT key FROM claims GROUP BY key HAVING COUNT(*) > 1 ORDER BY key"
            ).fetchall()
        return self.find_many([ActionKey(row[0]) for row in rows])

    def all(self) -> Iterator[Claim]:
        """Gives every claim in the order in which they were added."""
        with self._reading() as database:
            rows = database.execute(
                "SELECT key, kind, outputs, verdict, record FROM claims ORDER BY number"
            ).fetchall()
            claims = [read_row(row) for row in rows]
        yield from claims

    def add_audits(self, audits: Sequence[Audit]) -> None:
        """Keeps audits in the ledger, all or none; none is ever replaced."""
        write_point("audit.add")
        with self._writing() as database:
            database.executemany(
                "INSERT INTO audits (at, release, platform, manifest, class, record) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                [audit_row(audit) for audit in audits],
            )
            write_point("audit.written")

    def audits(self) -> tuple[Audit, ...]:
        """Returns every audit of the ledger, the earliest first."""
        with self._reading() as database:
            rows = database.execute(
                "SELECT at, release, platform, manifest, class, record FROM audits ORDER BY number"
            ).fetchall()
            return tuple(read_audit(row) for row in rows)

    def mark_collected(self, digests: Sequence[Digest]) -> None:
        """Notes that these blobs were removed on purpose; their claims stay (C21)."""
        write_point("collected.add")
        with self._writing() as database:
            database.executemany(
                "INSERT OR REPLACE INTO collected (digest, at) VALUES (?, ?)",
                [(str(digest), int(time.time())) for digest in digests],
            )

    def collected(self) -> frozenset[Digest]:
        """Returns the blobs that garbage collection removed and that did not come back."""
        with self._reading() as database:
            rows = database.execute("SELECT digest FROM collected").fetchall()
        return frozenset(Digest(row[0]) for row in rows)

    def collected_at(self, digests: Iterable[Digest]) -> dict[Digest, int]:
        """Returns when garbage collection removed blobs, in seconds since the Unix epoch.

        Only of those that it did remove; the blobs may be here again.
        """
        wanted = [str(digest) for digest in dict.fromkeys(digests)]
        found: dict[Digest, int] = {}
        with self._reading() as database:
            for start in range(0, len(wanted), _MANY):
                part = wanted[start : start + _MANY]
                marks = ",".join("?" * len(part))
                rows = database.execute(
                    f"SELECT digest, at FROM collected WHERE digest IN ({marks})",  # noqa: S608
                    part,
                )
                found.update({Digest(digest): int(at) for digest, at in rows})
        return found

    def check(self) -> list[str]:
        """Returns what SQLite's own integrity check finds; empty when all is well."""
        with self._reading() as database:
            rows = database.execute("PRAGMA integrity_check(20)").fetchall()
        return [row[0] for row in rows if row[0] != "ok"]

    def prepare(self) -> None:
        """Makes the database where it is missing; raises when it cannot be used here."""
        self._connection()

    def close(self) -> None:
        """Closes the connections of all threads."""
        with self._guard:
            for connection in self._all:
                connection.close()
            self._all.clear()
            self._local = threading.local()

    def _connection(self) -> sqlite3.Connection:
        known: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if known is not None:
            return known
        with explained(self.path):
            connection = sqlite3.connect(
                self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
            try:
                set_up(connection, self.path)
            except BaseException:
                connection.close()
                raise
        with self._guard:
            self._all.append(connection)
        self._local.connection = connection
        return connection

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with explained(self.path):
            yield self._connection()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Holds one transaction; it is written whole or not at all."""
        with explained(self.path):
            database = self._connection()
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute(
                    "INSERT INTO meta (name, value) VALUES ('generation', 1) "
                    "ON CONFLICT (name) DO UPDATE SET value = value + 1"
                )
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise
