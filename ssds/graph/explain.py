"""Explains: why a node runs, as differences between two pre-images. Pure.

The same pre-image gives the key, the explanation and the difference, so they cannot disagree
(design section 4).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ssds.core.canonical import Json
from ssds.core.model import Node

_SHOWN = 120
_CONTEXT = 16


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
    found = []
    for path, a, b in _walk(before, after, ""):
        old, new = _show(a, b)
        found.append(Difference(path=path, before=old, after=new, address=_address(path, node)))
    return tuple(found)


_ABSENT = object()


def _walk(a: object, b: object, path: str) -> Iterator[tuple[str, object, object]]:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in sorted({*a, *b}):
            below = f"{path}.{key}" if path else str(key)
            yield from _walk(a.get(key, _ABSENT), b.get(key, _ABSENT), below)
    elif _named(a) and _named(b):
        yield from _walk(_by_name(a), _by_name(b), path)
    elif isinstance(a, list | tuple) and isinstance(b, list | tuple):
        for index in range(max(len(a), len(b))):
            left = a[index] if index < len(a) else _ABSENT
            right = b[index] if index < len(b) else _ABSENT
            yield from _walk(left, right, f"{path}[{index}]")
    elif a != b:
        yield path, a, b


def _named(value: object) -> bool:
    """Whether it is a list of packages: what one more of them shifts is not a difference."""
    return isinstance(value, list | tuple) and all(
        isinstance(item, Mapping) and "name" in item and "version" in item for item in value
    )


def _by_name(value: object) -> dict[str, str]:
    """Returns name → version and digest of a list of packages."""
    assert isinstance(value, list | tuple)
    return {
        f"{item['name']}": " ".join(str(item[k]) for k in ("version", "sha256") if k in item)
        for item in value
    }


def _show(before: object, after: object) -> tuple[str, str]:
    """Returns both as text; of long ones the part where they begin to differ."""
    texts = [_text(value) for value in (before, after)]
    if max(map(len, texts)) <= _SHOWN or not all(texts):
        return _cut(texts[0]), _cut(texts[1])
    same = 0
    for left, right in zip(*texts, strict=False):
        if left != right:
            break
        same += 1
    start = max(0, same - _CONTEXT)
    old, new = (_cut(("…" if start else "") + text[start:]) for text in texts)
    return old, new


def _text(value: object) -> str:
    if value is _ABSENT:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return " ".join(text.split())


def _cut(text: str) -> str:
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
