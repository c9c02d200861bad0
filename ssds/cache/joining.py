"""Joins many small segments to few, so that a fresh reader asks for few.

Lines are joined as they are, with their seals, whole segments at a time: also claims that this
machine does not believe, or does not know yet. A segment is taken off the list only where one that
is listed holds all its lines and more. So whoever joins at the same time, no line is ever missing
from the list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from ssds.cache.cache import Cache
from ssds.cache.entry import sizes_of
from ssds.cache.push import BLOBS_PER_SEGMENT
from ssds.cache.segment import ENTRIES_PER_SEGMENT, Segment, SegmentName, packed, read_segment
from ssds.core.digest import Digest
from ssds.core.errors import SsdsError

MOST_SEGMENTS = 64
"""A push that finds more of them joins them."""


def join(cache: Cache) -> int:
    """Joins the small segments of a cache that was asked just now; returns how many went.

    What others hold already goes first: where the place refuses that, nothing new is published.

    Raises:
        SsdsError: the place refuses; all lines are listed still.
    """
    found: dict[SegmentName, Segment] = {}
    for name, data in cache.segments.items():
        try:
            found[name] = read_segment(data, f"the segment {name.hex[:12]}")
        except SsdsError:
            continue  # damaged, or of a newer ssds: it stays
    gone = _forget(cache, _held(found, found.values()))
    left = {name: segment for name, segment in found.items() if name not in gone}
    made: list[Segment] = []
    for segment, sizes in _unions(left):
        data = packed(segment)
        cache.place.publish(SegmentName.of(data), data, sizes)
        made.append(segment)
    return len(gone) + len(_forget(cache, _held(left, made)))


def join_if_many(cache: Cache, say: Callable[[str], None] = lambda _: None) -> None:
    """Joins segments where there are many; where that is refused, they stay as they are."""
    if len(cache.segments) <= MOST_SEGMENTS:
        return
    try:
        say(f"{join(cache)} segments joined")
    except SsdsError as error:
        say(f"segments stay apart: {error.message}")


def _held(found: Mapping[SegmentName, Segment], by: Iterable[Segment]) -> list[SegmentName]:
    """Returns the segments of which another holds all lines and more."""
    large = list(by)
    return [name for name, own in found.items() if any(own.less_than(one) for one in large)]


def _forget(cache: Cache, names: list[SegmentName]) -> set[SegmentName]:
    try:
        for name in names:
            cache.place.forget(name)
    finally:
        if names:
            cache.place.prepare()
    return set(names)


def _unions(
    found: Mapping[SegmentName, Segment],
) -> Iterator[tuple[Segment, dict[Digest, int]]]:
    """Gives what is made of several small segments each, and the blobs of its claims."""
    union = Segment()
    sizes: dict[Digest, int] = {}
    several = False
    for own in found.values():
        if own.size > ENTRIES_PER_SEGMENT // 2 or (named := _sizes(own)) is None:
            continue
        both, all_sizes = union.joined(own), {**sizes, **named}
        if both.size > ENTRIES_PER_SEGMENT or len(all_sizes) > BLOBS_PER_SEGMENT:
            if several:
                yield union, sizes
            union, sizes, several = own, named, False
        else:
            several = union.size > 0
            union, sizes = both, all_sizes
    if several:
        yield union, sizes


def _sizes(segment: Segment) -> dict[Digest, int] | None:
    """Returns the size of every blob that lines name, or None where one does not say them."""
    found: dict[Digest, int] = {}
    try:
        for key, data in segment.lines:
            found.update(sizes_of(data, f"the claim of {key.short}"))
    except SsdsError:
        return None
    return found
