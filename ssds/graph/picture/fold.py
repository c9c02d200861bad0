"""Folds a picture of releases until it is small enough to be read, and says what it folded.

First versions of one recipe are put together, then recipes that are reused as they are, then all
that have the same verb, in ever larger groups. A group never joins what stands at different depths
unless nothing else helps; so groups cannot depend on each other in a circle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ssds.graph.picture.boxes import lines_of
from ssds.graph.picture.model import (
    Box,
    Level,
    Limits,
    Picture,
    added,
    in_words,
    main_verb,
    shortened,
)
from ssds.graph.picture.order import acyclic, depths, reduced
from ssds.graph.plan import Verb

_NAMES_TOLD = 12
_TITLE_ROOM = 20
_TITLE_LEAST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """Boxes that become one, in the order of their names.

    Attributes:
        rank: their depth in the folded picture.
        before, after: the recipes beside them where they are a range of names, else empty.
    """

    boxes: Sequence[Box]
    rank: int
    before: str = ""
    after: str = ""


def folded(picture: Picture, limits: Limits) -> Picture:
    """Returns the picture, reduced, or one of groups that keeps the limits."""
    picture = replace(picture, lines=acyclic(picture.lines))
    if len(picture.boxes) <= limits.boxes:
        whole = replace(picture, lines=reduced(picture.lines))
        if len(whole.lines) <= limits.lines:
            return whole
    depth = depths([box.id for box in picture.boxes], picture.lines)
    for groups in _attempts(picture.boxes, depth, limits.boxes):
        if len(groups) > limits.boxes:
            continue
        found = _grouped(picture, groups)
        if len(found.lines) <= limits.group_lines:
            return found
    raise AssertionError("one group for each verb has no lines")


def _attempts(boxes: Sequence[Box], depth: Mapping[str, int], most: int) -> Iterator[list[_Group]]:
    """Gives ever coarser ways to group."""
    yield _by(boxes, lambda box: (depth[box.id], box.kind, _recipe(box)), depth)
    quiet = [box for box in boxes if box.verb is Verb.REUSE]
    busy = [box for box in boxes if box.verb is not Verb.REUSE]
    alone = _by(busy, lambda box: (depth[box.id], box.kind, _recipe(box)), depth)
    room = most - len(alone)
    while room >= most // 4:
        yield alone + _ranges(quiet, depth, room // 2)
        room //= 2
    budget = most
    while budget:
        yield _ranges(boxes, depth, budget // 2)
        budget //= 2
    deepest = max(depth.values(), default=0) + 1
    bands = 8
    while bands:
        banded = {name: rank * bands // max(bands, deepest) for name, rank in depth.items()}
        yield _ranges(boxes, banded, 1)
        bands //= 2
    yield _by(boxes, lambda box: box.verb.word, dict.fromkeys(depth, 0))


def _recipe(box: Box) -> str:
    """Returns the recipe's name; its versions and variants are one group."""
    return box.id.partition("@")[0]


def _by(
    boxes: Sequence[Box], key: Callable[[Box], object], depth: Mapping[str, int]
) -> list[_Group]:
    groups: dict[object, list[Box]] = {}
    for box in boxes:
        groups.setdefault(key(box), []).append(box)
    return [_Group(boxes=found, rank=depth[found[0].id]) for found in groups.values()]


def _ranges(boxes: Sequence[Box], depth: Mapping[str, int], wanted: int) -> list[_Group]:
    """Returns about ``wanted`` groups, each a range of names of one depth, kind and verb."""
    groups = _by(boxes, lambda box: (depth[box.id], box.kind, box.verb.word), depth)
    found: list[_Group] = []
    for group in groups:
        size = len(group.boxes)
        parts = max(1, min(size, wanted * size // len(boxes)))
        ordered = sorted(group.boxes, key=lambda box: box.id)
        step = -(-size // parts)
        for start in range(0, size, step):
            end = min(start + step, size)
            found.append(
                _Group(
                    boxes=ordered[start:end],
                    rank=group.rank,
                    before=_recipe(ordered[start - 1]) if start else "",
                    after=_recipe(ordered[end]) if end < size else "",
                )
            )
    return found


def _grouped(picture: Picture, groups: Sequence[_Group]) -> Picture:
    made = [(_box_of(group), group) for group in groups]
    into = {box.id: (made_box.id, group.rank) for made_box, group in made for box in group.boxes}
    pairs: dict[tuple[str, str], bool] = {}
    hidden = 0
    for line in picture.lines:
        (tail, before), (head, after) = into[line.tail], into[line.head]
        if before < after:
            pairs[tail, head] = pairs.get((tail, head), True) and line.verdict
        else:
            hidden += 1
    return replace(
        picture,
        level=Level.GROUPS,
        boxes=tuple(box for box, _ in sorted(made, key=lambda pair: (pair[1].rank, pair[0].id))),
        lines=reduced(lines_of(pairs)),
        notes=(*picture.notes, *_notes(picture, groups, hidden)),
    )


def _notes(picture: Picture, groups: Sequence[_Group], hidden: int) -> list[str]:
    several = [group for group in groups if len(group.boxes) > 1]
    inside = sum(len(group.boxes) for group in several)
    text = (
        f"Folded: {inside:,} of {len(picture.boxes):,} releases and bases are drawn as "
        f"{len(several):,} group{'s' if len(several) != 1 else ''}, by depth, verb and name."
    )
    if hidden:
        text += f" {hidden:,} dependencies within a group are not drawn."
    return [text, "A selector draws less, and more of it: ssds graph NAME."]


def _box_of(group: _Group) -> Box:
    if len(group.boxes) == 1:
        return group.boxes[0]
    boxes = sorted(group.boxes, key=lambda box: box.id)
    counts = added(box.counts for box in boxes)
    names = list(dict.fromkeys(map(_recipe, boxes)))
    first, last = names[0], names[-1]
    if first == last:
        name, words = first, "versions"
    else:
        name = f"{_cut(first, group.before or last)} to {_cut(last, group.after or first)}"
        words = "releases"
    if boxes[0].kind == "base":
        words = "bases"
    told = [f"{len(boxes):,} {words}: {in_words(counts)}", *(box.id for box in boxes[:_NAMES_TOLD])]
    if len(boxes) > _NAMES_TOLD:
        told.append(f"and {len(boxes) - _NAMES_TOLD:,} more, up to {boxes[-1].id}")
    return Box(
        id=f"{group.rank}/{main_verb(counts).word}/{boxes[0].id}..{boxes[-1].id}",
        name=name,
        note=f"{len(boxes):,} {words} · {in_words(counts)}",
        kind="group",
        counts=counts,
        details=tuple(told),
    )


def _cut(name: str, other: str) -> str:
    """Returns as much of a name as tells it from ``other``."""
    shared = next((i for i, (a, b) in enumerate(zip(name, other, strict=False)) if a != b), None)
    room = _TITLE_ROOM if shared is None else max(_TITLE_LEAST, shared + 1)
    if len(name) <= max(room + 1, _TITLE_LEAST):
        return name
    return shortened(name, _TITLE_ROOM) if room >= _TITLE_ROOM else f"{name[:room]}…"
