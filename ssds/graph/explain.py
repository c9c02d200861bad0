"""Explains: why a node runs, as differences between two pre-images. Pure.

The same pre-image gives the key, the explanation and the difference, so they cannot disagree
(design section 4).
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ssds.core.canonical import Json
from ssds.core.digest import ActionKey
from ssds.core.model import Action, Node
from ssds.core.patterns import pattern
from ssds.core.records import dataclass

_SHOWN = 120
_CONTEXT = 16
_ALIGNED_AT_MOST = 300
_FIRST = ("version", "architecture", "sha256")
_PLAIN = {
    "source_date_epoch": "the date of the inputs",
    "kind_version": "ssds itself",
    "salt": "the catalog's salt",
    "platform": "the platform",
}
_LOCAL = pattern(r"slice\.steps\[(\d+)\]\.local\[(\d+)\]")
_OWN = {
    "run": {"script": ""},
    "apt": {"packages": ""},
    "pip": {"packages": ""},
    "env": {"values": ""},
    "labels": {"values": ""},
    "workdir": {"path": ""},
    "user": {"name": ""},
    "entrypoint": {"arguments": ""},
}
"""Step type → field of its slice → its name below ``build[n].<type>``, where they differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field that differs.

    Attributes:
        path: the path in the pre-image (``slice.steps[1].script``).
        before, after: shortened texts; the empty string where the field is absent.
        address: the address in the recipe, where the field comes from one.
        lines: the new text, whole, where it has several lines.
        offset: where in ``lines`` the first line that differs begins.
    """

    path: str
    before: str
    after: str
    address: str = ""
    lines: str = ""
    offset: int = 0

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
        lines = b if isinstance(b, str) and "\n" in b else ""
        found.append(
            Difference(
                path=path,
                before=old,
                after=new,
                address=_address(path, node),
                lines=lines,
                offset=_line_start(a, lines),
            )
        )
    return tuple(found)


def _line_start(before: object, lines: str) -> int:
    """Returns where the first line of ``lines`` that is not one of ``before`` begins."""
    old = before.split("\n") if isinstance(before, str) else []
    start = 0
    for number, line in enumerate(lines.split("\n")):
        if number >= len(old) or old[number] != line:
            return start
        start += len(line) + 1
    return len(lines)


_ABSENT = object()


def _walk(a: object, b: object, path: str) -> Iterator[tuple[str, object, object]]:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in sorted({*a, *b}):
            below = f"{path}.{key}" if path else str(key)
            yield from _walk(a.get(key, _ABSENT), b.get(key, _ABSENT), below)
    elif _named(a) and _named(b):
        yield from _walk(_by_name(a), _by_name(b), path)
    elif isinstance(a, list | tuple) and isinstance(b, list | tuple):
        for index, left, right in _aligned(a, b):
            yield from _walk(left, right, f"{path}[{index}]")
    elif a != b or isinstance(a, bool) != isinstance(b, bool):
        yield path, a, b


def _aligned(
    before: Sequence[object], after: Sequence[object]
) -> Iterator[tuple[int, object, object]]:
    """Gives (index, before, after) of the items that may differ, what was put in or left out alone.

    So one step more is one difference, and not one in each step after it. The index is that in
    ``after``; of what is gone that in ``before``.
    """
    if max(len(before), len(after)) > _ALIGNED_AT_MOST:
        for index, (old, new) in enumerate(itertools.zip_longest(before, after, fillvalue=_ABSENT)):
            yield index, old, new
        return
    import difflib

    texts = [[json.dumps(item, sort_keys=True) for item in items] for items in (before, after)]
    matcher = difflib.SequenceMatcher(None, texts[0], texts[1], autojunk=False)
    for what, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if what == "equal":
            continue
        pairs = itertools.zip_longest(
            range(old_from, old_to), range(new_from, new_to), fillvalue=None
        )
        for i, j in pairs:
            left = _ABSENT if i is None else before[i]
            right = _ABSENT if j is None else after[j]
            yield (j if j is not None else i if i is not None else 0), left, right


def _named(value: object) -> bool:
    """Whether it is a list of packages: what one more of them shifts is not a difference.

    A name that it has twice (of two architectures) makes it a list like any other.
    """
    if not isinstance(value, list | tuple):
        return False
    names = [i["name"] for i in value if isinstance(i, Mapping) and "name" in i and "version" in i]
    return len(names) == len(value) and len({str(name) for name in names}) == len(names)


def _by_name(value: object) -> dict[str, str]:
    """Returns name → version, digest and what else there is, of a list of packages."""
    assert isinstance(value, list | tuple)
    return {
        f"{item['name']}": " ".join(
            [
                *(str(item[k]) for k in _FIRST if k in item),
                *(f"{k}={_text(item[k])}" for k in sorted(item) if k not in ("name", *_FIRST)),
            ]
        )
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A key that is known with its pre-image; ``node`` is the text of the node that it was of."""

    key: ActionKey
    node: str
    preimage: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """The remembered key that differs least from an action's.

    Attributes:
        key: that key.
        node, platform: whose it was; the same as the asked node's, or a neighbour's.
        differences: the fields that differ, in the order of their paths.
    """

    key: ActionKey
    node: str
    platform: str
    differences: tuple[Difference, ...]

    def of_another(self, node: Node) -> str:
        """Returns whose key it is when not the node's own: ``x@1:build [linux/arm64]``."""
        if self.node in ("", str(node.id)) and self.platform in ("any", node.id.platform):
            return ""
        return f"{self.node or node.id}" + ("" if self.platform == "any" else f" [{self.platform}]")


def nearest(known: Iterable[Remembered], action: Action) -> Nearest | None:
    """Returns the remembered key nearest to an action's, the first of equals; None without one.

    The action's own key is no neighbour of itself.
    """
    best: Remembered | None = None
    least = 0
    now = json.loads(action.preimage_bytes)
    for entry in known:
        if entry.key == action.key:
            continue
        fields = distance(entry.preimage, now)
        if best is None or fields < least:
            best, least = entry, fields
    if best is None:
        return None
    return Nearest(
        key=best.key,
        node=best.node,
        platform=str(best.preimage.get("platform", "any")),
        differences=differences(best.preimage, now, action.node),
    )


def own_address(node: Node, difference: Difference) -> str:
    """Returns the recipe's own address of a field, or plain words for what is in no recipe."""
    path = difference.path
    if not difference.address:
        kind, _, rest = path.partition(".")
        if node.kind == "build" and rest.startswith("steps["):
            return f"build{rest.removeprefix('steps')}"
        if kind == "inputs":
            return f"its input {rest}"
        return _PLAIN.get(path, rest if kind == "slice" else path)
    prefix = max((p for p in node.origin if path.startswith(p)), key=len, default="")
    rest = path[len(prefix) :]
    if node.kind == "build" and rest.startswith(".local["):
        return f"{difference.address}.copy.local"
    field = re.match(r"\.([A-Za-z_]+)", rest)
    if node.kind == "build" and field:
        return difference.address + _step_field(node, prefix, field[1], rest[field.end() :])
    if node.kind == "test" and rest == ".script":
        rest = ".run"
    return difference.address + rest


def local_file(node: Node, difference: Difference) -> str:
    """Returns the copied file that a difference is of, relative to the workspace, or nothing."""
    found = _LOCAL.match(difference.path)
    steps, trees = node.slice.get("steps"), node.hints.get("local")
    if node.kind != "build" or found is None or not isinstance(steps, list | tuple):
        return ""
    try:
        step, number = steps[int(found[1])], int(found[2])
        name = str(step["local"][number]["path"])
        tree = str(trees[found[1]])  # type: ignore[index]
    except (IndexError, KeyError, TypeError):
        return ""
    return tree if tree.rpartition("/")[2] == name and len(step["local"]) == 1 else f"{tree}/{name}"


def suite_place(node: Node, path: str) -> tuple[str, tuple[str, ...]]:
    """Returns the suite's file that a field of a test's slice comes from, and where it may stand.

    The addresses are those of ``fulltest.yaml``, the likeliest first; an empty file for others.
    """
    found, file = _SUITE.match(path), node.hints.get("suite_file")
    if node.kind != "test" or found is None or not isinstance(file, str):
        return "", ()
    test, field = found[1] or "", found[2] or ""
    names = _SUITE_FIELDS.get(field, (field,))
    return file, (*(f"{test}.{name}" if test else name for name in names if name), test)


_SUITE = re.compile(r"slice\.suite\.?(tests\[\d+\])?\.?([a-z_]+)?")
_SUITE_FIELDS: Mapping[str, tuple[str, ...]] = {
    "script": ("command", "script", "env_setup"),
    "files": ("script",),
    "exit_code": ("expected_exit_code",),
    "exit_code_not": ("expected_exit_code_not",),
    "output": ("expected_output_contains",),
    "checks": ("validate",),
    "setup": ("setup.script",),
    "data": ("required_files",),
    "folders": ("test_data",),
    "skipped": ("setup.host_script",),
}
"""Field of a suite's slice → what it comes from in ``fulltest.yaml``."""


def _step_field(node: Node, prefix: str, field: str, rest: str) -> str:
    number = re.search(r"\[(\d+)\]$", prefix)
    steps = node.slice.get("steps")
    if number is None or not isinstance(steps, list) or int(number[1]) >= len(steps):
        return f".{field}{rest}"
    entry = steps[int(number[1])]
    kind = str(entry["type"]) if isinstance(entry, Mapping) else ""
    if field == "type":
        return ""
    if field == "expand":  # stands beside the step's own key
        return f".{field}{rest}"
    own = _OWN.get(kind, {}).get(field, f".{field}")
    return f".{kind}{own}{rest}"


def distance(before: Mapping[str, Json], after: Mapping[str, Json]) -> int:
    """Returns how many fields differ; the nearest remembered key has the fewest."""
    return sum(1 for _ in _walk(before, after, ""))
