"""Joining segments loses no claim of anybody, and ends where nothing can be deleted."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from cache_places import Where, add_claim, pairs

from ssds.cache.caches import Caches
from ssds.cache.joining import join, join_if_many
from ssds.cache.push import push
from ssds.cache.segment import SegmentName, read_segment
from ssds.core.errors import Refused
from ssds.store.store import Store


def _push(where: Where, store: Store, tmp_path: Path, first: int, last: int) -> list:
    claims = [
        add_claim(store, f"claim-{n}", impure=n % 2 == 1, made_at=n) for n in range(first, last)
    ]
    for claim in claims:
        push(where.writer(tmp_path / "w"), pairs(claim), store)
    return claims


def test_claims_that_the_joiner_does_not_believe_stay_for_others(
    where: Where, store: Store, tmp_path: Path
) -> None:
    claims = _push(where, store, tmp_path, 0, 4)
    joiner = where.reader(tmp_path / "joiner", impure=False)
    unread = claims[0].outputs["metadata"]
    (where.folder / "blobs/sha256" / unread.hex).rename(tmp_path / "aside")
    assert not joiner.fetch(unread, store.blobs)

    assert join(joiner) == 4

    caches = Caches([where.reader(tmp_path / "new")])
    assert [len(caches.find(claim.key)) for claim in claims] == [1, 1, 1, 1]


def test_claims_of_kinds_that_are_not_known_yet_stay_as_they_are(
    where: Where, store: Store, tmp_path: Path
) -> None:
    _push(where, store, tmp_path, 0, 3)
    path = next((where.folder / "claims").iterdir())
    data = gzip.compress(gzip.decompress(path.read_bytes()).replace(b'"metadata"', b'"gate"'))
    path.unlink()
    path.with_name(f"{SegmentName.of(data)}.gz").write_bytes(data)
    before = _lines(where, tmp_path)

    join(where.writer(tmp_path / "joiner"))

    assert _lines(where, tmp_path) == before
    assert len(before) == 3
    assert len(list((where.folder / "claims").iterdir())) == 1


def test_a_segment_that_cannot_be_joined_stays(where: Where, store: Store, tmp_path: Path) -> None:
    claims = _push(where, store, tmp_path, 0, 2)
    head = json.dumps({"cache_version": 1}).encode()
    line = claims[0].key.encode() + b" {}"
    data = gzip.compress(b"\n".join([head, line, b""]))
    (where.folder / "claims" / f"{SegmentName.of(data)}.gz").write_bytes(data)
    before = _lines(where, tmp_path)

    assert join(where.writer(tmp_path / "joiner")) == 2

    assert _lines(where, tmp_path) == before


def test_a_place_that_deletes_nothing_is_joined_once(
    where: Where, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssds.cache.joining.MOST_SEGMENTS", 3)
    said: list[str] = []
    claims = _push(where, store, tmp_path, 0, 4)

    def refuse(_: SegmentName) -> None:
        raise Refused("the registry deletes nothing", code="T034")

    counts = []
    for number in range(4, 8):
        joiner = where.writer(tmp_path / "joiner")
        joiner.place.forget = refuse
        join_if_many(joiner, said.append)
        counts.append(len(where.reader(tmp_path / "r").segments))
        claims += _push(where, store, tmp_path, number, number + 1)

    assert counts == [5, 6, 7, 8], "one joined segment, then only what is pushed"
    assert set(said) == {"segments stay apart: the registry deletes nothing"}
    assert join(where.writer(tmp_path / "able")) == 9
    caches = Caches([where.reader(tmp_path / "new")])
    assert all(caches.find(claim.key) for claim in claims)


def _lines(where: Where, tmp_path: Path) -> set:
    found = where.reader(tmp_path / "look").segments.values()
    return {line for data in found for line in read_segment(data, "it").lines}
