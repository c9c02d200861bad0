"""What a picture is made of: boxes and lines, whatever format they are drawn in."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ssds.core.text import shown
from ssds.graph.plan import Verb

IMPORTANCE = (Verb.HELD, Verb.REMOVE, Verb.RUN, Verb.UNKNOWN, Verb.WAIT, Verb.REUSE)
"""Which verb a box of several nodes is drawn as: the first that one of them has."""


_NOT_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Level(enum.Enum):
    """What one box stands for."""

    NODES = "nodes"
    RELEASES = "releases"
    GROUPS = "groups"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How large a picture may become before it is folded.

    Attributes:
        nodes: up to so many nodes are drawn one by one when nothing else is asked for.
        boxes, lines: more are folded to groups.
        group_lines: groups become larger until so many lines are left; more say nothing.
        asked, asked_lines: more are never drawn, also when every node was asked for.
    """

    nodes: int = 60
    boxes: int = 96
    lines: int = 400
    group_lines: int = 110
    asked: int = 1500
    asked_lines: int = 8000


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One box.

    Attributes:
        id: unique in its picture, and the same in every run.
        name: what it is called: its first line. ``note`` is the second.
        kind: a node's kind, or ``release``, ``base``, ``group``.
        counts: how many nodes of each verb it stands for.
        details: what is told when one points at it, line by line.
    """

    id: str
    name: str
    note: str
    kind: str
    counts: Mapping[Verb, int]
    details: tuple[str, ...] = ()

    @property
    def verb(self) -> Verb:
        """The verb that it is drawn as."""
        return main_verb(self.counts)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Line:
    """One dependency: ``head`` takes what ``tail`` gives.

    Attributes:
        verdict: all that it takes is a verdict, so it may be held there.
    """

    tail: str
    head: str
    verdict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Boxes and lines without a cycle.

    Attributes:
        totals: how many nodes of each verb the whole picture stands for, each counted once.
        notes: what was folded or left out, in sentences.
    """

    title: str
    level: Level
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    totals: Mapping[Verb, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """The totals in words."""
        return in_words(self.totals) or "nothing"


def main_verb(counts: Mapping[Verb, int]) -> Verb:
    """Returns the most important verb among counts."""
    return next((verb for verb in IMPORTANCE if counts.get(verb)), Verb.REUSE)


def in_words(counts: Mapping[Verb, int]) -> str:
    """Returns ``3 run, 12 reuse``."""
    return ", ".join(f"{counts[v]:,} {v.word}" for v in IMPORTANCE if counts.get(v))


def added(many: Iterable[Mapping[Verb, int]]) -> dict[Verb, int]:
    """Returns the sum of counts."""
    total: dict[Verb, int] = {}
    for counts in many:
        for verb, count in counts.items():
            total[verb] = total.get(verb, 0) + count
    return total


def printable(text: str, *, lines: bool = False) -> str:
    """Returns ``text`` without what no XML document can hold, and no terminal should get."""
    return _NOT_XML.sub("?", shown(text, lines=lines))


def shortened(text: str, room: int) -> str:
    """Returns one line of at most ``room`` characters; what is too long loses its middle."""
    text = printable(text)
    if len(text) <= room:
        return text
    tail = room * 2 // 5
    return f"{text[: room - tail - 1]}…{text[len(text) - tail :]}"
