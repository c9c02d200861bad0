"""Variables of ``fulltest.yaml``: ``${name}`` and ``$name``, replaced as text."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PASSES = 10
TEXT_BYTES = 1 << 20


class TooLong(Exception):
    """Variables that name each other made a text too long."""


class Variables:
    """Replaces the variables of one suite; other ``$`` words are left for the shell.

    A bare ``$name`` ends where the word ends: ``$t1`` is nothing in ``$t1w``.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = dict(values)
        names = "|".join(re.escape(name) for name in sorted(values, key=len, reverse=True))
        self._form = re.compile(rf"\$(?:\{{({names})\}}|({names})(?![A-Za-z0-9_]))")

    def __call__(self, text: str) -> str:
        """Returns the text with values for names; values may name others.

        Raises:
            TooLong: it would grow beyond 1 MiB.
        """
        if not self.values or "$" not in text:
            return text
        for _ in range(_PASSES):
            before = text
            text = self._form.sub(lambda m: self.values[m[1] or m[2]], text)
            if len(text) > TEXT_BYTES:
                raise TooLong
            if text == before:
                break
        return text
