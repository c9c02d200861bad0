"""A host folder that programs see: ``/source[:/target[:ro|rw]]``. Pure."""

from __future__ import annotations

import re

_BAD = re.compile(r"[\x00-\x1f\x7f,]")


def parse_bind(text: str) -> tuple[str, str, str] | None:
    """Returns source, target and ``ro`` or ``rw``; None where the text has another form."""
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    target, mode = target or source, mode or "rw"
    parts = {*source.split("/")[1:], *target.split("/")[1:]}
    absolute = source.startswith("/") and target.startswith("/")
    if _BAD.search(text) or not absolute or mode not in ("ro", "rw") or parts & {"", ".", ".."}:
        return None
    return source, target, mode
