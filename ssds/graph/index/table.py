"""What the index remembers, as columns: rows of files, and one entry for each recipe.

A recipe is *settled* when everything of it was reused because its lock or a pin says so, and
nothing waited to be done: no step, no lock update, no push. Then its plan depends on its files,
on the ground that all recipes share, and on the recipes that it builds on, and on nothing else;
its nodes need not be made to know that they are reused.
"""

from __future__ import annotations

import json
import operator
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Collection, Container, Iterator, Sequence
from typing import Any

from ssds.graph.index.groups import join, words
from ssds.graph.index.layout import BadIndex, IndexFile

DIGEST_BYTES = 32
KEY_BYTES = 8
_FEW = 16
NO_DIGEST = bytes(DIGEST_BYTES)
NEVER_DAY = 1 << 30

GROUND, CATALOG, LOCKS, STORE, SETTINGS, CODE = -1, -2, -3, -4, -5, -6
"""Owners of rows that are no recipe's: what all recipes share (bases, policies, sites, shared
pins, observations); the catalog's folder; the folder of the locks; the claims; the settings; ssds
itself."""

SETTLED, WAIVERS, GONE, FOLDER, UNSURE = 1, 2, 4, 8, 16
"""Flags of an entry: settled; has waivers, so the date counts; nothing of it is there any more;
it has a folder in the catalog; its rows do not tell all that it rests on, so it never settles."""

_TEXTS = ("names", "releases", "channel_names", "shared_names")
_INTS = ("flags", "until", "own", "edges_at", "edges", "shared_at", "shared", "keys_at")
SECTIONS = (
    *_TEXTS,
    *_INTS,
    *("facts", "owners", "channels", "prints", "keys", "shared_keys", "digests"),
)


class Table:
    """The entries of the recipes, as columns; a number is an entry's place in all of them.

    Attributes:
        names: the recipes' names; a number is never given to another name.
        flags, until, own: SETTLED and the like; the day from which its keys differ; how many
            nodes it has of its own.
        prints: what others see of it (its outputs, verbs, packages), as a digest each.
        channels: bit n is set where it is published to ``channel_names[n]``.
        releases: its releases, separated by blanks.
        owners, digests: for each row of a file: whose it is, and the sha256 of its content.
        keys: the first ``KEY_BYTES`` of every action key that its locks claim.
        shared_names, shared_keys: nodes of no single recipe (bases, sources), and their keys.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.flags = array("i")
        self.until = array("i")
        self.own = array("i")
        self.prints = bytearray()
        self.channels = array("Q")
        self.channel_names: list[str] = []
        self.releases: list[str] = []
        self.edges_at = array("i", [0])
        self.edges = array("i")
        self.shared_at = array("i", [0])
        self.shared = array("i")
        self.keys_at = array("i", [0])
        self.keys = bytearray()
        self.shared_names: list[str] = []
        self.shared_keys = bytearray()
        self.owners = array("i")
        self.digests = bytearray()
        self.facts: dict[str, str] = {}

    @classmethod
    def load(cls, file: IndexFile) -> Table:
        """Returns the table of an index file.

        Raises:
            BadIndex: its columns do not agree.
        """
        self = cls()
        self.names = words(file, "names")
        self.releases = words(file, "releases")
        self.channel_names = words(file, "channel_names")
        self.shared_names = words(file, "shared_names")
        self.facts = dict(word.split("=", 1) for word in words(file, "facts") if "=" in word)
        for name in _INTS:
            setattr(self, name, array("i", bytes(file.section(name, 4))))
        self.owners = array("i", bytes(file.section("owners", 4)))
        self.channels = array("Q", bytes(file.section("channels", 8)))
        self.prints = bytearray(file.section("prints", DIGEST_BYTES))
        self.keys = bytearray(file.section("keys", KEY_BYTES))
        self.shared_keys = bytearray(file.section("shared_keys", DIGEST_BYTES))
        self.digests = bytearray(file.section("digests", DIGEST_BYTES))
        self._check()
        return self

    def _check(self) -> None:
        count = len(self.names)
        lengths = {
            len(self.flags), len(self.until), len(self.own), len(self.channels),
            len(self.releases), len(self.prints) // DIGEST_BYTES,
            len(self.edges_at) - 1, len(self.shared_at) - 1, len(self.keys_at) - 1,
        }  # fmt: skip
        whole = (
            lengths == {count}
            and len(self.shared_names) * DIGEST_BYTES == len(self.shared_keys)
            and len(self.owners) * DIGEST_BYTES == len(self.digests)
            and _in_order(self.edges_at, len(self.edges))
            and _in_order(self.shared_at, len(self.shared))
            and _in_order(self.keys_at, len(self.keys) // KEY_BYTES)
            and _within(self.edges, 0, count)
            and _within(self.shared, 0, len(self.shared_names))
            and _within(self.owners, CODE, count)
        )
        if not whole:
            raise BadIndex("its columns do not agree")

    def packed(self, name: str) -> bytes | bytearray:
        """Returns the bytes of one of ``SECTIONS``."""
        if name == "facts":
            return join(f"{key}={text}" for key, text in sorted(self.facts.items()))
        value: Any = getattr(self, name)
        if name in _TEXTS:
            return join(value)
        packed: bytes | bytearray = value.tobytes() if isinstance(value, array) else value
        return packed

    def sections(self) -> Iterator[tuple[str, bytes | bytearray]]:
        """Gives all sections."""
        for name in SECTIONS:
            yield name, self.packed(name)

    def __len__(self) -> int:
        return len(self.names)

    def print_of(self, number: int) -> bytes:
        """Returns the digest of what others see of a recipe."""
        return bytes(self.prints[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES])

    def builds_on(self, number: int) -> array[int]:
        """Returns the recipes that a recipe builds on."""
        return self.edges[self.edges_at[number] : self.edges_at[number + 1]]

    def shares(self, number: int) -> array[int]:
        """Returns the shared nodes that a recipe uses."""
        return self.shared[self.shared_at[number] : self.shared_at[number + 1]]

    def built_on(self, numbers: set[int]) -> set[int]:
        """Returns the recipes that build directly on any of ``numbers``."""
        places = [at for at, to in enumerate(self.edges) if to in numbers]
        return {bisect_right(self.edges_at, at) - 1 for at in places}

    def users(self, nodes: set[int]) -> set[int]:
        """Returns the recipes that use any of these shared nodes."""
        places = [at for at, node in enumerate(self.shared) if node in nodes]
        return {bisect_right(self.shared_at, at) - 1 for at in places}

    def keys_of(self, number: int) -> bytes:
        """Returns the beginnings of the keys that a recipe's locks claim, one after another."""
        start, end = self.keys_at[number], self.keys_at[number + 1]
        return bytes(self.keys[start * KEY_BYTES : end * KEY_BYTES])

    def claiming(self, key: bytes) -> set[int]:
        """Returns the recipes whose locks may claim a key, by its beginning."""
        return {bisect_right(self.keys_at, at) - 1 for at in _places(self.keys, key)}

    def rows_of(self, owners: Collection[int]) -> list[int]:
        """Returns the places of these owners' rows, in order."""
        if len(owners) > _FEW:
            return [at for at, owner in enumerate(self.owners) if owner in owners]
        found: list[int] = []
        data = self.owners.tobytes()
        for owner in owners:
            found += _places(data, array("i", [owner]).tobytes())
        return sorted(found)

    def all_with(self, flag: int, *, without: bool = False) -> set[int]:
        """Returns the recipes that have (or have not) a flag; those that are gone left out."""
        wanted = 0 if without else flag
        if not any(flags & flag == wanted and not flags & GONE for flags in set(self.flags)):
            return set()
        return {
            number
            for number, flags in enumerate(self.flags)
            if flags & flag == wanted and not flags & GONE
        }


def _places(data: bytes | bytearray, item: bytes) -> Iterator[int]:
    """Gives the numbers of the items that are ``item``, among items of its length."""
    at = data.find(item)
    while at >= 0:
        if at % len(item) == 0:
            yield at // len(item)
        at = data.find(item, at + 1)


def _in_order(starts: Sequence[int], end: int) -> bool:
    return starts[0] == 0 and starts[-1] == end and all(map(operator.le, starts[:-1], starts[1:]))


def _within(numbers: array[int], least: int, end: int) -> bool:
    return not numbers or (min(numbers) >= least and max(numbers) < end)


class Documents:
    """Parsed and checked recipes by the sha256 of their bytes.

    They are kept as JSON text, each with its CRC-32: a damaged one is as good as none. They stand
    in parts, a new one for each time that some were added.
    """

    def __init__(self, file: IndexFile | None = None) -> None:
        self.added: dict[bytes, bytes] = {}
        self._parts: list[tuple[bytes, array[int], memoryview]] = []
        self._places: dict[bytes, tuple[int, int]] | None = None
        self._asked = 0
        if file is not None:
            parts = zip(
                file.parts("recipe_digests", DIGEST_BYTES),
                file.parts("recipes_at", 8),
                file.parts("recipes", checked=False),
                strict=False,
            )
            for digests, at, data in parts:
                ends = array("Q", bytes(at))
                whole = len(ends) == len(digests) // DIGEST_BYTES + 1
                if not whole or not _in_order(ends, len(data)):
                    raise BadIndex("its recipes do not agree")
                self._parts.append((bytes(digests), ends, data))

    def __len__(self) -> int:
        return sum(len(digests) // DIGEST_BYTES for digests, _, _ in self._parts)

    def get(self, digest: bytes, /) -> Any:
        """Returns the value of a recipe whose bytes have that sha256, or None."""
        text = self.added.get(digest) or self._known(digest)
        if text is None:
            return None
        try:
            return json.loads(text[4:])
        except (ValueError, RecursionError):
            return None

    def _known(self, digest: bytes) -> bytes | None:
        if self._places is None and self._asked < _FEW:
            self._asked += 1
            return self._searched(digest)
        if self._places is None:
            self._places = {
                digests[at : at + DIGEST_BYTES]: (part, at // DIGEST_BYTES)
                for part, (digests, _, _) in enumerate(self._parts)
                for at in range(0, len(digests), DIGEST_BYTES)
            }
        place = self._places.get(digest)
        if place is None:
            return None
        return self._text(*place)

    def _searched(self, digest: bytes) -> bytes | None:
        """Returns the same for one of a few, without a map of all."""
        for part, (digests, _, _) in enumerate(self._parts):
            for number in _places(digests, digest):
                return self._text(part, number)
        return None

    def _text(self, part: int, number: int) -> bytes | None:
        _, ends, data = self._parts[part]
        text = bytes(data[ends[number] : ends[number + 1]])
        return text if zlib.crc32(text[4:]).to_bytes(4, "little") == text[:4] else None

    def add(self, digest: bytes, value: Any, /) -> None:
        """Keeps the value of a recipe that had no problem."""
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "surrogatepass"
        )
        self.added[digest] = zlib.crc32(text).to_bytes(4, "little") + text

    def keep(self, digests: Container[bytes]) -> None:
        """Makes those that are kept and in ``digests`` the added ones, for a file made anew."""
        self._asked = _FEW
        self._known(b"")
        for digest in self._places or ():
            if digest in digests and digest not in self.added:
                text = self._known(digest)
                if text is not None:
                    self.added[digest] = text

    def sections(self) -> Iterator[tuple[str, bytes]]:
        """Gives the sections of a part with those that were added."""
        at = array("Q", [0])
        for text in self.added.values():
            at.append(at[-1] + len(text))
        yield "recipe_digests", b"".join(self.added)
        yield "recipes_at", at.tobytes()
        yield "recipes", b"".join(self.added.values())
