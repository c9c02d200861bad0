"""Gives the package headers of rpm's databases in the formats ``sqlite`` and ``ndb``.

Berkeley DB (``Packages`` of rpm before 4.16) is not read: its packages are reported as unread.
Sources: rpm's ``lib/backend/sqlite.cc`` (table Packages) and ``lib/backend/ndb`` (slots, blobs).
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator

from ssds.core.errors import IntegrityError
from ssds.kinds.sbom.rpm_header import LIMIT_BYTES as HEADER_LIMIT_BYTES

LIMIT_BYTES = 1 << 30
LIMIT_PACKAGES = 100_000
_LIMIT_STEPS = 2_000
"""Calls of SQLite's progress handler, each after 10,000 virtual instructions."""
_NDB_HEADER, _NDB_SLOT, _NDB_BLOCK = 32, 16, 16
_SQLITE = b"SQLite format 3\0"


def sqlite_headers(data: bytes) -> Iterator[bytes]:
    """Gives the headers in a ``rpmdb.sqlite``; the file is opened in memory, nothing is written.

    Raises:
        IntegrityError: it is no such database, or it asks for more work than one of packages does.
    """
    if not data.startswith(_SQLITE) or len(data) < 100:
        raise IntegrityError("it is no SQLite database")
    # a database in memory has no write-ahead log; the version bytes say whether one is wanted
    plain = data[:18] + b"\x01\x01" + data[20:]
    connection = sqlite3.connect(":memory:")
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    steps = iter(range(_LIMIT_STEPS))
    try:
        connection.deserialize(plain)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.set_progress_handler(lambda: 0 if next(steps, None) is not None else 1, 10_000)
        _check_table(connection)
        rows = connection.execute("SELECT blob FROM Packages ORDER BY hnum")
        for count, (blob,) in enumerate(rows):
            if count >= LIMIT_PACKAGES:
                raise IntegrityError(f"it has more than {LIMIT_PACKAGES} packages")
            if not isinstance(blob, bytes):
                raise IntegrityError("a package is no blob")
            yield blob
    except (sqlite3.Error, OverflowError, MemoryError, UnicodeDecodeError) as error:
        raise IntegrityError(f"SQLite cannot read it ({str(error)[:120]})") from error
    finally:
        connection.close()


def _check_table(connection: sqlite3.Connection) -> None:
    """Refuses what only looks like rpm's table: a view or a virtual table runs its maker's SQL."""
    found = connection.execute(
        "SELECT type, rootpage FROM sqlite_master WHERE name = 'Packages'"
    ).fetchall()
    if len(found) != 1 or found[0][0] != "table" or not found[0][1]:
        raise IntegrityError("it has no table Packages")


def ndb_headers(data: bytes) -> Iterator[bytes]:
    """Gives the headers in an ndb ``Packages.db``.

    Raises:
        IntegrityError: it is no such database, or a slot or blob does not fit.
    """
    if len(data) < _NDB_HEADER or data[:4] != b"RpmP":
        raise IntegrityError("it is no ndb database")
    version, _, pages = struct.unpack_from("<III", data, 4)
    end = pages * 4096
    if version != 0 or not 0 < end <= len(data):
        raise IntegrityError("its slots are cut off, or its version is unknown")
    count = 0
    for at in range(_NDB_HEADER, end, _NDB_SLOT):
        magic, index, block, blocks = struct.unpack_from("<4sIII", data, at)
        if magic != b"Slot":
            raise IntegrityError(f"the slot at byte {at} is damaged")
        if index == 0:
            continue
        count += 1
        if count > LIMIT_PACKAGES:
            raise IntegrityError(f"it has more than {LIMIT_PACKAGES} packages")
        yield _blob(data, index, block * _NDB_BLOCK, blocks * _NDB_BLOCK)


def _blob(data: bytes, index: int, at: int, size_bytes: int) -> bytes:
    if size_bytes < 28 or at + size_bytes > len(data):
        raise IntegrityError(f"package {index} lies outside of the file")
    magic, owner, _, length = struct.unpack_from("<4sIII", data, at)
    if magic != b"BlbS" or owner != index or length > min(size_bytes - 28, HEADER_LIMIT_BYTES):
        raise IntegrityError(f"package {index} is damaged")
    return data[at + 16 : at + 16 + length]
