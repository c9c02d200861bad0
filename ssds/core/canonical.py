"""The canonical form: one byte string for one value, and keys over it.

Canonical JSON: UTF-8, keys sorted by code point, no white space, strings, integers, booleans,
lists and maps only. No floats and no nulls: they have no single meaning. Text is hashed as it
was parsed, without Unicode normalisation (design section 3).
"""

from __future__ import annotations

import functools
import json
import json.encoder
from collections.abc import Mapping
from itertools import chain
from typing import Any

from ssds.core.digest import ActionKey, Digest
from ssds.core.errors import InvalidValue

type_names = {float: "a float", type(None): "null", bytes: "bytes", set: "a set"}

Json = object  # str | int | bool | list | tuple | Mapping[str, Json]; checked by canonical_bytes


_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode
_maker: Any = getattr(json.encoder, "c_make_encoder", None)  # CPython's, where it has one
_pieces: Any = _maker and _maker(
    None, None, json.encoder.encode_basestring, None, ":", ",", True, False, False
)
"""What ``_encode`` makes anew for each value: without a look for circles, default, indentation."""
_LEAVES = frozenset((str, int, bool))
_MAP = frozenset((dict,))
_LISTS = frozenset((list, tuple))
_TEXT = frozenset((str,))


def canonical_bytes(value: Json) -> bytes:
    """Returns the canonical bytes of ``value``.

    Raises:
        InvalidValue: for a float, a null, a key that is no string, or any other type; the message
            names the path to it.
    """
    return _utf8(canonical_text(value))


def canonical_text(value: Json) -> str:
    """Returns ``canonical_bytes`` as text; raises InvalidValue as it does."""
    if _plain(value):  # so it has no circle either
        return "".join(_pieces(value, 0)) if _pieces else _encode(value)
    _check(value, "$")
    return _encode(value)


def pretty_bytes(value: Json) -> bytes:
    """Returns the readable canonical form, used for files that people review: sorted, indented."""
    _check(value, "$")
    return _utf8(json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1) + "\n")


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidValue(f"text with a lone surrogate has no canonical form: {error}") from error


def _plain(value: Json) -> bool:
    """Whether ``_check`` is sure to accept it: types alone, for speed; False says nothing."""
    items: Any = value
    if type(value) is dict:
        if not _TEXT.issuperset(map(type, value)):
            return False
        items = value.values()
    elif type(value) not in _LISTS:
        return type(value) in _LEAVES
    kinds = set(map(type, items))
    if kinds <= _LEAVES:
        return True
    if kinds == _MAP and _TEXT.issuperset(map(type, chain.from_iterable(items))):
        values = chain.from_iterable(map(dict.values, items))
        if _LEAVES.issuperset(map(type, values)):
            return True  # a list of plain maps, as packages are
    for item in items:  # noqa: SIM110 - it is faster than all()
        if type(item) not in _LEAVES and not _plain(item):
            return False
    return True


def _check(value: Json, path: str) -> None:
    if value is None or isinstance(value, float):
        name = type_names[type(value)]
        raise InvalidValue(f"{path}: {name} has no canonical form")
    if isinstance(value, str | int):
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidValue(f"{path}: key {key!r} is not a string")
            _check(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check(item, f"{path}[{index}]")
    else:
        raise InvalidValue(f"{path}: {type(value).__name__} has no canonical form")


class Texts:
    """Canonical texts of values that several keys hold, by identity: each is encoded once.

    It remembers the last few: those who share a value stand near each other. The values must not
    change while it is used.
    """

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._known: dict[int, tuple[Json, str]] = {}

    def of(self, value: Json) -> str:
        """Returns the canonical text of ``value``."""
        known = self._known.get(id(value))
        if known is None:
            if len(self._known) >= self._most:
                self._known.clear()
            known = self._known[id(value)] = (value, canonical_text(value))
        return known[1]


def action_key(preimage: Mapping[str, Json]) -> ActionKey:
    """Returns the key of an action from its pre-image; ``kind`` separates the domains."""
    return ActionKey.made(_keyed(canonical_bytes(preimage), f"action-key v1 {preimage['kind']}"))


def key_of_text(kind: str, text: str) -> ActionKey:
    """Returns what ``action_key`` does, from the canonical text of the pre-image."""
    return ActionKey.made(_keyed(_utf8(text), f"action-key v1 {kind}"))


def fingerprint(value: Json, context: str) -> Digest:
    """Returns the blake3 fingerprint of a value in the domain ``context`` (requests, policies)."""
    return Digest.made(_keyed(canonical_bytes(value), f"{context} v1"))


def _keyed(data: bytes, domain: str) -> str:
    hasher = _hasher(domain).copy()
    hasher.update(data)
    digits: str = hasher.hexdigest()
    return "blake3:" + digits


@functools.cache
def _hasher(domain: str) -> Any:
    """Returns a hasher of a domain, to be copied; there are a few dozen domains."""
    from blake3 import blake3

    return blake3(derive_key_context=f"ssds {domain}")
