"""Why two versions of a file differ: times, order, paths, or its content. Pure.

What is known to vary is masked, one thing after the other; what makes both the same is the cause.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

_MONTH = rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_DAY = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*"
_ZONE = rb"(?: ?(?:UTC|GMT|Z|[A-Z]{3,4}|[+-]\d\d:?\d\d))?"
_CLOCK = rb"\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?"
_TIMES = re.compile(
    rb"|".join(
        (
            rb"(?:19|20)\d\d[-/.]\d\d[-/.]\d\d(?:[T _]" + _CLOCK + rb")?" + _ZONE,
            rb"(?:" + _DAY + rb",? +)?" + _MONTH + rb" +\d{1,2},?(?: +" + _CLOCK + _ZONE + rb")?"
            rb",? +(?:19|20)\d\d",
            rb"(?:" + _DAY + rb",? +)?\d{1,2}[ -]" + _MONTH + rb"[ -](?:19|20)\d\d(?: " + _CLOCK
            + _ZONE + rb")?",
            rb"(?<!\d)(?:19|20)\d\d[01]\d[0-3]\d(?:T?[0-2]\d[0-5]\d[0-5]\dZ?)?(?!\d)",
            rb"(?<![\d.])1[0-9]{9}(?:\d{3}|\d{6}|\d{9}|\.\d+)?(?!\d)",
            rb"(?<!\d)\d{1,2}:\d\d:\d\d(?:[.,]\d+)?" + _ZONE + rb"(?!\d)",
        )
    )
)  # fmt: skip
_PATHS = re.compile(rb"(?:/[A-Za-z0-9._+@~%:,=-]+){2,}")
_SMALLEST_ORDER = 16
_GZIP, _PYC_TIMED = b"\x1f\x8b\x08", b"\0\0\0\0"


def cause(before: bytes, after: bytes, names: Iterable[str] = ()) -> str:
    """Returns why two contents differ: ``timestamps``, ``order``, ``paths`` or ``content``.

    Args:
        names: of this machine, user and store: what a file may not know.
    """
    first, second = _without_times(before), _without_times(after)
    if first == second:
        return "timestamps"
    if _reordered(before, after) or _reordered(first, second):
        return "order"
    first, second = (_without_paths(text, names) for text in (first, second))
    if first == second or _same_rows(first, second):
        return "paths"
    return "content"


def _without_times(data: bytes) -> bytes:
    if data.startswith(_GZIP) and len(data) > 8:  # RFC 1952: MTIME
        data = data[:4] + bytes(4) + data[8:]
    elif data[2:4] == b"\r\n" and data[4:8] == _PYC_TIMED:  # PEP 552: the source's time
        data = data[:8] + bytes(4) + data[12:]
    return _TIMES.sub(b"<time>", data)


def _reordered(before: bytes, after: bytes) -> bool:
    """Whether both hold the same lines, or the same bytes, in another order."""
    if len(before) != len(after) or len(before) < _SMALLEST_ORDER:
        return _same_rows(before, after) and before.count(b"\n") > 1
    return _same_rows(before, after) or Counter(before) == Counter(after)


def _same_rows(before: bytes, after: bytes) -> bool:
    return sorted(before.splitlines()) == sorted(after.splitlines())


def _without_paths(data: bytes, names: Iterable[str]) -> bytes:
    data = _PATHS.sub(b"<path>", data)
    for name in sorted((n for n in names if len(n) > 1), key=len, reverse=True):
        data = data.replace(name.encode(), b"<name>")
    return data
