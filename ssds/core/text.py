"""Text from outside, made safe to show: no terminal, log or page obeys what stands in it."""

from __future__ import annotations

import re

from ssds.core.patterns import pattern

_CONTROL = pattern(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_LINE_ENDS = pattern("[\t\n]")


def shown(text: str, *, lines: bool = False) -> str:
    """Returns ``text`` with control characters written as escapes, as Python writes them.

    These are C0 and C1 controls, marks that change the direction of writing, and surrogates (bytes
    of file names that are not UTF-8). Source: ECMA-48; Unicode Standard Annex 9.

    Args:
        lines: keeps line ends and tabs.
    """
    if text.isprintable():
        return text
    text = _CONTROL.sub(_escape, text)
    return text if lines else _LINE_ENDS.sub(_escape, text)


def printable(path: str) -> str:
    r"""Returns a path as text that JSON can hold: bytes that are not UTF-8 become ``\xNN``."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def blanked(text: str) -> str:
    """Returns ``text`` with a space for each of these control characters; line ends and tabs stay.

    For files in which an escape would mean something, such as modules.
    """
    return text if text.isprintable() else _CONTROL.sub(" ", text)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
