"""Joins many small segments to few, so that a fresh reader asks for few.

What is taken off the list stands in a segment that was listed before, and that one goes only once a
larger one holds it: whoever joins at the same time, no claim is ever missing from the list.
"""

from __future__ import annotations

from collections.abc import Callable

from ssds.cache.cache import Cache
from ssds.cache.entry import Entry
from ssds.cache.push import parts
from ssds.cache.segment import ENTRIES_PER_SEGMENT, SegmentName, lines_of, segment_bytes
from ssds.core.digest import ActionKey
from ssds.core.errors import SsdsError

MOST_SEGMENTS = 64
"""A push that finds more of them joins them."""


def join(cache: Cache) -> int:
    """Joins the small segments of a cache that was asked just now; returns how many went.

    Claims that count for nothing are left behind.

    Raises:
        SsdsError: the place refuses; all claims are listed still.
    """
    small: list[SegmentName] = []
    keys: set[ActionKey] = set()
    for name, data in cache.segments.items():
        try:
            own = {key for key, _ in lines_of(data, f"the segment {name.hex[:12]}")}
        except SsdsError:
            continue
        if len(own) <= ENTRIES_PER_SEGMENT // 2:
            small.append(name)
            keys |= own
    if len(small) < 2:
        return 0
    entries: list[Entry] = [entry for key in sorted(keys) for entry in cache.entries(key)]
    made = set()
    for part in parts(entries):
        data = segment_bytes(part)
        name = SegmentName.of(data)
        sizes = {digest: size for entry in part for digest, size in entry.sizes.items()}
        cache.place.publish(name, data, sizes)
        made.add(name)
    gone = [name for name in small if name not in made]
    for name in gone:
        cache.place.forget(name)
    cache.place.prepare()
    return len(gone)


def join_if_many(cache: Cache, say: Callable[[str], None] = lambda _: None) -> None:
    """Joins segments where there are many; where that is refused, they stay as they are."""
    if len(cache.segments) <= MOST_SEGMENTS:
        return
    try:
        say(f"{join(cache)} segments joined")
    except SsdsError as error:
        say(f"segments stay apart: {error.message}")
