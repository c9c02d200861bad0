"""JSON documents from outside, read with suspicion: size, depth, duplicate keys and types.

Every reader gives its value or raises IntegrityError that names the document and the path inside
it (``image manifest sha256:…: layers[2].size``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Never

from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError, InvalidValue
from ssds.core.records import dataclass

DOCUMENT_LIMIT_BYTES = 4 * 1024 * 1024
"""The largest manifest, index or config that is read; registries have the same limit."""

DEPTH_LIMIT = 64
TEXT_LIMIT = 1024 * 1024
_REMEDY = "The bytes are damaged or were not made for this use; get them again from their source."


@dataclass(frozen=True, slots=True)
class Place:
    """A value inside a document and the way to it."""

    what: str
    path: str
    value: object

    def fail(self, problem: str, *, code: str = "O004") -> Never:
        """Raises the error for this place."""
        where = f"{self.what}: {self.path}" if self.path else self.what
        raise IntegrityError(f"{where}: {problem}", hint=_REMEDY, code=code)

    def map(self) -> Mapping[str, object]:
        """Returns the value as a map with text keys."""
        if not isinstance(self.value, dict):
            self.fail(f"expected a map, found {_name(self.value)}")
        return self.value

    def has(self, key: str) -> bool:
        """Whether the map has ``key`` with a value other than null."""
        return self.map().get(key) is not None

    def child(self, key: str) -> Place:
        """Returns the place of a key that must be there."""
        path = f"{self.path}.{key}" if self.path else key
        if not self.has(key):
            Place(self.what, path, None).fail("is missing")
        return Place(self.what, path, self.map()[key])

    def items(self, key: str, *, limit: int) -> list[Place]:
        """Returns the places of a list's items; a missing or null list is empty."""
        if not self.has(key):
            return []
        place = self.child(key)
        if not isinstance(place.value, list):
            place.fail(f"expected a list, found {_name(place.value)}")
        if len(place.value) > limit:
            place.fail(f"has {len(place.value)} items, more than the limit of {limit}")
        return [Place(self.what, f"{place.path}[{i}]", v) for i, v in enumerate(place.value)]

    def text(self, key: str, default: str | None = None) -> str:
        """Returns a text; ``default`` stands for a missing or null one."""
        if default is not None and not self.has(key):
            return default
        return self.child(key).as_text()

    def as_text(self) -> str:
        """Returns the value as text without NUL and of bounded length."""
        if not isinstance(self.value, str):
            self.fail(f"expected a text, found {_name(self.value)}")
        if len(self.value) > TEXT_LIMIT or "\0" in self.value:
            self.fail("the text is too long or has a NUL character")
        return self.value

    def texts(self, key: str, *, limit: int = 10_000) -> tuple[str, ...]:
        """Returns a list of texts."""
        return tuple(item.as_text() for item in self.items(key, limit=limit))

    def text_map(self, key: str, *, limit: int = 10_000) -> dict[str, str]:
        """Returns a map of texts; a missing or null one is empty."""
        if not self.has(key):
            return {}
        place = self.child(key)
        entries = place.map()
        if len(entries) > limit:
            place.fail(f"has {len(entries)} entries, more than the limit of {limit}")
        return {name: place.child(name).as_text() for name in entries}

    def integer(self, key: str, *, low: int, high: int) -> int:
        """Returns a whole number within bounds."""
        place = self.child(key)
        if not isinstance(place.value, int) or isinstance(place.value, bool):
            place.fail(f"expected a whole number, found {_name(place.value)}")
        if not low <= place.value <= high:
            place.fail("the number is out of range")
        return place.value

    def digest(self, key: str) -> Digest:
        """Returns a digest, sha256 or sha512."""
        return self.child(key).as_digest()

    def as_digest(self) -> Digest:
        """Returns the value as a digest that OCI knows."""
        try:
            digest = Digest(self.as_text())
        except InvalidValue as error:
            self.fail(error.message)
        if digest.algorithm == "blake3":
            self.fail("blake3 is not a digest algorithm of OCI")
        return digest


def load_document(data: bytes, what: str, *, limit_bytes: int = DOCUMENT_LIMIT_BYTES) -> Place:
    """Returns the root place of a JSON map.

    Raises:
        IntegrityError: O001 too large, O002 no JSON, O003 a key twice, O004 no map, too deep, or
            half a character.
    """
    root = Place(what, "", None)
    if len(data) > limit_bytes:
        root.fail(f"is {len(data)} bytes, more than the limit of {limit_bytes}", code="O001")

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        result = dict(items)
        if len(result) != len(items):
            seen: set[str] = set()
            double = next(k for k, _ in items if k in seen or seen.add(k))  # type: ignore[func-returns-value]
            root.fail(f"the key {double[:80]!r} stands twice", code="O003")
        return result

    def constant(text: str) -> Never:
        root.fail(f"{text} is not JSON", code="O002")

    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=pairs, parse_constant=constant)
    except RecursionError:
        root.fail("is nested too deeply")
    except ValueError as error:
        if isinstance(error, IntegrityError):
            raise
        root.fail(f"is not JSON ({str(error)[:120]})", code="O002")
    if _depth(value) > DEPTH_LIMIT:
        root.fail("is nested too deeply")
    if b"\\u" in data and not _is_text(value):
        root.fail("has half a character, which no text can hold")
    place = Place(what, "", value)
    place.map()
    return place


def _is_text(value: object) -> bool:
    """Whether UTF-8 can write it: JSON's escapes can name halves of surrogate pairs."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _depth(value: object) -> int:
    level = [value]
    depth = 0
    while level and depth <= DEPTH_LIMIT:
        depth += 1
        inner: list[object] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        level = inner
    return depth


def _name(value: object) -> str:
    names = {dict: "a map", list: "a list", str: "a text", bool: "a boolean", int: "a number"}
    return "null" if value is None else names.get(type(value), type(value).__name__)
