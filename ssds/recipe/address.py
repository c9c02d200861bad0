"""Addresses inside a document: ``build[2].run``, ``versions["1.16.1"].sources``."""

from __future__ import annotations

import json

from ssds.core.patterns import pattern

Path = tuple[str | int, ...]
"""Keys and list indexes from the top of a document."""

_BARE = pattern(r"[A-Za-z_][A-Za-z0-9_/+-]*")
_PART = pattern(r'\.?([A-Za-z_][A-Za-z0-9_/+-]*)|\[(\d{1,9})\]|\[("(?:[^"\\]|\\.)*")\]')


def format_address(path: Path) -> str:
    """Returns the text of a path: ``("build", 2, "run")`` → ``build[2].run``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _BARE.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part, ensure_ascii=False)}]"
    return text


def parse_address(text: str) -> Path:
    """Returns the path of an address; what cannot be read at its end is left out."""
    parts: list[str | int] = []
    position = 0
    while position < len(text):
        match = _PART.match(text, position)
        if match is None:
            break
        word, index, quoted = match.groups()
        if quoted is not None:
            try:
                parts.append(str(json.loads(quoted)))
            except ValueError:
                break
        else:
            parts.append(word if word is not None else int(index))
        position = match.end()
    return tuple(parts)
