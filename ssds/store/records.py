"""The form of the claims' database: its tables, its records, its errors in words."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

from ssds.core.canonical import Json, canonical_bytes
from ssds.core.digest import ActionKey, Digest
from ssds.core.errors import EnvironmentProblem, IntegrityError, InvalidValue, SsdsError
from ssds.core.model import FROM_CACHE, GOT, REFUSED, Claim
from ssds.host.local import disk_is_full

SCHEMA_VERSION = 3
BUSY_S = 60.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claims (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL, kind TEXT NOT NULL, outputs TEXT NOT NULL, verdict TEXT NOT NULL,
  record TEXT NOT NULL, UNIQUE (key, outputs, verdict));
CREATE TABLE IF NOT EXISTS preimages (
  key TEXT PRIMARY KEY, kind TEXT NOT NULL, owner TEXT NOT NULL, platform TEXT NOT NULL,
  node TEXT NOT NULL, number INTEGER NOT NULL, preimage BLOB NOT NULL) WITHOUT ROWID;
DROP INDEX IF EXISTS preimages_near;
CREATE INDEX IF NOT EXISTS preimages_owner ON preimages (owner, kind, platform);
CREATE TABLE IF NOT EXISTS collected (digest TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS audits (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL, release TEXT NOT NULL, platform TEXT NOT NULL, manifest TEXT NOT NULL,
  class TEXT NOT NULL, record TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS audits_of ON audits (release, platform);
"""


def set_up(connection: sqlite3.Connection, path: str) -> None:
    """Makes or renews the tables, and the settings of a connection.

    Raises:
        EnvironmentProblem: T002 no write-ahead log here, T003 a newer form.
    """
    mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        raise EnvironmentProblem(
            f"the file system of {path} cannot hold the store's claims (SQLite gives {mode})",
            hint="Put the store on a local disk: store.path in ssds.yaml.",
            code="T002",
        )
    connection.execute("PRAGMA synchronous=FULL")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise EnvironmentProblem(
            f"the claims in {path} were written by a newer ssds (form {version})",
            hint="Use that version of ssds, or another store.path.",
            code="T003",
        )
    if version < SCHEMA_VERSION:
        connection.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        connection.execute("COMMIT")


@contextlib.contextmanager
def explained(path: str) -> Iterator[None]:
    """Turns SQLite's errors into ours, with what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:
        why = "the disk is full" if disk_is_full(os.path.dirname(path)) else error
        raise EnvironmentProblem(
            f"the claims in {path} cannot be used: {why}",
            hint="Check the disk's free space, the permissions, and that no process that holds "
            "the store is stopped.",
            code="T004",
        ) from error
    except sqlite3.DatabaseError as error:
        raise _corrupt(path, str(error)) from error
    except SsdsError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise _corrupt(path, f"a record cannot be read: {error}") from error


def _corrupt(path: str, reason: str) -> IntegrityError:
    return IntegrityError(
        f"the claims in {path} are damaged: {reason}",
        hint=f"Move {os.path.basename(path)} and its -wal and -shm files away; no blob is lost, "
        "and the next apply finds its claims in the locks or makes them again.",
        code="T001",
    )


def give_way(database: sqlite3.Connection, claim: Claim, counts: Callable[[Claim], bool]) -> None:
    """Removes the record of the same claim where it does not count, before one that does."""
    same = (str(claim.key), _outputs(claim), claim.verdict)
    where = "WHERE key = ? AND outputs = ? AND verdict = ?"
    row = database.execute(
        f"SELECT key, kind, outputs, verdict, record FROM claims {where}",  # noqa: S608
        same,
    ).fetchone()
    if row is not None and not counts(read_row(row)):
        database.execute(f"DELETE FROM claims {where}", same)  # noqa: S608


def insert(database: sqlite3.Connection, claim: Claim, preimage: bytes, node: str) -> bool:
    """Adds a claim and its pre-image in the open transaction; False where it was known.

    What was refused and is accepted later is a new claim. A native run that gives what emulation
    gave is worth more: then its record stands there.
    """
    if claim.kind != REFUSED:
        database.execute(
            "DELETE FROM claims WHERE key = ? AND outputs = ? AND verdict = ? AND kind = ?",
            (str(claim.key), _outputs(claim), claim.verdict, REFUSED),
        )
    cursor = database.execute(
        "INSERT INTO claims (key, kind, outputs, verdict, record) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (key, outputs, verdict) DO UPDATE SET record = excluded.record "
        "WHERE kind = excluded.kind AND record ->> '$.emulated' "
        "AND NOT excluded.record ->> '$.emulated'",
        (str(claim.key), claim.kind, _outputs(claim), claim.verdict, _record(claim)),
    )
    database.executemany(
        "DELETE FROM collected WHERE digest = ?",
        [(str(digest),) for digest in {*claim.outputs.values(), *claim.logs.values()}],
    )
    _keep_preimage(database, claim.key, claim.kind, preimage, node)
    return cursor.rowcount == 1


def _keep_preimage(
    database: sqlite3.Connection, key: ActionKey, kind: str, preimage: bytes, node: str
) -> None:
    known = json.loads(preimage)
    platform = known.get("platform", "any")
    kind = known.get("kind", kind) if kind == REFUSED else kind
    database.execute(
        "INSERT INTO preimages (key, kind, owner, platform, node, number, preimage) "
        "VALUES (?, ?, ?, ?, ?, (SELECT COALESCE(MAX(number), 0) FROM claims), ?) "
        "ON CONFLICT (key) DO UPDATE SET number = excluded.number, "
        "node = CASE excluded.node WHEN '' THEN node ELSE excluded.node END, "
        "owner = CASE excluded.node WHEN '' THEN owner ELSE excluded.owner END",
        (str(key), kind, node.partition(":")[0], str(platform), node, preimage),
    )


def _outputs(claim: Claim) -> str:
    return canonical_bytes({name: str(d) for name, d in claim.outputs.items()}).decode()


def _record(claim: Claim) -> str:
    kept = circumstances(claim)
    if claim.from_cache:
        kept["from_cache"] = claim.from_cache
        if claim.signer:
            kept["signed_by"] = claim.signer
    return canonical_bytes(kept).decode()


def circumstances(claim: Claim) -> dict[str, Json]:
    """Returns what is kept of a claim beside its key, kind, outputs and verdict."""
    return {
        "logs": {name: str(d) for name, d in claim.logs.items()},
        "builder": claim.builder,
        "mode": claim.mode,
        "emulated": claim.emulated,
        "impure": claim.impure,
        "tools": dict(claim.tools),
        "made_at": claim.made_at,
        "duration_ms": claim.duration_ms,
    }


def read_row(row: tuple[str, str, str, str, str]) -> Claim:
    """Returns the claim of (key, kind, outputs, verdict, record); ValueError for a damaged one."""
    key, kind, outputs, verdict, record = row
    rest = json.loads(record)
    try:
        return _read_claim(key, kind, json.loads(outputs), verdict, rest)
    except InvalidValue as error:
        raise ValueError(error.message) from error


def _read_claim(
    key: str, kind: str, outputs: dict[str, str], verdict: str, rest: dict[str, Any]
) -> Claim:
    cache = str(rest["from_cache"]) if "from_cache" in rest else ""
    return Claim(
        key=ActionKey(key),
        kind=kind,
        outputs={name: Digest(text) for name, text in outputs.items()},
        verdict=verdict,
        logs={name: Digest(text) for name, text in rest["logs"].items()},
        builder=rest["builder"],
        mode=rest["mode"],
        emulated=rest["emulated"],
        impure=rest["impure"],
        tools=rest["tools"],
        made_at=rest["made_at"],
        duration_ms=rest["duration_ms"],
        origin=f"{GOT}{FROM_CACHE}{cache}" if cache else "store",
        signer=str(rest.get("signed_by", "")),
    )
