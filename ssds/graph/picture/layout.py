"""Where everything stands: boxes in columns, lines through the gaps between them. Pure numbers.

Layered drawing (Sugiyama, Tagawa, Toda 1981): a line that passes a column has a place of its own
there, a *bend*; columns are ordered by barycentres so that few lines cross; heights are settled by
least squares under the order (pool adjacent violators). Lines of one box share their bends, so what
many depend on is a trunk with branches. A line is level inside of a column and curved only between
two, so it can never run through a box.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right, insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ssds.graph.picture.model import Box, Line
from ssds.graph.picture.order import layers

BOX_HEIGHT = 44
GAP = 14
_BEND_GAP = 9
_SLACK = 3
_COLUMN_GAP = 56
_SWEEPS = 16
_SETTLINGS = 20
_SHORTEST_COLUMN = 12
_MIN_WIDTH = 120

Item = str | tuple[str, int]
"""A box by its id, or the bend of a box's lines in a column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A box's rectangle; ``y`` is its middle."""

    box: Box
    x: int
    y: int
    width: int

    @property
    def right(self) -> int:
        """Where lines leave."""
        return self.x + self.width


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A piece of the lines of ``tail``: from a column's right side through the gap to the next.

    Attributes:
        through: where the level part ends that crosses the next column; ``x2`` for none.
    """

    tail: str
    x1: int
    y1: int
    x2: int
    y2: int
    through: int
    verdict: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Everything has its place; the left upper corner is 0, 0."""

    boxes: tuple[Placed, ...]
    pieces: tuple[Piece, ...]
    width: int
    height: int


def laid_out(boxes: Sequence[Box], lines: Sequence[Line], width_of: Callable[[Box], int]) -> Layout:
    """Returns places for boxes and lines without a circle; the same arguments, the same places.

    Args:
        width_of: how wide a box must be for its text.
    """
    by_id = {box.id: box for box in boxes}
    tallest = max(_SHORTEST_COLUMN, math.ceil(math.sqrt(len(boxes) * 2.4)))
    columns = layers(sorted(by_id), lines, tallest=tallest)
    links = _links(columns, lines)
    linked = {end for link in links for end in (link.start, link.end)}
    ordered = _ordered([[n for n in column if n in linked] for column in columns], links)
    height_of = _settled(ordered, links)
    for column, names in zip(ordered, columns, strict=True):
        for name in (n for n in names if n not in linked):
            above = height_of[column[-1]] if column else -GAP - BOX_HEIGHT // 2
            height_of[name] = above + GAP + BOX_HEIGHT
            column.append(name)
    placed: dict[str, Placed] = {}
    x = 0
    edges: list[tuple[int, int]] = []
    for column in ordered:
        own = [by_id[item] for item in column if isinstance(item, str)]
        width = max((width_of(box) for box in own), default=_MIN_WIDTH)
        for box in own:
            placed[box.id] = Placed(box=box, x=x, y=height_of[box.id], width=width)
        edges.append((x, x + width))
        x += width + _COLUMN_GAP
    pieces = [
        Piece(
            tail=link.tail,
            x1=edges[link.column - 1][1],
            y1=height_of[link.start],
            x2=edges[link.column][0],
            y2=height_of[link.end],
            through=edges[link.column][0 if isinstance(link.end, str) else 1],
            verdict=link.verdict,
        )
        for link in links
    ]
    bottom = max((height_of[item] for column in ordered for item in column), default=0)
    return Layout(
        boxes=tuple(placed[name] for name in sorted(placed)),
        pieces=tuple(pieces),
        width=max(0, x - _COLUMN_GAP),
        height=bottom + BOX_HEIGHT // 2 if placed else 0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Link:
    """A line's way from one column into the next, ``column``."""

    tail: str
    start: Item
    end: Item
    column: int
    verdict: bool


def _links(columns: list[list[str]], lines: Sequence[Line]) -> list[_Link]:
    place = {name: number for number, column in enumerate(columns) for name in column}
    found: dict[tuple[Item, Item], _Link] = {}
    for line in sorted(lines):
        start: Item = line.tail
        for column in range(place[line.tail] + 1, place[line.head] + 1):
            last = column == place[line.head]
            end: Item = line.head if last else (line.tail, column)
            known = found.get((start, end))
            verdict = line.verdict and (known is None or known.verdict)
            found[start, end] = _Link(
                tail=line.tail, start=start, end=end, column=column, verdict=verdict
            )
            start = end
    return list(found.values())


_Neighbours = dict[Item, list[Item]]


def _sides(links: Sequence[_Link]) -> tuple[_Neighbours, _Neighbours]:
    left: _Neighbours = {}
    right: _Neighbours = {}
    for link in links:
        left.setdefault(link.end, []).append(link.start)
        right.setdefault(link.start, []).append(link.end)
    return left, right


def _ordered(columns: list[list[str]], links: Sequence[_Link]) -> list[list[Item]]:
    """Returns the columns with their bends, ordered so that few lines cross."""
    order: list[list[Item]] = [list(column) for column in columns]
    bends = {link.end: link.column for link in links if not isinstance(link.end, str)}
    for bend, number in bends.items():
        order[number].insert(len(columns[number]) // 2, bend)
    left, right = _sides(links)
    best, fewest = order, _crossings(order, right)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        order = [list(column) for column in order]
        forward = sweep % 2 == 0
        numbers = range(1, len(order)) if forward else range(len(order) - 2, -1, -1)
        for number in numbers:
            beside = order[number - 1 if forward else number + 1]
            position = {item: i for i, item in enumerate(beside)}
            _sort(order[number], left if forward else right, position)
        count = _crossings(order, right)
        if count < fewest:
            best, fewest = order, count
    return best


def _sort(column: list[Item], beside: _Neighbours, position: Mapping[Item, int]) -> None:
    """Orders a column by the mean place of what each item is linked to in the one beside."""
    mean: dict[Item, float] = {}
    for number, item in enumerate(column):
        found = [position[other] for other in beside.get(item, ())]
        scale = max(1, len(position)) / max(1, len(column))
        mean[item] = sum(found) / len(found) if found else number * scale
    column.sort(key=mean.__getitem__)


def _crossings(order: Sequence[Sequence[Item]], right: _Neighbours) -> int:
    total = 0
    for number in range(len(order) - 1):
        position = {item: i for i, item in enumerate(order[number + 1])}
        seen: list[int] = []
        for item in order[number]:
            ends = sorted(position[other] for other in right.get(item, ()))
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


def _settled(order: Sequence[Sequence[Item]], links: Sequence[_Link]) -> dict[Item, int]:
    """Returns the height of each item's middle: near its neighbours, in order, apart."""
    left, right = _sides(links)
    y: dict[Item, float] = {}
    for column in order:
        offsets = _offsets(column)
        middle = offsets[-1] / 2 if offsets else 0.0
        y.update({item: offset - middle for item, offset in zip(column, offsets, strict=True)})
    for turn in range(_SETTLINGS):
        last = turn >= _SETTLINGS - 8
        forward = turn % 2 == 0
        for column in order if forward else reversed(order):
            beside = (left, right) if last else ((left,) if forward else (right,))
            _settle(column, beside, y)
    for column in order:
        _straighten(column, left, y)
    top = min(y.values(), default=0.0) - BOX_HEIGHT / 2
    return {item: round(value - top) for item, value in y.items()}


def _settle(column: Sequence[Item], sides: Sequence[_Neighbours], y: dict[Item, float]) -> None:
    wanted: list[float] = []
    weights: list[float] = []
    for item in column:
        near = [(other, _weight(item, other)) for side in sides for other in side.get(item, ())]
        total = sum(weight for _, weight in near)
        wanted.append(sum(y[o] * weight for o, weight in near) / total if near else y[item])
        weights.append(total or 0.1)
    y.update(zip(column, _apart(wanted, weights, _offsets(column)), strict=True))


def _straighten(column: Sequence[Item], left: _Neighbours, y: dict[Item, float]) -> None:
    """Moves bends to the height that their lines come from, as far as there is room."""
    rooms = [b - a - _SLACK for a, b in itertools.pairwise(_offsets(column))]
    for number, item in enumerate(column):
        if isinstance(item, str):
            continue
        wanted = y[left[item][0]]
        if number + 1 < len(column):
            wanted = min(wanted, y[column[number + 1]] - rooms[number])
        if number:
            wanted = max(wanted, y[column[number - 1]] + rooms[number - 1])
        y[item] = wanted


def _weight(one: Item, other: Item) -> float:
    """Straight lines matter most where they are long."""
    return 1.0 + 3.0 * (not isinstance(one, str)) + 3.0 * (not isinstance(other, str))


def _offsets(column: Sequence[Item]) -> list[float]:
    """Returns how far each item must be below the first one."""
    offsets: list[float] = []
    for number, item in enumerate(column):
        if number == 0:
            offsets.append(0.0)
            continue
        half = [BOX_HEIGHT / 2 if isinstance(i, str) else 0.0 for i in (column[number - 1], item)]
        gap = GAP if all(half) else _BEND_GAP
        offsets.append(offsets[-1] + sum(half) + gap)
    return offsets


def _apart(
    wanted: Sequence[float], weights: Sequence[float], offsets: Sequence[float]
) -> list[float]:
    """Returns the heights nearest to ``wanted`` that keep the order and the distances."""
    blocks: list[tuple[float, float, int]] = []
    for value, weight, offset in zip(wanted, weights, offsets, strict=True):
        mean, total, count = value - offset, weight, 1
        while blocks and blocks[-1][0] > mean:
            above, more, others = blocks.pop()
            mean = (mean * total + above * more) / (total + more)
            total, count = total + more, count + others
        blocks.append((mean, total, count))
    means = [mean for mean, _, count in blocks for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]
