"""Explains: why a node runs, as differences between two pre-images. Pure.

The same pre-image gives the key, the explanation and the difference, so they cannot disagree
(design section 4).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ssds.core.canonical import Json
from ssds.core.model import Node

_SHOWN = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field that differs.

    Attributes:
        path: the path in the pre-image (``slice.steps[1].script``).
        before, after: shortened texts; the empty string where the field is absent.
        address: the address in the recipe, where the field comes from one.
    """

    path: str
    before: str
    after: str
    address: str = ""

    def __str__(self) -> str:
        where = f" ({self.address})" if self.address else ""
        if not self.before:
            return f"{self.path} is new: {self.after}{where}"
        if not self.after:
            return f"{self.path} is gone, was {self.before}{where}"
        return f"{self.path}: {self.before} → {self.after}{where}"


def differences(
    before: Mapping[str, Json], after: Mapping[str, Json], node: Node
) -> tuple[Difference, ...]:
    """Returns the fields that differ between two pre-images of ``node``."""
    return tuple(
        Difference(path=path, before=_show(a), after=_show(b), address=_address(path, node))
        for path, a, b in _walk(before, after, "")
    )


_ABSENT = object()


def _walk(a: object, b: object, path: str) -> Iterator[tuple[str, object, object]]:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in sorted({*a, *b}):
            below = f"{path}.{key}" if path else str(key)
            yield from _walk(a.get(key, _ABSENT), b.get(key, _ABSENT), below)
    elif isinstance(a, list | tuple) and isinstance(b, list | tuple):
        for index in range(max(len(a), len(b))):
            left = a[index] if index < len(a) else _ABSENT
            right = b[index] if index < len(b) else _ABSENT
            yield from _walk(left, right, f"{path}[{index}]")
    elif a != b:
        yield path, a, b


def _show(value: object) -> str:
    if value is _ABSENT:
        return ""
    text = value if isinstance(value, str) else repr(value)
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _address(path: str, node: Node) -> str:
    found = ""
    for prefix, address in node.origin.items():
        if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", ".", "["):
            found = address
    return found


def distance(before: Mapping[str, Json], after: Mapping[str, Json]) -> int:
    """Returns how many fields differ; the nearest remembered key has the fewest."""
    return sum(1 for _ in _walk(before, after, ""))
