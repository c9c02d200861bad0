"""A set as one binary file with an index: a look-up reads what is said of one package.

Layout, integers little-endian: the magic, then the sizes of head, index and keys (u64), the number
of keys (u64); the head (canonical JSON); a table of ``count + 1`` u64 offsets into the blocks, and
one of ``count + 1`` u64 offsets into the keys; the keys (UTF-8 ``ecosystem NUL name``, sorted by
their bytes); the blocks (canonical JSON, a list of records each). The same records give the same
bytes on any machine.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import overload

from ssds.advisories.osv import (
    AdvisorySet,
    Affected,
    Record,
    read_advisories,
    read_head,
    read_record,
)
from ssds.core.canonical import Json, canonical_bytes
from ssds.core.digest import sha256_of
from ssds.core.errors import IntegrityError
from ssds.oci.document import Place, load_document

MAGIC = b"SSDSADV1"
LIMIT_BYTES = 2 << 30
LIMIT_KEYS = 4_000_000
LIMIT_HEAD_BYTES = 4 * 1024 * 1024
LIMIT_BLOCK_BYTES = 256 * 1024 * 1024
FACTS = "~facts"
"""The ecosystem under which facts about ids stand."""
_SIZES = struct.Struct("<QQQQ")
_START = len(MAGIC) + _SIZES.size


def pack(
    head: Mapping[str, Json],
    records: Iterable[Mapping[str, Json]],
    facts: Mapping[str, Mapping[str, str]],
) -> bytes:
    """Returns the bytes of a set.

    Args:
        head: ``name, date, ecosystems, basis, provenance, only?``.
        records: trimmed OSV records, withdrawn ones left out.
        facts: id → what is known of it besides.
    """
    blocks: dict[bytes, list[bytes]] = {}
    for record in records:
        affected = record["affected"]
        assert isinstance(affected, list)
        by_key: dict[bytes, list[Json]] = {}
        for entry in affected:
            package = entry["package"]
            by_key.setdefault(_key(package["ecosystem"], package["name"]), []).append(entry)
        for key, entries in by_key.items():
            blocks.setdefault(key, []).append(canonical_bytes({**record, "affected": entries}))
    texts = {key: b"[" + b",".join(sorted(rows)) + b"]" for key, rows in blocks.items()}
    for name, known in facts.items():
        texts[_key(FACTS, name)] = b"[" + canonical_bytes(dict(known)) + b"]"
    keys = sorted(texts)
    offsets, places = array("Q", [0]), array("Q", [0])
    for key in keys:
        offsets.append(offsets[-1] + len(texts[key]))
        places.append(places[-1] + len(key))
    first = canonical_bytes(dict(head))
    index = _little(offsets) + _little(places)
    sizes = _SIZES.pack(len(first), len(index), places[-1], len(keys))
    return b"".join((MAGIC, sizes, first, index, *keys, *(texts[key] for key in keys)))


def _key(ecosystem: object, name: object) -> bytes:
    return f"{ecosystem}\0{name}".encode("utf-8", "surrogateescape")


def _little(numbers: array[int]) -> bytes:
    if sys.byteorder == "big":
        numbers = array("Q", numbers)
        numbers.byteswap()
    return numbers.tobytes()


class _Keys(Sequence[bytes]):
    """The keys of a set as a sequence, cut out of its bytes when asked for."""

    def __init__(self, data: bytes, start: int, places: array[int]) -> None:
        self._data = data
        self._start = start
        self._places = places

    def __len__(self) -> int:
        return len(self._places) - 1

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        start, end = self._places[index], self._places[index + 1]
        return self._data[self._start + start : self._start + end]


class _Packages(Mapping[tuple[str, str], Sequence[tuple[Record, Affected]]]):
    """(ecosystem, name) → what records say of it; each block is read once, when it is asked for."""

    def __init__(self, data: bytes, keys: _Keys, start: int, offsets: array[int]) -> None:
        self._data = data
        self.keys_by_bytes = keys
        self._start = start
        self._offsets = offsets
        self._known: dict[tuple[str, str], list[tuple[Record, Affected]]] = {}

    def block(self, index: int) -> list[Place]:
        start, end = self._offsets[index], self._offsets[index + 1]
        if end - start > LIMIT_BLOCK_BYTES:
            raise _damaged("a block is too large")
        body = self._data[self._start + start : self._start + end]
        top = load_document(
            b'{"records":' + body + b"}", "advisory set", limit_bytes=LIMIT_BLOCK_BYTES + 32
        )
        return top.items("records", limit=1_000_000)

    def find(self, key: bytes) -> list[Place]:
        """Returns the items under a key; none where it is not there."""
        index = bisect_left(self.keys_by_bytes, key)
        if index < len(self.keys_by_bytes) and self.keys_by_bytes[index] == key:
            return self.block(index)
        return []

    def __getitem__(self, key: tuple[str, str]) -> list[tuple[Record, Affected]]:
        known = self._known.get(key)
        if known is None:
            records = (read_record(item) for item in self.find(_key(*key)))
            known = [(r, a) for r in records if r is not None for a in r.affected]
            self._known[key] = known
        if not known:
            raise KeyError(key)
        return known

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for key in self.keys_by_bytes:
            ecosystem, _, name = key.decode("utf-8", "surrogateescape").partition("\0")
            if ecosystem != FACTS:
                yield ecosystem, name

    def __len__(self) -> int:
        return sum(1 for _ in self)


class PackedSet(AdvisorySet):
    """An advisory set whose records stay in the file's bytes until they are asked for."""

    __slots__ = ()

    def facts(self, name: str) -> Mapping[str, str]:
        """Returns what is known of an id besides: ``kev`` (a date), ``epss`` (a probability)."""
        assert isinstance(self.packages, _Packages)
        found = self.packages.find(_key(FACTS, name))
        return {key: item.text(key) for item in found[:1] for key in item.map()}


def read_set(data: bytes) -> AdvisorySet:
    """Returns the set in ``data``: a packed one, or one as JSON.

    Raises:
        IntegrityError: V020, its parts do not fit its bytes; or it is of a wrong form.
    """
    if not data.startswith(MAGIC):
        return read_advisories(data)
    if len(data) < _START or len(data) > LIMIT_BYTES:
        raise _damaged("it is cut off or too large")
    head_size, index_size, keys_size, count = _SIZES.unpack_from(data, len(MAGIC))
    index_at = _START + head_size
    keys_at = index_at + index_size
    blocks_at = keys_at + keys_size
    fits = count <= LIMIT_KEYS and index_size == 16 * (count + 1) and blocks_at <= len(data)
    if head_size > LIMIT_HEAD_BYTES or not fits:
        raise _damaged("it is cut off, or its sizes do not fit")
    table = array("Q", data[index_at:keys_at])
    if sys.byteorder == "big":
        table.byteswap()
    offsets, places = table[: count + 1], table[count + 1 :]
    for numbers, size in ((offsets, len(data) - blocks_at), (places, keys_size)):
        if numbers[0] != 0 or numbers[-1] != size or list(numbers) != sorted(numbers):
            raise _damaged("its index does not fit its bytes")
    head = load_document(data[_START:index_at], "advisory set", limit_bytes=LIMIT_HEAD_BYTES)
    packages = _Packages(data, _Keys(data, keys_at, places), blocks_at, offsets)
    return PackedSet(**read_head(head), digest=sha256_of(data), packages=packages)


def verify(found: AdvisorySet) -> int:
    """Reads a whole set; returns how many pairs of record and package it has.

    Raises:
        IntegrityError: V020, keys that are not sorted cannot be found; or a damaged record.
    """
    packages = found.packages
    if not isinstance(packages, _Packages):
        return sum(len(said) for said in packages.values())
    before = b""
    total = 0
    for index, key in enumerate(packages.keys_by_bytes):
        if key <= before:
            raise _damaged("its keys are not sorted")
        before = key
        ecosystem, _, name = key.decode("utf-8", "replace").partition("\0")
        for item in packages.block(index):
            if ecosystem == FACTS:
                for fact in item.map():
                    item.text(fact)
                continue
            record = read_record(item)
            said = record.affected if record is not None else ()
            if any((a.ecosystem, a.name) != (ecosystem, name) for a in said):
                raise _damaged(f"what it says of {name[:80]} stands under another name")
            total += len(said)
    return total


def _damaged(why: str) -> IntegrityError:
    return IntegrityError(
        f"the advisory set is damaged: {why}",
        hint="Get the file again from where it was made, and compare its sha256.",
        code="V020",
    )
