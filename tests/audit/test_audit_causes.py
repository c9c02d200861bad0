"""Why two contents differ: each cause is told from the others."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssds.audit.causes import cause


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (b"on Fri Nov 27 01:01:39 UTC 2026\n", b"on Sat Jan  1 01:12:11 UTC 2028\n", "timestamps"),
        (b"at 1795742371 s", b"at 1830301931 s", "timestamps"),
        (b"2026-11-27T01:02:03Z", b"2028-01-01T01:02:04+00:00", "timestamps"),
        (b"Date: 27 Nov 2026 10:00:00 GMT", b"Date: 1 Jan 2028 09:00:00 GMT", "timestamps"),
        (b"20261127", b"20280101", "timestamps"),
        (b"a\nb\nc\n", b"c\na\nb\n", "order"),
        (b"{'alpha': 1, 'beta': 2}", b"{'beta': 2, 'alpha': 1}", "order"),
        (b"prefix=/tmp/a/store/b\n", b"prefix=/dev/shm/other/c\n", "paths"),
        (b"made by root on here\n", b"made by somebody on audit-12\n", "paths"),
        (b"2\n", b"1\n", "content"),
        (b"version 1.10.2", b"version 1.10.3", "content"),
        (b"", b"new", "content"),
        (b"\x00" * 40, b"\x00" * 39 + b"\x01", "content"),
    ],
)  # fmt: skip
def test_a_difference_has_one_cause(before: bytes, after: bytes, expected: str) -> None:
    names = ("root", "here", "somebody", "audit-12")
    assert cause(before, after, names) == expected
    assert cause(after, before, names) == expected


def test_the_time_in_a_gzip_header_is_a_timestamp_and_its_content_is_not() -> None:
    first, later = (gzip.compress(b"same", mtime=at) for at in (1, 1_900_000_000))
    assert cause(first, later) == "timestamps"
    assert cause(first, gzip.compress(b"other", mtime=1)) == "content"


@given(st.binary(min_size=16, max_size=64), st.binary(min_size=16, max_size=64))
def test_any_two_contents_have_a_cause_that_does_not_depend_on_their_order(a, b) -> None:
    assert cause(a, b) == cause(b, a)
