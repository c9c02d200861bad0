"""Values as the text of a recipe: strict YAML that ``yamlmarks`` reads back to equal values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ssds.core.patterns import pattern

_PLAIN = pattern(r"[A-Za-z_/][A-Za-z0-9_./@+-]*(?: [A-Za-z0-9_./@+-]+)*")
_WORDS = frozenset(
    ("true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf", "none")
)
_BLOCK = pattern(
    r"[\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*"
)
"""What a literal block may hold: printable, and no line end but LF (YAML 1.2, 5.1 and 5.4)."""
_ESCAPED = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}
WIDTH = 96


def yaml_text(value: Mapping[str, Any]) -> str:
    """Returns the file of a map: text, integers, booleans, lists and maps; ends with a newline."""
    return "\n".join(_map(value, 0)) + "\n"


def as_text(text: str) -> str:
    """Returns ``text`` such that no template is read in it."""
    return text.replace("{{", "{{ '{{' }}").replace("{%", "{{ '{%' }}")


def _map(value: Mapping[str, Any], depth: int) -> list[str]:
    lines: list[str] = []
    for key, item in value.items():
        lines += _entry(" " * depth + _scalar(str(key)) + ":", item, depth, 2)
    return lines


def _entry(head: str, item: Any, depth: int, step: int) -> list[str]:
    """Returns the lines of one value after ``head`` (a key, or a dash)."""
    if isinstance(item, Mapping) and item:
        flow = _flow(item)
        if flow and len(head) + len(flow) < WIDTH:
            return [f"{head} {flow}"]
        return [head, *_map(item, depth + step)]
    if isinstance(item, list | tuple) and item:
        flow = _flow(item)
        if flow and len(head) + len(flow) < WIDTH:
            return [f"{head} {flow}"]
        return [head, *_list(item, depth + step)]
    if isinstance(item, str) and _is_block(item):
        return [*_block(head, item, depth + step)]
    return [f"{head} {_scalar(item)}"]


def _list(items: Sequence[Any], depth: int) -> list[str]:
    lines: list[str] = []
    for item in items:
        dash = " " * depth + "-"
        if isinstance(item, Mapping) and item:
            flow = _flow(item)
            if flow and len(dash) + len(flow) < WIDTH:
                lines.append(f"{dash} {flow}")
                continue
            first, *rest = _map(item, depth + 2)
            lines += [f"{dash} {first[depth + 2 :]}", *rest]
        else:
            lines += _entry(dash, item, depth, 2)
    return lines


def _flow(value: Any) -> str:
    """Returns a value on one line, or the empty string where it is better written in lines."""
    if isinstance(value, Mapping):
        if len(value) > 4 or any(isinstance(v, Mapping) and v for v in value.values()):
            return ""
        parts = [(str(k), _flow(v)) for k, v in value.items()]
        return "" if not all(p for _, p in parts) else "{" + ", ".join(
            f"{_scalar(k)}: {p}" for k, p in parts
        ) + "}"  # fmt: skip
    if isinstance(value, list | tuple):
        parts_ = [_flow(v) for v in value]
        return "[" + ", ".join(parts_) + "]" if all(parts_) else ""
    if isinstance(value, str) and _is_block(value):
        return ""
    return _scalar(value)


def _is_block(text: str) -> bool:
    """Whether ``text`` can and should stand as a literal block."""
    if "\n" not in text or not _BLOCK.fullmatch(text) or "\t" in _indents(text):
        return False
    lines = text.split("\n")
    return not lines[0].startswith((" ", "\n")) and bool(lines[0]) and bool(text.strip("\n"))


def _indents(text: str) -> str:
    return "".join(line[: len(line) - len(line.lstrip())] for line in text.split("\n"))


def _block(head: str, text: str, depth: int) -> list[str]:
    kept = text.rstrip("\n")
    ends = len(text) - len(kept)
    mark = {0: "|-", 1: "|"}.get(ends, "|+")
    body = kept.split("\n") + [""] * max(0, ends - 1)
    return [f"{head} {mark}", *(" " * depth + line if line else "" for line in body)]


def _scalar(value: Any) -> str:
    """Returns one scalar on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, list | tuple):
        return "[]"
    assert isinstance(value, str), f"{type(value).__name__} has no form in a recipe"
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return '"' + "".join(_ESCAPED.get(c) or _escape(c) for c in value) + '"'


def _escape(character: str) -> str:
    code = ord(character)
    if 0x20 <= code <= 0x7E or (code >= 0xA0 and character.isprintable()):
        return character
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
