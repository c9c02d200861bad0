"""The canonical form: the fast check of types takes what the slow one takes, and no more."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssds.core.canonical import _check, _plain, canonical_bytes
from ssds.core.digest import ActionKey, Digest, sha256_of
from ssds.core.errors import InvalidValue

GOOD_LEAVES = st.text(max_size=3) | st.integers() | st.booleans() | st.just(sha256_of(b""))
BAD_LEAVES = st.none() | st.floats() | st.binary(max_size=1) | st.just({1}) | st.just(object())
KEYS = st.text(max_size=2)
BAD_KEYS = st.integers() | st.booleans() | st.none() | st.just(("a",))


def values(leaves: st.SearchStrategy[Any], keys: st.SearchStrategy[Any]) -> Any:
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.lists(inner, max_size=3).map(tuple)
            | st.dictionaries(keys, inner, max_size=3)
            | st.lists(st.dictionaries(keys, leaves, max_size=2), max_size=3)
        ),
        max_leaves=12,
    )


def slow(value: Any) -> bytes:
    """Returns the canonical bytes by the plain way."""
    _check(value, "$")
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode()


@given(values(GOOD_LEAVES, KEYS))
def test_good_values_give_the_bytes_of_the_slow_way(value: Any) -> None:
    try:
        expected = slow(value)
    except UnicodeEncodeError:
        with pytest.raises(InvalidValue):
            canonical_bytes(value)
        return

    assert canonical_bytes(value) == expected


@given(values(GOOD_LEAVES | BAD_LEAVES, KEYS | BAD_KEYS))
def test_the_fast_check_takes_nothing_that_the_slow_one_refuses(value: Any) -> None:
    if _plain(value):
        _check(value, "$")


@pytest.mark.parametrize(
    "value",
    [None, 1.5, {"a": None}, [{"a": 1.0}], [{"a": "b"}, {1: "b"}], {"a": [{"b": None}]}, {1: "a"}],
)
def test_what_has_no_canonical_form_is_refused_with_its_path(value: Any) -> None:
    with pytest.raises(InvalidValue, match=r"^\$"):
        canonical_bytes(value)


def test_maps_of_other_kinds_are_checked_slowly() -> None:
    assert not _plain(MappingProxyType({"a": "b"}))
    assert not _plain({"a": sha256_of(b"")})


@given(st.text("0123456789abcdefABCg:\n", max_size=72), st.sampled_from(["sha256:", "blake3:", ""]))
def test_a_digest_is_its_algorithm_and_as_many_lower_case_digits(text: str, prefix: str) -> None:
    algorithm, _, digits = (prefix + text).partition(":")
    lengths = {"sha256": 64, "sha512": 128, "blake3": 64}
    sound = lengths.get(algorithm) == len(digits) and set(digits) <= set("0123456789abcdef")

    for kind, known in ((Digest, set(lengths)), (ActionKey, {"blake3"})):
        if sound and algorithm in known:
            assert kind(prefix + text) == prefix + text
        else:
            with pytest.raises(InvalidValue):
                kind(prefix + text)


@pytest.mark.parametrize("end", ["\n", " ", "0"])
def test_nothing_may_follow_a_digest(end: str) -> None:
    with pytest.raises(InvalidValue):
        Digest("sha256:" + "0" * 64 + end)
