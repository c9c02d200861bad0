"""Variables of ``fulltest.yaml``: ``${name}`` and ``$name``, replaced as text."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PASSES = 10
TEXT_BYTES = 1 << 20
WHOLE_BYTES = 64 << 20
"""The most that all texts of one suite may have, in all passes."""
_FORM = re.compile(r"\$(?:\{([^{}\n$]{1,200})\}|([A-Za-z0-9_]{1,200})(?![A-Za-z0-9_]))")


class TooLong(Exception):
    """Variables that name each other made a text too long, or all texts together."""


class Variables:
    """Replaces the variables of one suite; other ``$`` words are left for the shell.

    A bare ``$name`` ends where the word ends: ``$t1`` is nothing in ``$t1w``.

    Attributes:
        left: characters that the texts of the suite may still have.
    """

    def __init__(self, values: Mapping[str, str], left: int = WHOLE_BYTES) -> None:
        self.values = dict(values)
        self.left = left

    def __call__(self, text: str) -> str:
        """Returns the text with values for names; values may name others.

        Raises:
            TooLong: it would grow beyond 1 MiB, or the texts of the suite beyond 64 MiB.
        """
        if not self.values or "$" not in text:
            return text
        for _ in range(_PASSES):
            before = text
            text = self._once(text)
            if text == before:
                break
        return text

    def _once(self, text: str) -> str:
        pieces: list[str] = []
        size = at = 0
        for match in _FORM.finditer(text):
            value = self.values.get(match[1] or match[2])
            if value is None:
                continue
            pieces += (text[at : match.start()], value)
            size += match.start() - at + len(value)
            at = match.end()
            if size > TEXT_BYTES:
                raise TooLong
        self.left -= size + len(text) - at
        if size + len(text) - at > TEXT_BYTES or self.left < 0:
            raise TooLong
        return "".join((*pieces, text[at:]))
