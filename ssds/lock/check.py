"""Typed access to parsed JSON whose every fault is kept with its path and code.

Each method returns a value of the promised type even when the input is wrong; the caller asks
``faults`` at the end and throws the result away if there are any.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ssds.core.digest import ActionKey, Digest
from ssds.core.errors import InvalidValue
from ssds.core.patterns import pattern
from ssds.core.platform import Platform
from ssds.core.records import dataclass
from ssds.lock.marks import Path

NO_DIGEST = Digest("sha256:" + "0" * 64)
NO_KEY = ActionKey("blake3:" + "0" * 64)
NO_PLATFORM = Platform("linux/amd64")

_UNSAFE = pattern(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_TEXT_LIMIT = 4096
COMMAND = r"[A-Za-z0-9_][A-Za-z0-9_.+@%=,~:-]{0,127}"
_COMMAND = pattern(COMMAND)
_HEX = pattern(r"[0-9a-f]{64}")


def storable(text: str) -> bool:
    """Whether a lock can hold a text: some, printable, and not longer than a path."""
    return bool(text) and len(text) <= _TEXT_LIMIT and not _UNSAFE.search(text)


def is_page(text: str) -> bool:
    """Whether a text is a JSON object (RFC 8259) that can be written again."""
    import json

    try:
        found = json.loads(text)
        json.dumps(found, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):  # also NaN, and a lone surrogate
        return False
    return isinstance(found, dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """One problem: its code, its path, and (label, text) facts."""

    code: str
    path: Path
    facts: tuple[tuple[str, str], ...] = ()


class Checker:
    """Collects faults while values are read."""

    __slots__ = ("faults",)

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def fault(self, code: str, path: Path, **facts: str) -> None:
        """Keeps one fault."""
        self.faults.append(Fault(code, path, tuple(facts.items())))

    def map(
        self, value: object, path: Path, *, required: str = "", optional: str = ""
    ) -> Mapping[str, object]:
        """Returns a map whose keys were checked; ``required`` and ``optional`` are split words."""
        found = self.any_map(value, path)
        wanted, known = required.split(), {*required.split(), *optional.split()}
        for key in found:
            if key not in known:
                self.fault("L011", (*path, key), key=key, known=" ".join(sorted(known)))
        if isinstance(value, dict):
            for key in wanted:
                if key not in found:
                    self.fault("L012", path, missing=key)
        return found

    def any_map(self, value: object, path: Path) -> Mapping[str, object]:
        """Returns a map with any keys."""
        if isinstance(value, dict):
            return value
        self._wrong(value, path, "a map")
        return {}

    def items(self, value: object, path: Path) -> Iterator[tuple[Path, object]]:
        """Gives path and value of each item of a list."""
        if not isinstance(value, list):
            self._wrong(value, path, "a list")
            return
        for number, item in enumerate(value):
            yield (*path, number), item

    def _wrong(self, value: object, path: Path, wanted: str) -> None:
        if value is None or isinstance(value, float):
            self.fault("L006", path, found="null" if value is None else "a float", expected=wanted)
        elif value is not MISSING:
            names = {bool: "true or false", int: "a number", str: "a text", dict: "a map"}
            self.fault("L013", path, found=names.get(type(value), "a list"), expected=wanted)

    def text(self, value: object, path: Path, *, pattern: str = "", empty: bool = False) -> str:
        """Returns a text without control characters; ``pattern`` must match all of it."""
        if not isinstance(value, str):
            self._wrong(value, path, "a text")
            return ""
        if value and not storable(value):
            self.fault("L014", path, found=repr(value[:80]), expected="printable text")
        elif (not value and not empty) or (pattern and not re.fullmatch(pattern, value)):
            self.fault("L014", path, found=repr(value[:80]), expected=pattern or "some text")
        return value

    def choice(self, value: object, path: Path, known: tuple[str, ...]) -> str:
        """Returns one of ``known``."""
        text = self.text(value, path, empty=True)
        if isinstance(value, str) and value not in known:
            self.fault("L014", path, found=repr(value[:80]), expected=" or ".join(known))
        return text

    def number(self, value: object, path: Path, *, least: int = 0) -> int:
        """Returns a whole number from ``least``."""
        if isinstance(value, bool) or not isinstance(value, int):
            self._wrong(value, path, "a whole number")
            return least
        if value < least:
            self.fault("L014", path, found=str(value), expected=f"{least} or more")
        return value

    def flag(self, value: object, path: Path) -> bool:
        """Returns a boolean."""
        if not isinstance(value, bool):
            self._wrong(value, path, "true or false")
        return value is True

    def digest(self, value: object, path: Path, algorithm: str = "sha256") -> Digest:
        """Returns a digest of that algorithm (the empty text: any)."""
        if not isinstance(value, str):
            self._wrong(value, path, "a digest")
            return NO_DIGEST
        try:
            found = Digest(value)
        except InvalidValue:
            found = None
        if found is None or (algorithm and found.algorithm != algorithm):
            wanted = f"{algorithm or 'sha256'}:<64 hex digits>"
            self.fault("L015", path, found=repr(value[:90]), expected=wanted)
            return NO_DIGEST
        return found

    def key(self, value: object, path: Path) -> ActionKey:
        """Returns an action key."""
        found = self.digest(value, path, "blake3")
        return ActionKey(found) if found.algorithm == "blake3" else NO_KEY

    def bare_sha256(self, value: object, path: Path) -> Digest:
        """Returns the digest of a field that holds the 64 hex digits alone."""
        if not isinstance(value, str):
            self._wrong(value, path, "a sha256")
            return NO_DIGEST
        if not _HEX.fullmatch(value):
            self.fault("L015", path, found=repr(value[:90]), expected="64 hex digits")
            return NO_DIGEST
        return Digest("sha256:" + value)

    def platform(self, value: object, path: Path) -> Platform:
        """Returns a platform."""
        try:
            return Platform(str(value))
        except InvalidValue:
            self.fault("L017", path, found=repr(str(value)[:60]))
            return NO_PLATFORM

    def file_name(self, value: object, path: Path) -> str:
        """Returns a plain file name."""
        text = self.text(value, path)
        if "/" in text or text in (".", "..") or len(text.encode("utf-8", "replace")) > 255:
            self.fault("L024", path, found=repr(text[:80]), expected="a plain file name")
        return text

    def relative_path(self, value: object, path: Path) -> str:
        """Returns a relative path that cannot leave its root."""
        text = self.text(value, path)
        if text.startswith("/") or "\\" in text or {"", ".", ".."} & set(text.split("/")):
            self.fault("L024", path, found=repr(text[:80]), expected="a path below its root")
        return text

    def command(self, value: object, path: Path) -> str:
        """Returns a command: a plain name, or an absolute path that ends in one."""
        text = self.text(value, path)
        folders = text.split("/")[1:-1] if text.startswith("/") else []
        name = text.rsplit("/", 1)[-1] if text.startswith("/") else text
        if text and (not _COMMAND.fullmatch(name) or {"", ".", ".."} & set(folders)):
            self.fault("L025", path, found=repr(text[:80]))
        return text


class _Missing:
    pass


MISSING = _Missing()
"""Stands for a key that is not there: its absence is already a fault."""
